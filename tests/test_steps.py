"""`steps.csv`: each step once, whatever a kill or a resume left."""

import csv

import numpy as np

from resnet_tf.reporting.steps import COLUMNS, StepLog, read


def columns(*steps):
    return {
        "loss": np.array([s / 10 for s in steps], np.float32),
        "gradient_norm": np.array([np.nan if s == 3 else 1 / 3 for s in steps], np.float32),
        "learning_rate": np.full(len(steps), 0.1, np.float32),
        "order": np.array([-(2**63) + s for s in steps]),
        "pictures": np.array([2**63 - 1 - s for s in steps]),
        "correct": np.zeros(len(steps)),  # of no matter here
    }


def steps(directory):
    return [int(row["step"]) for row in read(directory)]


def test_rows_are_there_at_once_and_others_can_read_them(tmp_path):
    log = StepLog(tmp_path, resumed_step=0)
    log.write(1, columns(1, 2))
    log.write(3, columns(3))
    log.write(4, columns())
    with open(tmp_path / "steps.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == read(tmp_path)
    assert rows[1] == {
        "step": "2", "loss": "0.2", "gradient_norm": "0.33333334", "learning_rate": "0.1",
        "order": "-9223372036854775806", "pictures": "9223372036854775805",
    }  # fmt: skip
    assert np.float32(rows[1]["gradient_norm"]) == np.float32(1 / 3)
    assert rows[2]["gradient_norm"] == "nan"
    log.close()


def test_no_file_is_an_empty_one(tmp_path):
    assert read(tmp_path) == []


def test_resuming_and_rewinding_drop_later_steps(tmp_path):
    log = StepLog(tmp_path, resumed_step=0)
    log.write(1, columns(1, 2, 3, 4, 5))
    log.rewind(3)
    assert steps(tmp_path) == [1, 2, 3]
    log.write(4, columns(4))
    log.close()
    resumed = StepLog(tmp_path, resumed_step=2)
    resumed.write(3, columns(3))
    assert steps(tmp_path) == [1, 2, 3]
    resumed.close()


def test_a_row_that_a_kill_cut_short_is_dropped(tmp_path):
    log = StepLog(tmp_path, resumed_step=0)
    log.write(1, columns(1, 2))
    log.close()
    path = tmp_path / "steps.csv"
    whole = path.read_text()
    for end in range(len(whole) - 1, len(whole) - 20, -1):
        path.write_text(whole[:end])
        assert steps(tmp_path) == [1]
    resumed = StepLog(tmp_path, resumed_step=2)
    resumed.write(2, columns(2))
    resumed.close()
    assert path.read_text() == whole


def test_rows_that_hold_no_numbers_are_passed_over(tmp_path):
    log = StepLog(tmp_path, resumed_step=0)
    log.write(1, columns(1, 2, 3))
    log.close()
    path = tmp_path / "steps.csv"
    heading, first, *rest = path.read_text().splitlines(keepends=True)
    cells = first.rstrip("\n").split(",")
    for place in range(6):
        for cell in ("", "much", "9" * 5000, '"'):
            strange = [*cells[:place], cell, *cells[place + 1 :]]
            path.write_text(heading + ",".join(strange) + "\n" + "".join(rest))
            if cell == "9" * 5000 and place in (1, 2, 3):
                continue  # a number, if a large one
            assert set(steps(tmp_path)) <= {2, 3}


def test_a_row_whose_number_no_step_has(tmp_path):
    """Python itself refuses to read numbers of more than 4,300 digits."""
    with open(tmp_path / "steps.csv", "w") as file:
        file.write(f"step,{','.join(COLUMNS)}\n1,1,1,1,1,1\n{'9' * 5000},1,1,1,1,1\n")
    StepLog(tmp_path, 1).close()
    assert next(row["step"] for row in read(tmp_path)) == "1"
