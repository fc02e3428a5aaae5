"""The journal: each step once, whatever a kill or a resume left."""

import errno
import json
import pathlib

import numpy as np
import pytest

from resnet_tf.reporting import journal as journals
from resnet_tf.reporting import steps as step_log
from resnet_tf.reporting.journal import Journal, emit, number, read
from resnet_tf.reporting.steps import COLUMNS, StepLog

FILE = "journal.jsonl"


def written(directory, *events):
    (directory / FILE).write_text("".join(json.dumps(event) + "\n" for event in events))


def steps(directory):
    return [event["step"] for event in read(directory)]


def test_events_go_to_the_file_and_to_stdout(tmp_path, capsys):
    journal = Journal(tmp_path, resumed_step=0)
    journal.write("train", step=1, loss=0.5)
    journal.write("eval", step=2, counts=[1, 2], nested={"a": "é"})
    journal.close()
    expected = [
        {"event": "train", "step": 1, "loss": 0.5},
        {"event": "eval", "step": 2, "counts": [1, 2], "nested": {"a": "é"}},
    ]
    assert read(tmp_path) == expected
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == expected


def test_each_event_is_readable_before_the_journal_is_closed(tmp_path):
    journal = Journal(tmp_path, resumed_step=0)
    for step in range(1, 4):
        journal.write("train", step=step)
        assert steps(tmp_path) == list(range(1, step + 1))
    journal.close()


def test_no_journal_is_an_empty_one(tmp_path):
    assert read(tmp_path) == []
    assert read(tmp_path / "none") == []


def test_steps_after_the_resumed_one_are_dropped(tmp_path):
    written(tmp_path, *({"event": "train", "step": step} for step in (10, 20, 30, 40)))
    Journal(tmp_path, resumed_step=20).close()
    assert steps(tmp_path) == [10, 20]


def test_a_run_from_the_start_drops_every_step(tmp_path):
    written(tmp_path, {"event": "start"}, {"event": "train", "step": 1})
    Journal(tmp_path, resumed_step=0).close()
    assert read(tmp_path) == [{"event": "start"}]


def test_a_resumed_run_holds_each_step_once(tmp_path):
    journal = Journal(tmp_path, resumed_step=0)
    for step in range(1, 8):
        journal.write("train", step=step)
    journal.close()
    journal = Journal(tmp_path, resumed_step=5)
    for step in range(6, 11):
        journal.write("train", step=step)
    journal.close()
    assert steps(tmp_path) == list(range(1, 11))


def test_last_line_cut_short_is_passed_over_at_every_length(tmp_path):
    written(tmp_path, {"event": "train", "step": 1}, {"event": "train", "step": 2, "text": "é"})
    data = (tmp_path / FILE).read_bytes()
    first = data.index(b"\n") + 1
    for size in range(first, len(data) - 1):
        (tmp_path / FILE).write_bytes(data[:size])
        assert steps(tmp_path) == [1]


def test_new_events_do_not_join_a_line_cut_short(tmp_path):
    written(tmp_path, {"event": "train", "step": 1})
    with open(tmp_path / FILE, "a") as file:
        file.write('{"event": "train", "st')
    journal = Journal(tmp_path, resumed_step=1)
    journal.write("train", step=2)
    journal.close()
    assert steps(tmp_path) == [1, 2]
    assert len((tmp_path / FILE).read_text().splitlines()) == 2


@pytest.mark.parametrize("line", [b"\xff\xfe\n", b"3\n", b"[1]\n", b"null\n", b"\n", b"\0\0\0\n"])
def test_strange_lines_are_passed_over(tmp_path, line):
    event = json.dumps({"event": "train", "step": 1}).encode() + b"\n"
    (tmp_path / FILE).write_bytes(event + line + event)
    assert steps(tmp_path) == [1, 1]


@pytest.mark.parametrize("text", ["a\nb", "a\u2028b", "a\u2029b", "a\x85b", "a\x1cb", "a\x0cb"])
def test_line_breaks_inside_a_text_keep_the_event_whole(tmp_path, text):
    journal = Journal(tmp_path, resumed_step=0)
    journal.write("saved", step=1, path=text)
    journal.close()
    assert read(tmp_path) == [{"event": "saved", "step": 1, "path": text}]


def test_path_that_is_not_utf_8_can_be_written(tmp_path):
    path = b"caf\xe9".decode("utf-8", "surrogateescape")
    journal = Journal(tmp_path, resumed_step=0)
    journal.write("saved", step=1, path=path)
    journal.close()
    assert read(tmp_path) == [{"event": "saved", "step": 1, "path": path}]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_does_not_know_is_refused(tmp_path, value):
    journal = Journal(tmp_path, resumed_step=0)
    with pytest.raises(ValueError, match="not JSON compliant"):
        journal.write("train", step=1, loss=value)
    journal.close()
    assert read(tmp_path) == []


def test_emit_writes_one_line(capsys):
    emit({"event": "done", "text": "a\nb"})
    out = capsys.readouterr().out
    assert out.endswith("\n")
    assert out.count("\n") == 1
    assert json.loads(out) == {"event": "done", "text": "a\nb"}


def test_a_disk_that_is_full_costs_one_line_and_no_run(tmp_path, capsys):
    """# fault H11"""
    journal = Journal(tmp_path, 0)
    journal.write("start", step=0)
    journal._file = open("/dev/full", "a", encoding="utf-8")  # noqa: SIM115
    journal.steps._file = open("/dev/full", "a", encoding="utf-8")  # noqa: SIM115
    columns = {name: np.ones(2, np.int64 if name in ("order", "pictures") else np.float32)
               for name in COLUMNS}  # fmt: skip
    for step in range(1, 4):
        journal.write("train", step=step)
        journal.write_steps(step, columns)
    journal.close()
    out, err = capsys.readouterr()
    assert [json.loads(line)["step"] for line in out.splitlines()] == [0, 1, 2, 3]
    assert err.splitlines() == [
        "the journal cannot be written: [Errno 28] No space left on device; the run goes on"
    ]


def test_lines_that_are_no_events_are_passed_over_and_do_not_stop_a_resumed_run(tmp_path):
    strange = [
        "[1]", "7", "{}", '{"event": ["train"]}', '{"event": "train", "loss": NaN}', "[" * 100_000,
        '{"event": "train", "loss": -Infinity}', "step 3",
    ]  # fmt: skip
    sound = {"event": "train", "step": "three", "loss": None}
    (tmp_path / FILE).write_text("\n".join([*strange, json.dumps(sound)]) + "\n")
    assert read(tmp_path) == [sound]
    Journal(tmp_path, resumed_step=20).close()
    assert read(tmp_path) == [sound]


@pytest.mark.parametrize("value", [None, "3", True, [3], {}, float("nan"), float("inf"), 10**400])
def test_a_field_that_is_no_number(value):
    assert number({"loss": value}, "loss") is None
    assert number({"loss": 3}, "loss") == 3 and number({}, "loss") is None


def test_a_journal_that_cannot_be_read_is_not_begun_anew(tmp_path, monkeypatch):
    """A disk's error must not look like no journal: what is in it would be gone."""
    written(tmp_path, {"event": "train", "step": 1})
    before, real = (tmp_path / "journal.jsonl").read_bytes(), pathlib.Path.read_text

    def fail(self, *arguments, **told):
        if self.name in ("journal.jsonl", "steps.csv"):
            raise OSError(errno.EIO, "Input/output error")
        return real(self, *arguments, **told)

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "read_text", fail)
        with pytest.raises(OSError, match="Input/output error"):
            Journal(tmp_path, 1)
        with pytest.raises(OSError, match="Input/output error"):
            StepLog(tmp_path, 1)
    assert (tmp_path / "journal.jsonl").read_bytes() == before


def test_a_disk_that_is_full_when_steps_are_undone(tmp_path, monkeypatch, capsys):
    journal = Journal(tmp_path, 0)
    journal.write("train", step=1)

    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journals, "replace_synced", full)
        patch.setattr(step_log, "replace_synced", full)
        journal.rewind(0)
    journal.write("train", step=1)
    journal.close()
    assert steps(tmp_path) == [1, 1]
    said = capsys.readouterr().err
    assert said == (
        "the journal cannot be written: [Errno 28] No space left on device; the run goes on\n"
    )
