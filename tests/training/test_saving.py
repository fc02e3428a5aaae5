"""What is kept of a run's commits, and what a failing disk costs."""

import dataclasses
import json
import os
import re
import shutil
import threading
import time
import types

import numpy as np
import pytest
import small_runs

from resnet_tf import checkpoint
from resnet_tf.checkpoint import commit
from resnet_tf.errors import UserError
from resnet_tf.stopping import Stop
from resnet_tf.training import command, loop, saving, start

import tensorflow as tf  # isort: skip

RUN = {"steps": 12, "save_every_steps": 2, "keep": 1}


@pytest.fixture
def data(tmp_path):
    return small_runs.data_set(tmp_path / "data")


@pytest.fixture(autouse=True)
def tiny(monkeypatch, two_replicas):
    small_runs.use_tiny(monkeypatch, two_replicas)


def steps(tmp_path):
    return [int(path.name[5:]) for path in checkpoint.commits(tmp_path / "run/checkpoints")]


def commit_of(directory, step, fields=None):
    """A commit of one number."""
    return checkpoint.write(directory, step, {"w": np.zeros(1, np.float32)}, fields or {})


def fails(monkeypatch, times):
    """The first so many commits fail at their manifest."""
    left, real = [OSError(28, "No space left on device")] * times, commit.write_synced

    def write(path, text):
        if left and path.name == commit.MANIFEST:
            raise left.pop()
        real(path, text)

    monkeypatch.setattr(commit, "write_synced", write)


def test_a_failing_disk_costs_saves_and_not_the_run(data, tmp_path, monkeypatch, capsys):
    """# fault H1"""
    undisturbed = small_runs.train(data, tmp_path / "other", **RUN)
    fails(monkeypatch, 3)
    done = small_runs.train(data, tmp_path / "run", **RUN)
    assert done["digest"] == undisturbed["digest"]
    failed = small_runs.journal(tmp_path / "run", "save_failed")
    assert [event["step"] for event in failed] == [2, 4, 6]
    message = "ERROR 74: saving step 2 failed: [Errno 28] No space left on device"
    assert failed[0]["error"].startswith(message)
    assert "; going on, nothing is committed" in capsys.readouterr().err


def test_where_the_last_commit_fails_the_run_says_so(data, tmp_path, monkeypatch):
    """# fault H1"""
    told = RUN | {"save_every_steps": 8}
    small_runs.train(data, tmp_path / "run", **told | {"steps": 8})
    with monkeypatch.context() as patch, pytest.raises(UserError, match="ERROR 74: saving step 12"):
        fails(patch, 1)
        small_runs.train(data, tmp_path / "run", **told)
    assert steps(tmp_path) == [8]
    other = small_runs.train(data, tmp_path / "other", **told)
    assert small_runs.train(data, tmp_path / "run", **told)["digest"] == other["digest"]


def test_a_directory_that_is_moved_away_is_not_made_again(data, tmp_path, monkeypatch):
    """# fault H12"""
    real, moved = saving.Saver.save, tmp_path / "moved"

    def move(self, step):
        if step == 4:
            shutil.move(tmp_path / "run", moved)
        return real(self, step)

    monkeypatch.setattr(saving.Saver, "save", move)
    with pytest.raises(UserError, match="ERROR 74: the model directory is gone"):
        small_runs.train(data, tmp_path / "run", **RUN)
    assert not (tmp_path / "run").exists() and checkpoint.find(moved).step == 2


def test_a_step_that_does_not_fit_in_memory_leaves_what_is_committed(data, tmp_path, monkeypatch):
    """# fault P3"""
    real = start.prepare

    def prepare(*arguments):
        run = real(*arguments)

        def train(iterator, count):
            if run.step.numpy() == 4:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmore")
            return run.train(iterator, count)

        return dataclasses.replace(run, train=train)

    monkeypatch.setattr(start, "prepare", prepare)
    message = "ERROR 70: a step of 4 pictures of 8x8 does not fit in memory: OOM when allocating |"
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        small_runs.train(data, tmp_path / "run", **RUN)
    assert caught.value.where == "--batch_size" and "--accumulate" in caught.value.remedy
    assert steps(tmp_path) == [4]


def test_an_evaluation_that_does_not_fit_in_memory_is_no_bug(data, tmp_path, monkeypatch, capsys):
    """# fault P3"""
    real = start.prepare

    def prepare(*arguments):
        def evaluate(**_):
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmore")

        return dataclasses.replace(real(*arguments), evaluate=evaluate)

    monkeypatch.setattr(start, "prepare", prepare)
    message = "an evaluation of 3 pictures of 8x8 does not fit in memory: OOM when allocating |"
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        small_runs.train(data, tmp_path / "run", **RUN, eval_batch_size=3)
    assert caught.value.code == 70 and caught.value.where == "--eval_batch_size"
    assert "time: " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a run & 'its' [directory] – été", "x" * 200])
def test_a_directory_of_any_name(data, tmp_path, name):
    """# fault H13"""
    for end in (6, 12):
        done = small_runs.train(data, tmp_path / name, **RUN | {"steps": end})
        assert done["step"] == end and checkpoint.find(tmp_path / name).step == end


def test_what_is_written_for_nobody_else_is_gone_on_with(data, tmp_path):
    """# fault H14"""
    before = os.umask(0o077)
    try:
        small_runs.train(data, tmp_path / "run", **RUN | {"steps": 6})
        assert small_runs.train(data, tmp_path / "run", **RUN)["step"] == 12
    finally:
        os.umask(before)
    for path in (tmp_path / "run").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0


def space(monkeypatch, free):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(saving.shutil, "disk_usage", lambda path: usage._replace(free=free()))


def test_no_room_for_two_commits_is_said_before_anything_is_made(data, tmp_path, monkeypatch):
    """# fault H2"""
    space(monkeypatch, lambda: 2**20)
    message = r"ERROR 74: the disk has 1 MiB free, and two commits need 2\.002 MiB"
    with pytest.raises(UserError, match=message):
        small_runs.train(data, tmp_path / "run", **RUN)
    assert not (tmp_path / "run").exists()


def test_a_disk_that_fills_up_costs_saves(data, tmp_path, monkeypatch):
    """# fault H1"""
    free = iter([2**30, 2**30, 1000, 1000])
    space(monkeypatch, lambda: next(free, 2**30))
    small_runs.train(data, tmp_path / "run", **RUN)
    failed = small_runs.journal(tmp_path / "run", "save_failed")
    assert [event["step"] for event in failed] == [4, 6]
    assert "the disk has 1000 bytes free, and a commit needs 1.001 MiB" in failed[0]["error"]


def test_an_old_commit_that_stays_costs_a_line_not_the_run(data, tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("resnet_tf.checkpoint.retention.sweep", refuse)
    small_runs.train(data, tmp_path / "run", **RUN)
    assert "an old commit could not be removed" in capsys.readouterr().err
    assert steps(tmp_path) == [12, 10, 8, 6, 4, 2]


@pytest.mark.parametrize("metric, better", [("top1", max), ("top5", max), ("loss", min)])
def test_the_best_stays(data, tmp_path, metric, better):
    told = RUN | {"eval_every_steps": 2, "keep_best": metric}
    small_runs.train(data, tmp_path / "run", **told)
    found = {e["step"]: e[metric] for e in small_runs.journal(tmp_path / "run", "eval")}
    best = min(step for step, value in found.items() if value == better(found.values()))
    assert set(steps(tmp_path)) == {12, best}


def test_the_best_survives_a_restart_and_is_committed_where_no_commit_is_due(data, tmp_path):
    told = {"keep_best": "loss", "eval_every_steps": 3, "keep": 1, "save_every_steps": 0,
            "learning_rate": 0.1, "schedule": "constant"}  # fmt: skip
    small_runs.train(data, tmp_path / "run", steps=7, **told)
    worse = told | {"learning_rate": 30.0, "allow_change": ("learning_rate",)}
    small_runs.train(data, tmp_path / "run", steps=20, **worse)
    found = {e["step"]: e["loss"] for e in small_runs.journal(tmp_path / "run", "eval")}
    best = min(found, key=found.get)
    assert best <= 7 and set(steps(tmp_path)) == {20, best}


def test_one_commit_of_every_so_many_hours_stays(data, tmp_path, monkeypatch):
    clock = iter(range(0, 100_000, 1800))  # half an hour from one commit to the next
    now = types.SimpleNamespace(time=lambda: 10**9 + next(clock))
    monkeypatch.setattr("resnet_tf.checkpoint.retention.time", now)
    told = RUN | {"keep_every_hours": 1.5}
    small_runs.train(data, tmp_path / "run", **told | {"steps": 8})
    assert steps(tmp_path) == [8, 2]
    small_runs.train(data, tmp_path / "run", **told | {"steps": 18})
    assert steps(tmp_path) == [18, 14, 8, 2]
    manifest = json.loads((tmp_path / "run/checkpoints/step_000000008/manifest.json").read_text())
    assert manifest["kept_at"] == 10**9 + 3 * 1800


def test_after_a_rollback_the_best_is_one_of_the_steps_that_count(tmp_path):
    retention = checkpoint.Retention(tmp_path, 1, "top1")
    found = []
    for step, value in ((2, 0.5), (4, 0.5), (6, 0.9)):
        commit_of(tmp_path, step)
        found.append(retention.evaluated(step, {"top1": value}))
    assert found == [True, False, True]
    retention.forget_after(5)
    assert retention.best == 2
    retention = checkpoint.Retention(tmp_path, 1, every_hours=1)
    made = checkpoint.Commit(tmp_path / "step_000000006", 6, retention.fields())
    retention.committed(made)
    assert made.manifest and not retention.fields()
    retention.forget_after(5)
    assert retention.fields()
    assert not checkpoint.Retention(tmp_path, 1).evaluated(2, {"top1": 1.0})


def test_what_is_no_number_is_not_the_best(tmp_path):
    """A loss that is not finite, and lines of a damaged journal."""
    strange = [{"step": 1, "loss": None}, {"step": 2}, {"loss": 1.0}, {"step": "3", "loss": 0.1},
               {"step": 4, "loss": "x"}]  # fmt: skip
    retention = checkpoint.Retention(tmp_path, 1, "loss", evaluations=strange)
    assert retention.best is None and not retention.evaluated(5, {"loss": None})
    assert retention.evaluated(6, {"loss": 2.0}) and retention.best is None  # not committed
    commit_of(tmp_path, 6)
    assert retention.best == 6


def test_the_first_commit_is_swept_as_others_are(data, tmp_path):
    told = {"steps": 6, "save_every_steps": 2, "keep": 1, "on_nonfinite": "rollback"}
    small_runs.train(data, tmp_path / "run", **told)
    assert steps(tmp_path) == [6]


def test_a_done_line_that_is_damaged_is_made_again(data, tmp_path):
    done = small_runs.train(data, tmp_path / "run", **RUN)
    path = tmp_path / "run/journal.jsonl"
    path.write_text(path.read_text().replace('"eval": {"split"', '"evil": {"split"'))
    again = small_runs.train(data, tmp_path / "run", **RUN)
    assert again["digest"] == done["digest"] and again["eval"] == done["eval"]


# --- beside the steps


def slow_disk(monkeypatch):
    """Each commit is written once two more steps are made, or once it is waited for."""
    real, begun = commit.write, []

    def write(*arguments):
        begun.append(threading.current_thread() is threading.main_thread())
        time.sleep(0.05)
        return real(*arguments)

    monkeypatch.setattr(checkpoint, "write", write)
    return begun


def test_a_commit_beside_the_steps_is_of_the_step_it_names(data, tmp_path, monkeypatch):
    """# fault P5"""
    told = RUN | {"keep": 99, "save_every_steps": 1, "steps_per_call": 1, "ema": 0.9}
    small_runs.train(data, tmp_path / "other", **told)
    begun = slow_disk(monkeypatch)
    small_runs.train(data, tmp_path / "run", **told, async_save=True)
    assert begun == [False] * 11 + [True]  # the last is waited for
    assert steps(tmp_path) == list(range(12, 0, -1))
    for path in checkpoint.commits(tmp_path / "run/checkpoints"):
        there = tmp_path / "other/checkpoints" / path.name
        assert commit.verify(path).manifest["digest"] == commit.verify(there).manifest["digest"]
    saves = small_runs.journal(tmp_path / "run", "save")
    assert [event["step"] for event in saves] == list(range(1, 13))
    assert min(event["seconds"] for event in saves) >= 0.05


def test_a_disk_that_fails_beside_the_steps_costs_saves(data, tmp_path, monkeypatch, capsys):
    undisturbed = small_runs.train(data, tmp_path / "other", **RUN)
    fails(monkeypatch, 2)
    done = small_runs.train(data, tmp_path / "run", **RUN, async_save=True)
    assert done["digest"] == undisturbed["digest"]
    assert [e["step"] for e in small_runs.journal(tmp_path / "run", "save_failed")] == [2, 4]
    assert "going on, nothing is committed" in capsys.readouterr().err


def test_a_state_that_is_not_finite_is_not_committed_beside_the_steps(data, tmp_path, monkeypatch):
    def refuse(*_):
        raise UserError(76, "a is not finite", "step 2", "start anew")

    monkeypatch.setattr(checkpoint, "write", refuse)
    with pytest.raises(UserError, match="ERROR 76: a is not finite"):
        small_runs.train(data, tmp_path / "run", **RUN, async_save=True)
    assert steps(tmp_path) == []


# fault B3
def test_asked_to_stop_while_a_commit_is_written(data, tmp_path, monkeypatch):
    """It is waited for, and the step that was reached is committed beside it."""
    slow_disk(monkeypatch)
    stop, real = Stop(), saving.Saver.save_if_possible

    def save(self, step):
        real(self, step)
        if step == 4:
            stop.ask("SIGTERM", 143)

    monkeypatch.setattr(saving.Saver, "save_if_possible", save)
    config = small_runs.config(data, tmp_path / "run", **RUN | {"keep": 9}, async_save=True)
    with pytest.raises(UserError) as caught:
        command.train(config, stop=stop)
    assert caught.value.code == 143 and "at step 4, which is committed" in str(caught.value)
    assert steps(tmp_path) == [4, 2]
    assert [e["step"] for e in small_runs.journal(tmp_path / "run", "save")] == [2, 4]


def test_a_run_that_fails_while_a_commit_is_written_keeps_it(data, tmp_path, monkeypatch, capsys):
    slow_disk(monkeypatch)
    monkeypatch.setattr(loop, "_log", lambda run, step, observers: 1 / (step != 5))
    with pytest.raises(ZeroDivisionError):
        small_runs.train(
            data, tmp_path / "run", **RUN | {"save_every_steps": 4}, async_save=True,
            log_every_steps=5, steps_per_call=1,
        )  # fmt: skip
    assert steps(tmp_path) == [4]
    assert "time: " in capsys.readouterr().err  # of bugs, too


def test_another_run_in_the_place_of_the_directory_loses_nothing(data, tmp_path, monkeypatch):
    """# fault H12"""
    small_runs.train(data, tmp_path / "other", **RUN | {"seed": 2, "keep": 3})
    before = steps_of(tmp_path / "other")
    real = saving.Saver.save

    def replace(self, step):
        if step == 4:
            shutil.move(tmp_path / "run", tmp_path / "moved")
            shutil.move(tmp_path / "other", tmp_path / "run")
        return real(self, step)

    monkeypatch.setattr(saving.Saver, "save", replace)
    with pytest.raises(UserError, match="ERROR 74: the lock of the model directory is gone, or"):
        small_runs.train(data, tmp_path / "run", **RUN)
    assert steps_of(tmp_path / "run") == before and steps_of(tmp_path / "moved") == [2]


def steps_of(run):
    return [int(path.name[5:]) for path in checkpoint.commits(run / "checkpoints")]


def test_a_lock_that_was_removed_by_hand_ends_the_run(data, tmp_path, monkeypatch):
    """Then another command may have begun. # fault H5"""
    real = saving.Saver.save

    def remove(self, step):
        if step == 4:
            (tmp_path / "run/lock").unlink()
        return real(self, step)

    monkeypatch.setattr(saving.Saver, "save", remove)
    with pytest.raises(UserError, match="ERROR 74: the lock of the model directory is gone, or"):
        small_runs.train(data, tmp_path / "run", **RUN)
    assert steps(tmp_path) == [2]


def test_an_evaluation_whose_save_failed_protects_nothing(tmp_path):
    retention = checkpoint.Retention(tmp_path, 1, "top1")
    commit_of(tmp_path, 10)
    assert retention.evaluated(10, {"top1": 0.9})
    assert retention.evaluated(20, {"top1": 0.95})  # its save fails
    commit_of(tmp_path, 30)
    assert not retention.evaluated(30, {"top1": 0.5})
    retention.sweep()
    assert retention.best == 10 and len(checkpoint.commits(tmp_path)) == 2


def test_a_clock_that_was_ahead_once(tmp_path):
    """# fault H10"""
    ahead = commit_of(tmp_path, 10, {"kept_at": time.time() + 1e8})
    retention = checkpoint.Retention(tmp_path, 1, every_hours=1)
    assert retention.fields()
    commit_of(tmp_path, 20)
    retention.sweep()
    assert ahead.path.exists()


@pytest.mark.parametrize("kept_at", [10**400, "x", True, None])
def test_a_time_that_is_none(tmp_path, kept_at):
    commit_of(tmp_path, 10, {"kept_at": kept_at})
    assert checkpoint.Retention(tmp_path, 1, every_hours=1).fields()


def test_where_the_time_went_is_said_however_a_run_ends(data, tmp_path, capsys):
    with pytest.raises(UserError, match="ERROR 76"):
        small_runs.train(data, tmp_path / "run", **RUN | {"learning_rate": 1e30})
    assert "\ntime: " in capsys.readouterr().err
    assert len(small_runs.journal(tmp_path / "run", "goodput")) == 1
