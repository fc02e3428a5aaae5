"""The checks before a run, on a network of one layer, in this process."""

import json
import shutil
import types

import made
import numpy as np
import pytest
import small_runs

from resnet_tf import checkpoint
from resnet_tf.config import Config
from resnet_tf.errors import UserError
from resnet_tf.training import dry_run, findings, foreseen, scaling, tried
from resnet_tf.training.findings import Findings

import tensorflow as tf  # isort: skip

N, HELD_OUT = 14, 6
LINES = ["devices", "data", "shards", "batch", "length", "rate", "start", "pictures", "network",
         "steps", "commit", "disk", "evaluation", "memory", "time"]  # fmt: skip
# A convolution 3x3 from 3 to 4 channels, a dense layer from 4 to 4 classes.
PARAMETERS = 3 * 3 * 3 * 4 + 4 * 4 + 4


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, two_replicas):
    small_runs.use_tiny(monkeypatch, two_replicas)
    monkeypatch.setattr(tried, "_MOST_STEPS", 3)
    real = foreseen.make_strategy
    monkeypatch.setattr(
        foreseen, "make_strategy",
        lambda request, *more: two_replicas if request.logical_cpus == 2 else real(request, *more),
    )  # fmt: skip


def write(directory, payloads):
    directory.mkdir(exist_ok=True)
    splits = {
        "train": made.split_up(payloads, (N - 5, 5)),
        "test": [small_runs.payloads(HELD_OUT)],
    }
    return made.data_set(directory, splits, classes=small_runs.CLASSES, size=8)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    write(directory, small_runs.payloads(N))
    return directory


@pytest.fixture
def check(data, tmp_path, capsys):
    """Checks a run; gives the event, the lines by name, and the error."""

    def run(**told):
        model_dir = told.pop("model_dir", tmp_path / "run")
        config = small_runs.config(told.pop("data", data), model_dir, **told)
        capsys.readouterr()
        before, error = sorted(tmp_path.rglob("*")), None
        try:
            returned = dry_run.check(config)
        except UserError as raised:
            returned, error = None, raised
        assert sorted(tmp_path.rglob("*")) == before  # nothing is left behind
        out, err = capsys.readouterr()
        (event,) = map(json.loads, out.splitlines())
        assert event.pop("event") == "dry_run"
        assert event["problems"][:1] == ([str(error)] if error else [])
        assert returned is None or returned == {"event": "dry_run", **event}
        found = [line.split(maxsplit=2) for line in err.splitlines()]
        return event, found, error

    return run


def lines(found, status):
    return {name: text for state, name, text in found if state == status}


def test_a_run_that_has_all_it_needs(check, tmp_path, monkeypatch):
    monkeypatch.setattr(tried, "_MUCH_WAITING", 2)  # which a busy machine may have
    event, found, error = check(steps=20, save_every_steps=6, eval_every_steps=5, keep=2)
    assert error is None and event["warnings"] == []
    assert [name for _, name, _ in found] == LINES
    assert {state for state, _, _ in found} == {"ok"}
    told = lines(found, "ok")
    assert told["devices"].startswith("asked for cpu, seen 2 CPU") and "1 x CPU" in told["devices"]
    assert told["data"] == (
        "made: 14 records of train to train on, 6 of test to evaluate on, 4 classes"
    )
    assert told["shards"].startswith("3 files of ")
    assert told["batch"] == "4 examples a step, 4 a device at a time"
    # 20 · 4 / 14 epochs; of 14 records, 3 batches leave 2.
    assert told["length"] == (
        "20 steps, 5.714 epochs of 3.5 steps; the batch at an epoch's end runs on into the next"
        " (2 examples are left)"
    )
    assert told["rate"] == "first 0.01, highest 0.01, last 0.01 (constant, 0 steps of warm-up)"
    assert told["start"] == f"a new run with new weights: {tmp_path}/run"
    assert told["pictures"] == "8x8x3, mean 100, 100, 100, deviation 50, 50, 50"
    assert told["network"].endswith(
        f": {PARAMETERS} parameters, {PARAMETERS} of them trained; 4 classes"
    )
    assert "restored to the same bits" in told["commit"]
    assert "needed for 2 commits and the one being written" in told["disk"]
    assert told["evaluation"].startswith("6 of 6 records in ")
    assert "for the 20 steps" in told["time"]
    expected = {
        "train_records": 14, "eval_records": 6, "classes": 4, "batch_size": 4,
        "examples_a_step": 4, "total_steps": 20, "epochs": 5.7143, "steps_an_epoch": 3.5,
        "rate_first": 0.01, "rate_highest": 0.01, "rate_last": 0.01, "step": 0,
        "parameters": PARAMETERS, "trained_parameters": PARAMETERS, "devices": "1 x CPU",
    }  # fmt: skip
    assert {name: event[name] for name in expected} == expected
    assert event["needed_bytes"] == 3 * event["commit_bytes"]
    assert event["commit_bytes"] > 4 * 2 * PARAMETERS  # weights and their momentum
    # Commits at 6, 12, 18 and 20, evaluations at 5, 10, 15 and 20.
    seconds = 20 * event["step_seconds"] + 4 * event["save_seconds"] + 4 * event["eval_seconds"]
    assert event["seconds"] == pytest.approx(seconds, abs=0.02)
    assert event["epoch_seconds"] == pytest.approx(seconds * 3.5 / 20, abs=0.02)
    assert event["images_per_second"] == pytest.approx(4 / event["step_seconds"], rel=0.01)
    assert event["memory_bytes"] > 100 * 2**20 and event["gpu_memory_bytes"] == []


def test_what_a_rule_and_parts_make_of_batch_and_rate(check):
    event, found, _ = check(
        steps=10, accumulate=2, rate_rule="linear", rate_batch_size=16, schedule="cosine",
        warmup="1", devices="cpu:2", learning_rate=0.4,
    )  # fmt: skip
    told = lines(found, "ok")
    assert told["batch"] == "8 examples a step in 2 parts, 2 a device at a time"
    assert "uses 2 x CPU" in told["devices"]
    # 0.4 · 8 / 16, of which warm-up starts with a half.
    assert (event["rate_first"], event["rate_highest"]) == (0.1, 0.2)
    last = 0.1 * (1 + np.cos(np.pi * 8 / 9))
    assert event["rate_last"] == pytest.approx(last, rel=1e-6)
    assert told["rate"].endswith("(cosine, 1 steps of warm-up, by linear rule from 0.4 for 16)")
    assert told["replicas"].startswith("2 replicas give the update of one, largest difference ")
    assert event["replicas"] == 2 and event["replicas_difference"] < 1e-6


def test_a_run_that_is_there_is_resumed_and_stays_as_it_is(check, data, tmp_path):
    small_runs.train(data, tmp_path / "run", steps=3)
    event, found, _ = check(steps=9)
    path = tmp_path / "run" / "checkpoints" / "step_000000003"
    assert lines(found, "ok")["start"] == f"resumes step 3 of the run: {path}"
    assert "for the 6 steps" in lines(found, "ok")["time"] and event["step"] == 3
    assert event["needed_bytes"] == 3 * event["commit_bytes"]  # of keep + 1 = 4, one is there
    assert checkpoint.find(tmp_path / "run").step == 3
    _, found, _ = check(steps=3)
    assert "resumes step 3 of the run, which is complete" in lines(found, "ok")["start"]
    assert "for the 0 steps, 0 s of it for evaluation" in lines(found, "ok")["time"]


def test_a_directory_with_another_run_is_refused_as_the_run_would(check, data, tmp_path):
    small_runs.train(data, tmp_path / "run", steps=3)
    _, found, error = check(steps=9, weight_decay=0.5)
    with pytest.raises(UserError) as refused:
        small_runs.train(data, tmp_path / "run", steps=9, weight_decay=0.5)
    assert error.code == 78 and str(error) == str(refused.value)
    assert "--weight_decay=0.0001 and not 0.5" in lines(found, "error")["start"]


def test_a_damaged_commit_is_told_and_left_alone(check, data, tmp_path):
    small_runs.train(data, tmp_path / "run", steps=6, save_every_steps=3)
    (tmp_path / "run/checkpoints/step_000000006/variables.index").write_bytes(b"")
    event, found, _ = check(steps=9)
    assert lines(found, "warning")["start"].startswith("step_000000006 is damaged (variables.index")
    assert event["step"] == 3


def test_weights_of_another_run(check, data, tmp_path):
    small_runs.train(data, tmp_path / "first", steps=3)
    _, found, error = check(init_from=str(tmp_path / "first"))
    assert error is None
    assert f"a new run with the weights of {tmp_path}/first" in lines(found, "ok")["start"]
    _, found, error = check(init_from=str(tmp_path / "none"))
    assert error.code == 66 and "it is no directory that exists" in lines(found, "error")["start"]


def test_all_problems_are_told_and_the_first_is_the_code(check, data, tmp_path):
    broken = shutil.copytree(data, tmp_path / "broken")
    (broken / "test-00000-of-00001.tfrecord").unlink()
    event, found, error = check(
        data=broken, devices="gpu:7", schedule="step", boundaries=("4", "2"), factors=(1, 1, 1)
    )
    assert error.code == 64 and len(event["problems"]) == 3
    assert list(lines(found, "error")) == ["devices", "shards", "rate"]
    assert "TensorFlow sees 0 GPUs, fewer than are asked for" in lines(found, "error")["devices"]
    assert "cannot read a shard: No such file" in lines(found, "error")["shards"]
    assert "boundaries must rise" in lines(found, "error")["rate"]
    assert "steps" not in lines(found, "ok")  # nothing is run


@pytest.mark.parametrize(("told", "code", "name", "message"), [
    ({"data": "none"}, 66, "data", "the data directory does not exist"),
    ({"eval_split": "val"}, 64, "data", "no split is called 'val'; there are test, train"),
    ({"model_dir": "/proc/resnet_tf/run"}, 73, "start", "cannot write in the model directory"),
    ({"learning_rate": 1e38}, 76, "steps", "loss or gradient is not finite at step 2"),
    ({"batch_size": 3, "devices": "cpu:2"}, 64, "start", "must be a multiple of the 2 devices"),
])  # fmt: skip
def test_problems(check, told, code, name, message):
    _, found, error = check(**told)
    assert error.code == code and message in str(error)
    assert message in lines(found, "error")[name]


def test_replicas_that_do_not_make_the_update_of_one(check, monkeypatch):
    wrong = scaling.Verdict(2, "local", [], "their gradients differ")
    monkeypatch.setattr(tried.scaling, "verify", lambda *_, **__: wrong)
    event, found, error = check(devices="cpu:2")
    assert error.code == 76 and event["problems"] == [str(error)]
    assert lines(found, "error")["replicas"].startswith(
        "2 replicas do not make the update of one device: their gradients differ | --devices | see"
    )


def test_a_batch_that_does_not_fit_on_one_device_says_nothing_of_several(check, monkeypatch):
    def full(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    monkeypatch.setattr(tried.scaling, "verify", full)
    _, found, error = check(devices="cpu:2")
    assert error is None and "not compared with one device" in lines(found, "warning")["replicas"]


def test_a_shard_of_another_size(check, data, tmp_path):
    broken = shutil.copytree(data, tmp_path / "broken")
    with open(broken / "train-00001-of-00002.tfrecord", "ab") as shard:
        shard.write(b"more")
    _, found, error = check(data=broken)
    assert error.code == 65 and "bytes, its manifest says" in lines(found, "error")["shards"]


def test_a_model_directory_that_is_a_file(check, tmp_path):
    (tmp_path / "run").write_text("mine")
    _, found, error = check()
    assert error.code == 73 and "model directory is a file" in lines(found, "error")["start"]


def test_a_model_directory_that_may_not_be_written(check, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(foreseen.os, "access", lambda path, mode: False)
    _, found, error = check()
    assert error.code == 77 and "Permission denied" in lines(found, "error")["start"]


def test_a_disk_without_room(check, monkeypatch):
    usage = types.SimpleNamespace(free=1000)
    monkeypatch.setattr(tried.shutil, "disk_usage", lambda path: usage)
    event, found, error = check(keep=1)
    assert error.code == 74 and "or give less than --keep=1" in str(error)
    needed = findings.size(2 * event["commit_bytes"])
    assert lines(found, "error")["commit"].startswith(
        f"the disk has 1000 bytes free, and the commits need {needed}"
    )


def test_a_state_that_does_not_come_back(check, monkeypatch):
    monkeypatch.setattr(tried.checkpoint, "restore", lambda commit, variables: None)
    _, found, error = check()
    assert error.code == 74
    assert "the state that was restored is not" in lines(found, "error")["commit"]


def test_pictures_that_do_not_fit_in_memory(check, monkeypatch):
    def full(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmore")

    monkeypatch.setattr(tried.trial, "calls", full)
    _, found, error = check()
    assert error.code == 64 and error.where == "--batch_size"
    assert lines(found, "error")["steps"].startswith(
        "it does not fit in memory: OOM when allocating | --batch_size | give a smaller one"
    )


def test_a_disk_that_fails_is_a_problem_among_others(check, monkeypatch):
    def failing(*_):
        raise OSError(5, "Input/output error", "/there")

    monkeypatch.setattr(tried.trial, "calls", failing)
    event, found, error = check()
    assert error.code == 74 and len(event["problems"]) == 1
    assert lines(found, "error")["steps"].startswith("Input/output error | /there | see that")


@pytest.mark.parametrize("policy", ["fail", "skip"])
def test_a_bad_record(check, tmp_path, policy):
    payloads = small_runs.payloads(N)
    payloads[3] = made.record(made.png(made.pixels(3)), small_runs.CLASSES)  # no such class
    write(tmp_path / "bad", payloads)
    _, found, error = check(data=tmp_path / "bad", bad_records=policy)
    if policy == "fail":
        assert error.code == 65 and "label 4 is not in 0..3" in lines(found, "error")["steps"]
    else:
        assert error is None and "left out from step" in lines(found, "warning")["data"]


def test_what_is_seldom_meant_is_a_warning(check, monkeypatch):
    monkeypatch.setattr(tried, "_MUCH_WAITING", -1)
    monkeypatch.setattr(tried, "_LONG_WITHOUT_COMMIT", 0)
    event, found, error = check(batch_size=16, overfit_batches=2)
    assert error is None and event["warnings"] == [t for s, _, t in found if s == "warning"]
    wide, first, waiting, unsaved = event["warnings"]
    assert wide == "a step takes more than the 14 records of an epoch"
    assert first == "trains on the first 2 batches only"
    assert waiting.endswith("of their time is spent waiting for pictures")
    assert unsaved.endswith("without a commit: give --save_every_steps")


def test_pictures_that_change_their_size(check):
    event, _, _ = check(
        image_size=8, resolutions=(6, 8), resolution_boundaries=("2",), steps=9, reader="auto"
    )
    assert event["warnings"] == [
        "the pictures change their size, and the steps tried are of the first"
    ]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_where_it_is_interrupted(data, tmp_path, monkeypatch, interrupt):
    def stop(found, run, times):
        (temporary,) = tmp_path.iterdir()
        assert temporary.name.startswith(".dry_run-") and len(list(temporary.iterdir())) == 1
        raise interrupt

    monkeypatch.setattr(tried, "evaluation", stop)
    with pytest.raises(interrupt):
        dry_run.check(small_runs.config(data, tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("every", [0, 1, 3, 4, 10, 12, 15])
@pytest.mark.parametrize("step", [0, 3, 5, 11, 12])
def test_how_often_something_is_due(every, step):
    due = [at for at in range(step + 1, 13) if at == 12 or (every and at % every == 0)]
    assert tried._events(every, step, 12) == len(due)


def test_the_length_of_whole_epochs(capsys):
    foreseen.length(Findings(), Config(epochs=2.0, batch_size=5), 20)
    assert "8 steps, 2 epochs of 4 steps\n" in capsys.readouterr().err


@pytest.mark.parametrize(("warmup", "warned"), [("5", False), ("6", True), ("200%", True)])
def test_a_warmup_longer_than_the_run(capsys, warmup, warned):
    found = Findings()
    foreseen.rate(found, Config(steps=6, warmup=warmup), 20)
    said = found.warnings
    assert [text.startswith("no step is left after the ") for text in said] == [True] * warned


def test_times_and_sizes_for_people():
    assert [findings.duration(s) for s in (0, 0.493, 12.3, 60, 100, 7322)] == [
        "0 s", "0.49 s", "12 s", "1:00", "1:40", "2:02:02"]  # fmt: skip
    assert [findings.size(b) for b in (0, 1023, 1536, 5 * 2**20, 3 * 2**30, 5000 * 2**30)] == [
        "0 bytes", "1023 bytes", "1.5 KiB", "5 MiB", "3 GiB", "4.883 TiB"]  # fmt: skip
