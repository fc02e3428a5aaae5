"""Runs that are asked to stop: at which step, with which commit, and what the next command does."""

import os
import pathlib
import signal

import made
import pytest
import small_runs

from resnet_tf import checkpoint
from resnet_tf.checkpoint import commit
from resnet_tf.errors import UserError
from resnet_tf.reporting import Journal
from resnet_tf.stopping import Stop
from resnet_tf.training import command, loop, start
from resnet_tf.training.saving import Saver

import tensorflow as tf  # isort: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    splits = {"train": [small_runs.payloads(10)], "test": [small_runs.payloads(4)]}
    made.data_set(directory, splits, classes=small_runs.CLASSES, size=8)
    return directory


@pytest.fixture(autouse=True)
def tiny(monkeypatch, two_replicas):
    small_runs.use_tiny(monkeypatch, two_replicas)


def config(data, model_dir, **told):
    fields = {"steps": 9, "steps_per_call": 4, "log_every_steps": 100, "eval_every_steps": 3}
    return small_runs.config(data, model_dir, **fields | told)


def stopped(config, stop, code=143):
    with pytest.raises(UserError) as caught:
        command.train(config, stop=stop)
    assert caught.value.code == code
    return caught.value


def ask_at(event, monkeypatch, step=None):
    """A stop that is asked when the journal gets an event."""
    stop, write = Stop(), Journal.write

    def hooked(self, name, **fields):
        write(self, name, **fields)
        if name == event and step in (None, fields["step"]):
            stop.ask("SIGTERM", 143)

    monkeypatch.setattr(Journal, "write", hooked)
    return stop


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory, two_replicas):
    with pytest.MonkeyPatch.context() as patch:
        small_runs.use_tiny(patch, two_replicas)
        return command.train(config(data, tmp_path_factory.mktemp("runs") / "undisturbed"))


@pytest.mark.parametrize("devices", ["cpu", "cpu:2"])
def test_a_call_ends_after_the_step_under_way(devices, data, tmp_path):
    """# fault B1"""
    asked = config(data, tmp_path / "run", devices=devices, eval_every_steps=0)
    run = start.prepare(asked, start.data_of(asked), command.make_strategy(
        command.DeviceRequest.parse(devices)))  # fmt: skip
    run.stop.assign(1)
    health = run.train(iter(run.feed.batches(0)), tf.constant(4))
    assert len(health["loss"]) == 1 and run.step.numpy() == 1


@pytest.mark.parametrize("step", [3, 6])
def test_stopped_and_gone_on_is_the_undisturbed_run(
    step, data, tmp_path, monkeypatch, undisturbed, capsys
):
    told = config(data, tmp_path / "run")
    with monkeypatch.context() as patch:
        error = stopped(told, ask_at("eval", patch, step))
    assert error.what == f"stopped by SIGTERM at step {step}, which is committed"
    assert (
        checkpoint.find(told.model_dir).step == step
        and pathlib.Path(error.where).name == f"step_{step:09d}"
    )
    assert not (tmp_path / "run/lock").exists()
    done = command.train(told)
    # The last interval's mean loss is that of the steps of the last command.
    for name in ("step", "epoch", "examples_seen", "eval", "digest"):
        assert done[name] == undisturbed[name]
    evaluated = [event["step"] for event in small_runs.journal(tmp_path / "run", "eval")]
    assert evaluated == [3, 6, 9]


def test_an_evaluation_is_broken_off_and_done_again(data, tmp_path, monkeypatch, undisturbed):
    """# fault A10, B3: the commit of that step is made, the next command evaluates it first."""
    told = config(data, tmp_path / "run", eval_batch_size=1)
    stop = Stop()
    with monkeypatch.context() as patch:
        real = loop._evaluate

        def evaluate(run, step, observers):
            if step == 6:
                stop.ask("SIGTERM", 143)
            return real(run, step, observers)

        patch.setattr(loop, "_evaluate", evaluate)
        stopped(told, stop)
    assert checkpoint.find(told.model_dir).step == 6
    assert [e["step"] for e in small_runs.journal(tmp_path / "run", "eval")] == [3]
    assert command.train(told)["digest"] == undisturbed["digest"]
    assert [e["step"] for e in small_runs.journal(tmp_path / "run", "eval")] == [3, 6, 9]


def test_stopped_at_a_commit_makes_no_second_one(data, tmp_path, monkeypatch):
    """# fault A15"""
    told = config(data, tmp_path / "run", save_every_steps=3)
    made_at = []
    save = Saver.save
    monkeypatch.setattr(Saver, "save", lambda *a: made_at.append(a[1]) or save(*a))
    stopped(told, ask_at("save", monkeypatch, 3))
    assert made_at == [3]


def test_signals_while_a_commit_is_written_make_it_once(data, tmp_path, monkeypatch):
    """# fault B10"""
    told = config(data, tmp_path / "run", save_every_steps=3)
    made_at, real = [], commit.sync

    def write(*arguments):
        made_at.append(arguments[1])
        return write_commit(*arguments)

    def sync(path):
        for _ in range(50):
            os.kill(os.getpid(), signal.SIGTERM)
        real(path)

    write_commit = commit.write
    monkeypatch.setattr(checkpoint, "write", write)
    monkeypatch.setattr(commit, "sync", sync)
    with Stop().listening() as stop:
        error = stopped(told, stop)
    assert error.what == "stopped by SIGTERM at step 3, which is committed" and made_at == [3]
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step_000000003"]
    assert checkpoint.find(told.model_dir).step == 3


def test_stopped_before_it_begins_makes_nothing(data, tmp_path):
    """# fault B2"""
    stop = Stop()
    stop.ask("SIGINT", 130)
    error = stopped(config(data, tmp_path / "run"), stop, 130)
    assert error.what == "stopped by SIGINT before it had begun"
    assert not (tmp_path / "run").exists()


def test_stopped_before_the_first_step_commits_nothing(data, tmp_path, monkeypatch):
    """# fault B2"""
    error = stopped(config(data, tmp_path / "run"), ask_at("start", monkeypatch))
    assert error.what == "stopped by SIGTERM before the first step"
    assert not (tmp_path / "run/checkpoints").exists()


def test_a_locked_directory_is_left_as_it_is(data, tmp_path):
    told = config(data, tmp_path / "run")
    (tmp_path / "run").mkdir()
    lock = checkpoint.Lock(tmp_path / "run")
    with pytest.raises(UserError) as caught:
        command.train(told)
    assert caught.value.code == 77 and "is locked by host" in caught.value.what
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["lock"]
    lock.release()
    assert command.train(told)["step"] == 9


def test_another_command_that_committed_meanwhile(data, tmp_path, monkeypatch):
    """Both began when there was nothing; the other one was faster."""
    told = config(data, tmp_path / "run")
    prepare = start.prepare

    def slow(*arguments):
        run = prepare(*arguments)
        with monkeypatch.context() as patch:
            patch.setattr(command.start, "prepare", prepare)
            command.train(config(data, tmp_path / "run", steps=3))
        return run

    monkeypatch.setattr(command.start, "prepare", slow)
    with pytest.raises(UserError) as caught:
        command.train(told)
    assert caught.value.code == 77 and "committed here in the meantime" in caught.value.what
    assert checkpoint.find(told.model_dir).step == 3
