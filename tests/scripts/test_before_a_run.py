"""train.py --dry_run and --find_lr as their users run them."""

import json
import pathlib

import forked
import pytest

import tensorflow as tf  # isort: skip

ROOT = pathlib.Path(__file__).resolve().parents[2]
MICRO = ("--model_options=depth=8,width_multiplier=0.25", "--batch_size=8", "--steps=12")


def test_a_dry_run_changes_nothing(script, tmp_path):
    process = script("train.py", "--dry_run", f"--model_dir={tmp_path}/runs/new", *MICRO)
    assert process.returncode == 0, process.stderr
    (event,) = map(json.loads, process.stdout.splitlines())
    assert event["event"] == "dry_run" and event["problems"] == []
    assert (event["total_steps"], event["train_records"], event["eval_records"]) == (12, 1437, 360)
    assert len(process.stderr.splitlines()) <= 24
    assert "ok       commit" in process.stderr and "ERROR" not in process.stderr
    assert not list(tmp_path.iterdir())


def test_a_rate_is_found_for_digits(script, tmp_path):
    ramp = ("--find_lr_low=1e-4", "--find_lr_high=10", "--find_lr_steps=120")
    process = script("train.py", "--find_lr", f"--model_dir={tmp_path}/run", *MICRO, *ramp)
    assert process.returncode == 0, process.stderr
    (event,) = map(json.loads, process.stdout.splitlines())
    assert event["event"] == "find_lr" and 1e-4 < event["suggestion"] < event["lowest"] <= 10
    assert event["steps"] <= 120 and "suggested: --learning_rate=" in process.stderr
    assert tf.io.decode_png(pathlib.Path(event["plot"]).read_bytes()).shape[:2] == (600, 960)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "lr_finder.json", "lr_finder.png"]  # fmt: skip


MISTAKES = [
    (["--dry_run", "--find_lr"], 64, "dry_run and find_lr exclude each other | --dry_run"),
    (["--dry_run", "--profile_steps=1,2"], 64, "dry_run and profile_steps exclude each other"),
    (["--find_lr", "--profile_steps=1,2"], 64, "find_lr and profile_steps exclude each other"),
    *(
        ([flag, "--model_dir=gs://b/run"], 64, "needs a --model_dir on this machine, not a store's")
        for flag in ("--dry_run", "--find_lr", "--profile_steps=1,2")
    ),
    (["--model_dir=nosuch://b/run"], 64, "TensorFlow has no way to this store"),
    (["--profile_steps=2,1"], 64, "profile_steps must be two whole numbers that rise"),
    (["--profile_steps=1"], 64, "profile_steps must be two whole numbers that rise"),
    (["--profile_steps=1.5,2"], 64, "profile_steps must be two whole numbers that rise"),
    (["--profile_steps=a,b"], 64, "profile_steps must be numbers, got a,b"),
    (["--find_lr", "--find_lr_low=0"], 64, "find_lr_low must be above 0 and finite, got 0.0"),
    (["--find_lr", "--find_lr_low=inf"], 64, "find_lr_low must be above 0 and finite, got inf"),
    (["--find_lr", "--find_lr_low=1", "--find_lr_high=1"], 64,
     "find_lr_high must be above find_lr_low 1 and finite, got 1.0 | --find_lr_high"),
    (["--find_lr", "--find_lr_high=inf"], 64, "find_lr_high must be above find_lr_low 1e-06 and"),
    (["--find_lr", "--find_lr_steps=19"], 64, "find_lr_steps must be from 20 to 10000, got 19"),
    (["--find_lr", "--find_lr_steps=10001"], 64, "find_lr_steps must be from 20 to 10000, got"),
    (["--find_lr", "--data_dir=/nonexistent"], 66, "the data directory does not exist"),
]  # fmt: skip


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory):
    """For each command of the list the directory in which it was to work, and what it came to."""
    places = [tmp_path_factory.mktemp("mistake") for _ in MISTAKES]
    calls = [
        ("train.py", f"--model_dir={place}/run", *flags)
        for place, (flags, _, _) in zip(places, MISTAKES)
    ]
    return list(zip(places, forked.run_all(calls, tmp_path_factory.mktemp("outputs"))))


@pytest.mark.parametrize("number", range(len(MISTAKES)), ids=lambda i: str(MISTAKES[i][0]))
def test_a_mistake_is_one_line_and_leaves_nothing(mistakes, number):
    _, code, message = MISTAKES[number]
    place, (found, stdout, stderr) = mistakes[number]
    assert found == code and stdout == "" and not list(place.iterdir())
    assert stderr.startswith(f"ERROR {code}: ") and message in stderr and stderr.count("\n") == 1


def test_a_dry_run_that_finds_a_problem_ends_with_its_line(script, tmp_path):
    process = script(
        "train.py", "--dry_run", f"--model_dir={tmp_path}/run", "--devices=gpu:7", *MICRO
    )
    assert process.returncode == 64 and not list(tmp_path.iterdir())
    (event,) = map(json.loads, process.stdout.splitlines())
    last = process.stderr.splitlines()[-1]
    assert event["problems"] == [last]
    assert last.startswith("ERROR 64: TensorFlow sees 0 GPUs, fewer than are asked for | --devices")


def test_without_matplotlib_no_rate_is_looked_for(script, tmp_path):
    """A module that is there and says that matplotlib is not."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: (\n"
        "    None if name == 'matplotlib' else real(name, *rest))\n"
    )
    process = script("train.py", "--find_lr", "--model_dir=run", PYTHONPATH=str(tmp_path))
    assert process.returncode == 66
    assert process.stderr == (
        "ERROR 66: matplotlib is not installed, which draws the curve | --find_lr"
        " | pip install -e '.[report]'\n"
    )
