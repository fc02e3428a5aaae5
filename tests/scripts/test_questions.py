"""What people ask of a trained network: eval.py's tables, predict.py and compare.py."""

import csv
import json
import os
import pathlib
import runpy
import subprocess
import sys

import forked
import made
import numpy as np
import pytest

from resnet_tf.evaluation import read_predictions
from resnet_tf.input import Manifest

import tensorflow as tf  # isort: skip

ROOT = pathlib.Path(__file__).resolve().parents[2]
MICRO = (
    "--model_options=depth=8,width_multiplier=0.25", "--batch_size=32", "--steps=40",
    "--save_every_steps=20", "--log_every_steps=20", "--warmup=2", "--ema=0.9",
)  # fmt: skip


def events(process):
    """stdout must be JSON lines and nothing else."""
    return [json.loads(line) for line in process.stdout.splitlines()]


def train(model_dir, *flags):
    process = subprocess.run(
        [sys.executable, ROOT / "train.py", f"--model_dir={model_dir}", *MICRO, *flags],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return model_dir


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two micro runs that differ in the rate of their steps after the warm-up."""
    folder = tmp_path_factory.mktemp("runs")
    return train(folder / "a"), train(folder / "b", "--warmup=0", "--steps=30")


@pytest.fixture(scope="module")
def evaluated(runs, tmp_path_factory):
    """Everything that eval.py can be asked for at once."""
    folder = tmp_path_factory.mktemp("tables")
    rows = subprocess.run(
        [
            sys.executable, ROOT / "eval.py", f"--checkpoint={runs[0]}",
            f"--predictions={folder}/rows.csv", f"--confusion={folder}/confusion.csv",
            f"--class_scores={folder}/classes.csv", "--fit_temperature", "--weights=raw",
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert rows.returncode == 0, rows.stderr
    return folder, events(rows)[-1], rows.stderr


def test_figures_and_tables_agree_with_each_other(evaluated):
    folder, event, stderr = evaluated
    rows = read_predictions(folder / "rows.csv")
    right = [a == b for a, b in zip(rows["label"], rows["top1"])]
    assert len(right) == event["examples"] == 360 and sum(right) == event["correct_top1"]
    assert event["loss"] == pytest.approx(np.mean(rows["loss"]), rel=1e-4)
    assert len(set(rows["key"])) == 360 and rows["key"][0].endswith(".png")
    low, high = event["top1_interval"]
    assert low < event["top1"] < high and 0 <= event["calibration_error"] <= 1
    with open(folder / "confusion.csv", newline="") as file:
        heading, *table = csv.reader(file)
    assert heading == ["true \\ predicted", *map(str, range(10))]
    matrix = np.array([row[1:] for row in table], int)
    assert matrix.sum() == 360 and np.trace(matrix) == event["correct_top1"]
    with open(folder / "classes.csv", newline="") as file:
        classes = list(csv.DictReader(file))
    assert [int(row["examples"]) for row in classes] == matrix.sum(axis=1).tolist()
    assert np.mean([float(row["f1"]) for row in classes]) == pytest.approx(
        event["macro"]["f1"], abs=1e-4
    )
    assert event["most_confused"][0]["count"] == (matrix - np.diag(np.diag(matrix))).max()
    assert "test: 360 records, each seen once" in stderr and "most confused: " in stderr


def test_the_temperature_is_kept_and_used(runs, evaluated, script):
    fitted = evaluated[1]["fitted_temperature"]
    assert fitted["loss_after"] <= fitted["loss_before"] and fitted["fitted_on"] == "test"
    assert "WARNING: " in evaluated[2] and "on test, which it was fitted on" in evaluated[2]
    process = script("eval.py", f"--checkpoint={runs[0]}", "--calibrated", "--weights=raw")
    (event,) = events(process)
    assert event["temperature"] == fitted["temperature"] and event["fitted_on"] == "test"
    assert "on test, which it was fitted on" in process.stderr
    assert event["loss"] == pytest.approx(fitted["loss_after"], rel=1e-4)
    assert event["correct_top1"] == evaluated[1]["correct_top1"]


def test_views_and_other_labels(runs, script, tmp_path):
    keys = read_keys(runs, script, tmp_path)
    (tmp_path / "real.json").write_text(json.dumps({key: list(range(10)) for key in keys}))
    (tmp_path / "map.json").write_text(json.dumps({str(i): [str(i)] for i in range(10)}))
    process = script(
        "eval.py", f"--checkpoint={runs[0]}", "--crops=5", "--flip", "--batch_size=90",
        f"--label_map={tmp_path}/map.json", f"--alternative_labels={tmp_path}/real.json",
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    (event,) = events(process)
    assert (event["views"], event["examples"], event["weights"]) == (10, 360, "average")
    assert event["alternative"] == {"examples": 360, "correct_top1": 360, "top1": 1}
    assert "by the other labels: 100.00% of 360 records" in process.stderr


def read_keys(runs, script, tmp_path):
    file = tmp_path / "rows.parquet"
    process = script("eval.py", f"--checkpoint={runs[0]}", f"--predictions={file}")
    assert process.returncode == 0, process.stderr
    return read_predictions(file)["key"]


def test_watching_a_run_that_is_done(runs, script):
    process = script("eval.py", f"--checkpoint={runs[0]}", "--watch", "--watch_seconds=0.1")
    assert process.returncode == 0, process.stderr
    assert [(event["event"], event["step"]) for event in events(process)] == [("eval", 40)]


def test_watching_a_run_while_it_trains(script, tmp_path):
    """Started before the run; sees its last commit, and ends with it."""
    watcher = subprocess.Popen(
        [
            sys.executable, ROOT / "eval.py", f"--checkpoint={tmp_path}/run", "--watch",
            "--watch_seconds=0.1",
        ],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        train(tmp_path / "run", "--keep=1")
        out, err = watcher.communicate(timeout=300)
    finally:
        watcher.kill()
        watcher.wait()
    assert watcher.returncode == 0, err
    steps = [json.loads(line)["step"] for line in out.splitlines()]
    assert steps[-1] == 40 and steps == sorted(set(steps)) and set(steps) <= {20, 40}


# --- predict.py


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Digits 0 to 2 of the test split, in a folder a class."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("pictures")
    (shard,) = (ROOT / "data/digits").glob("test-*.tfrecord")
    for number, record in enumerate(tf.data.TFRecordDataset(str(shard)).take(60)):
        fields = tf.train.Example.FromString(record.numpy()).features.feature
        name = fields["image/class/text"].bytes_list.value[0].decode()
        if name in "012":
            (folder / name).mkdir(exist_ok=True)
            encoded = fields["image/encoded"].bytes_list.value[0]
            (folder / name / f"{number:02d}.png").write_bytes(encoded)
    return folder


def test_predict_says_what_eval_says(runs, pictures, script, tmp_path, evaluated):
    folder, _, _ = evaluated
    rows = read_predictions(folder / "rows.csv")
    process = script("tools/predict.py", f"--checkpoint={runs[0]}", "--weights=raw", pictures,
                     "--table", f"--explain={tmp_path}/heat", "--top=3")  # fmt: skip
    assert process.returncode == 0, process.stderr
    found = events(process)
    assert len(found) == len(list(pictures.glob("*/*.png"))) > 9
    for line in found:
        number = int(pathlib.Path(line["file"]).stem)
        assert line["true"] == rows["label"][number] == pathlib.Path(line["file"]).parent.name
        assert [entry["class"] for entry in line["top"]] == [
            rows[f"top{k}"][number] for k in (1, 2, 3)
        ]
        assert line["top"][0]["score"] == pytest.approx(rows["score1"][number], rel=1e-4)
        assert pathlib.Path(line["explained"]).read_bytes().startswith(b"\x89PNG")
    table = [line for line in process.stderr.splitlines() if "(right)" in line or "(wrong" in line]
    assert len(table) == len(found)


def test_predict_goes_on_after_a_bad_picture(runs, pictures, tmp_path):
    (tmp_path / "bad.png").write_text("this is no picture at all, only a text")
    names = [str(tmp_path / "bad.png"), *map(str, sorted(pictures.glob("0/*.png"))), "none.jpg"]
    process = subprocess.run(
        [sys.executable, ROOT / "tools/predict.py", f"--checkpoint={runs[0]}", "-"],
        cwd=ROOT, capture_output=True, text=True, timeout=600, input="\n".join(names),
    )  # fmt: skip
    assert process.returncode == 65
    found = events(process)
    assert [line["file"] for line in found] == names
    assert ["error" in line for line in found] == [True] + [False] * (len(names) - 2) + [True]
    last = process.stderr.splitlines()[-1]
    assert last.startswith(f"ERROR 65: 2 of {len(names)} pictures could not be used, first: ")
    assert "bad.png" in last and "Traceback" not in process.stderr


def test_predict_takes_names_that_are_no_text(runs, pictures, tmp_path):
    (encoded, *_) = (path.read_bytes() for path in pictures.glob("0/*.png"))
    for name in (b"caf\xe9.png", b"\xff\xff.png"):
        (tmp_path / os.fsdecode(name)).write_bytes(encoded)
    process = subprocess.run(
        [sys.executable, ROOT / "tools/predict.py", f"--checkpoint={runs[0]}", "--table", "-"],
        cwd=tmp_path, capture_output=True, timeout=600, input=b"caf\xe9.png\n\xff\xff.png\n\xfe\n",
    )  # fmt: skip
    stderr = process.stderr.decode()
    assert process.returncode == 65 and "Traceback" not in stderr, stderr
    found = [json.loads(line) for line in process.stdout.splitlines()]
    assert [os.fsencode(line["file"]) for line in found] == [
        b"caf\xe9.png",
        b"\xff\xff.png",
        b"\xfe",
    ]
    assert ["error" in line for line in found] == [False, False, True]
    assert "caf\\udce9.png  " in stderr


def test_the_table_of_predict_does_nothing_to_a_terminal():
    line = runpy.run_path(str(ROOT / "tools/predict.py"))["_line"]
    row = {"file": "a\x1b.png", "top": [{"class": "cat\x1b[31m", "score": 0.5}]}
    assert line(row) == "a\\x1b.png   50.0% cat\\x1b[31m"
    assert line(row | {"true": "cat\x1b[31m"}).endswith("(right)")
    assert line(row | {"true": "two\nlines"}).endswith("(wrong, is two\\nlines)")


# --- compare.py


def test_compare_runs(runs, script, tmp_path):
    process = script("tools/compare.py", *runs, f"--changes={tmp_path}/changes.csv")
    assert process.returncode == 0, process.stderr
    (event,) = events(process)
    assert event["event"] == "compare" and event["examples"] == 360
    fixed, broken = event["fixed"], event["broken"]
    assert event["correct_top1"][1] - event["correct_top1"][0] == fixed - broken
    assert event["common_steps"] == 30
    assert event["first_difference"]["step"] == 1 and event["first_difference"]["cause"] == "rate"
    with open(tmp_path / "changes.csv", newline="") as file:
        changes = [row["change"] for row in csv.DictReader(file)]
    assert (changes.count("fixed"), changes.count("broken")) == (fixed, broken)
    assert "the runs part at step 1, by rate" in process.stderr


def test_compare_a_run_with_itself_and_with_its_table(runs, evaluated, script):
    process = script("tools/compare.py", runs[0], runs[0])
    (event,) = events(process)
    assert (event["fixed"], event["broken"], event["p_value"]) == (0, 0, 1)
    assert event["first_difference"] is None and event["common_steps"] == 40
    assert "all 40 steps that both runs made are the same" in process.stderr
    process = script("tools/compare.py", "--weights=raw", runs[0], evaluated[0] / "rows.csv")
    (event,) = events(process)
    assert (event["fixed"], event["broken"]) == (0, 0) and "first_difference" not in event


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A run on the digits in another order: their numbers and names mean other pictures."""
    folder, digits = tmp_path_factory.mktemp("reversed"), Manifest.load(ROOT / "data/digits")
    splits = {}
    for split in digits.splits:
        files = [str(digits.directory / shard.file) for shard in digits.shards(split)]
        splits[split] = [[r.numpy() for r in tf.data.TFRecordDataset(files)][::-1]]
    more = {name: getattr(digits, name) for name in ("classes", "mean", "std", "label_offset")}
    made.data_set(folder, splits, size=digits.height, channels=digits.channels, **more)
    return train(folder / "run", f"--data_dir={folder}", "--steps=30", "--warmup=0")


def test_compare_runs_on_different_data(runs, elsewhere, script):
    process = script("tools/compare.py", runs[1], elsewhere)
    assert process.returncode == 78 and process.stdout == ""
    last = process.stderr.splitlines()[-1]
    assert last.startswith("ERROR 78: A would be looked at on ") and "give the --data_dir" in last
    process = script("tools/compare.py", "--data_dir=data/digits", runs[1], elsewhere)
    (event,) = events(process)
    assert event["examples"] == 360 and event["common_steps"] == 30
    assert (event["first_difference"]["step"], event["first_difference"]["cause"]) == (1, "data")


# --- report.py and export.py


def test_a_run_leaves_its_report(runs):
    text = (runs[0] / "report.html").read_text()
    for shown in ("top-1", "Loss of a step", "Confusion", "Calibration", "Not recognised",
                  "As it was trained on", "CC BY 4.0", "Environment"):  # fmt: skip
        assert shown in text
    assert text.count("data:image/png;base64,") >= 24 and len(text) < 5_000_000


def test_report_of_one_run_and_of_two(runs, script, tmp_path):
    process = script("tools/report.py", f"--output={tmp_path}/one.html", runs[0])
    assert process.returncode == 0, process.stderr
    (event,) = events(process)
    assert event["event"] == "report" and event["output"] == f"{tmp_path}/one.html"
    one = (tmp_path / "one.html").read_text()
    assert "Confusion" in one and "Calibration" in one
    # As full as the one that the run left.
    there = (runs[0] / "report.html").read_text()
    assert one.count("<figure>") == there.count("<figure>") and "As it was trained on" in one
    process = script("tools/report.py", *runs, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    both = (tmp_path / "report.html").read_text()
    assert both.count("<polyline") >= 6 and str(runs[1]) in both and "Results" in both


@pytest.mark.parametrize("form, name", [("saved_model", "served"), ("npz", "w.npz")])
def test_export(runs, script, tmp_path, form, name):
    process = script(
        "tools/export.py", f"--checkpoint={runs[0]}", f"--format={form}",
        f"--output={tmp_path}/{name}", "--pictures=50",
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    (event,) = events(process)
    assert (event["event"], event["weights"], event["pictures"]) == ("exported", "average", 50)
    assert event["largest_difference"] < 1e-5 and event["agreement"] == 1
    assert "on 50 pictures no probability differs" in process.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


# --- mistakes

BAD = [
    (["eval.py", "--checkpoint=RUN", "--crops=2"], 64, "crops must be 1 or 5, got 2"),
    (["eval.py", "--checkpoint=RUN", "--fit_temperature", "--flip"], 64, "and flip exclude"),
    (["eval.py", "--checkpoint=RUN", "--watch", "--watch_seconds=-1"], 64, "watch_seconds must be"),
    (["eval.py", "--checkpoint=RUN", "--watch", "--calibrated"], 64, "watch and calibrated"),
    (
        ["eval.py", "--checkpoint=file:///nonexistent/run", "--fit_temperature"],
        64, "fit_temperature is kept beside a commit, and needs one on this machine",
    ),
    (["eval.py", "--checkpoint=file:///nonexistent/run"], 66, "there is no commit"),
    (["eval.py", "--checkpoint=RUN", "--confusion=none/a.csv"], 73, "no file can be written here"),
    (["eval.py", "--checkpoint=RUN", "--predictions=."], 64, "must end in .csv or .parquet"),
    (["eval.py", "--checkpoint=RUN", "--predictions=a.txt"], 64, "predictions must end in .csv or"),
    (
        ["eval.py", "--checkpoint=RUN", "--predictions=a.csv", "--confusion=./a.csv"],
        64, "confusion and predictions must be two files",
    ),
    (
        ["eval.py", "--checkpoint=RUN", "--confusion=a.csv", "--class_scores=a.csv"],
        64, "class_scores and confusion must be two files",
    ),
    (["eval.py", "--checkpoint=OTHER", "--calibrated"], 66, "no temperature was fitted"),
    (["eval.py", "--checkpoint=RUN", "--label_map=none.json"], 66, "cannot be read: No such file"),
    (["tools/predict.py", "a.png"], 64, "no checkpoint is given"),
    (["tools/predict.py", "--checkpoint=RUN"], 64, "no picture is given"),
    (["tools/predict.py", "--checkpoint=RUN", "--top=0", "a.png"], 64, "top must be 1 or more"),
    (["tools/predict.py", "--checkpoint=RUN", "tests/*.png"], 66, "there is no JPEG or PNG"),
    (["tools/predict.py", "--checkpoint=/nonexistent", "a.png"], 66, "/nonexistent"),
    (["tools/report.py"], 64, "no run is given"),
    (["tools/report.py", "tests"], 66, "there is no journal here | tests"),
    (["tools/report.py", "RUN", "--data_dir=tests", "--output=a.html"], 66, "| tests"),
    (["tools/report.py", "RUN", "RUN", "--output=none/a.html"], 73, "no file can be written here"),
    (["tools/export.py", "--checkpoint=RUN"], 64, "output must be given"),
    (["tools/export.py", "--checkpoint=RUN", "--output=tests"], 73, "the output exists | "),
    (["tools/export.py", "--checkpoint=RUN", "--output=a", "--format=pb"], 64, "format must be"),
    (["tools/export.py", "--checkpoint=RUN", "--output=a", "--kind=int8"], 64, "kind must be"),
    (["tools/export.py", "--checkpoint=RUN", "--output=a", "--pictures=0"], 64, "pictures must"),
    (["tools/compare.py", "RUN"], 64, "two things can be compared, not 1"),
    (["tools/compare.py", "RUN", "none.csv"], 66, "cannot be read: No such file"),
    (["tools/compare.py", "setup.cfg.csv", "none.csv"], 66, "setup.cfg.csv"),
]  # fmt: skip


@pytest.fixture(scope="module")
def mistakes(runs, tmp_path_factory):
    calls = [
        [text.replace("RUN", str(runs[0])).replace("OTHER", str(runs[1])) for text in call]
        for call, _, _ in BAD
    ]
    return forked.run_all(calls, tmp_path_factory.mktemp("outputs"))


@pytest.mark.parametrize("number", range(len(BAD)), ids=lambda i: " ".join(BAD[i][0])[:60])
def test_refused(mistakes, number):
    _, code, message = BAD[number]
    found, stdout, stderr = mistakes[number]
    assert found == code, stderr
    last = stderr.splitlines()[-1]
    assert last.startswith(f"ERROR {code}: ") and message in last
    assert stdout == "" and "Traceback" not in stderr
