"""Decisions of the loop that need no training."""

import contextlib
import types

import pytest

from resnet_tf.config import Config
from resnet_tf.errors import UserError
from resnet_tf.training import loop, start


@pytest.mark.parametrize(
    "step, total, expected",
    [(0, 100, 5), (5, 100, 5), (18, 100, 2), (20, 100, 5), (28, 100, 2), (98, 99, 1)],
)
def test_a_call_ends_at_the_next_event_and_is_never_longer_than_asked(step, total, expected):
    config = Config(
        steps=100, steps_per_call=5, log_every_steps=20, save_every_steps=30, eval_every_steps=0
    )
    run = types.SimpleNamespace(
        config=config, total_steps=total, feed=types.SimpleNamespace(resizes=())
    )
    assert loop._steps_until_next_event(run, step) == expected


@pytest.mark.parametrize("step, expected", [(0, 3), (3, 4), (7, 5), (12, 1), (13, 5), (98, 2)])
def test_a_call_ends_where_the_size_of_the_pictures_changes(step, expected):
    config = Config(steps=100, steps_per_call=5, log_every_steps=1000)
    feed = types.SimpleNamespace(resizes=(3, 7, 13))
    run = types.SimpleNamespace(config=config, total_steps=100, feed=feed)
    assert loop._steps_until_next_event(run, step) == expected


def test_something_is_due_at_its_multiples_and_at_the_end():
    assert [loop._due(step, 10, 25) for step in (9, 10, 20, 24, 25)] == [
        False, True, True, False, True]  # fmt: skip
    assert [loop._due(step, 0, 25) for step in (10, 25)] == [False, True]


def _refuse(*_):
    raise PermissionError(13, "Permission denied")


def test_a_disk_that_is_full(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(start, "Journal", full)
    run = types.SimpleNamespace(config=Config(steps=1, model_dir=str(tmp_path)))
    with pytest.raises(UserError, match=r"ERROR 74: cannot write .* No space left"):
        start.open_journal(run, None)


def test_a_directory_that_cannot_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr(start, "make_directory", _refuse)
    config = Config(steps=1, model_dir=str(tmp_path / "run"))
    with pytest.raises(UserError, match=r"ERROR 73: cannot write .* Permission denied"):
        start.take_directory(config, [])


@pytest.mark.parametrize("module, name", [(start, "Lock"), (start, "Journal")])
def test_a_directory_that_may_not_be_written(tmp_path, monkeypatch, module, name):
    """# fault H3"""
    monkeypatch.setattr(module, name, _refuse)
    run = types.SimpleNamespace(config=Config(steps=1, model_dir=str(tmp_path)))
    with pytest.raises(UserError, match=r"ERROR 77: cannot write .* Permission denied"):
        start.take_directory(run.config, []).release()
        start.open_journal(run, None)


@pytest.mark.parametrize(("loss", "said"), [(None, ", its loss is not finite"), (0.5, "")])
def test_a_loss_of_an_evaluation_that_is_not_finite_is_said(loss, said):
    counts = {"correct_top1": 1, "examples": 4, "top1": 0.25, "loss": loss}
    run = types.SimpleNamespace(
        config=Config(steps=1), evaluate=lambda progress: (counts, "predictions")
    )
    lines = []
    observers = types.SimpleNamespace(
        goodput=types.SimpleNamespace(during=lambda part: contextlib.nullcontext()),
        journal=types.SimpleNamespace(write=lambda event, **fields: None),
        console=types.SimpleNamespace(say=lines.append),
        saver=types.SimpleNamespace(evaluated=lambda step, counts: None),
    )
    loop._evaluate(run, 7, observers)
    assert lines == [f"step 7: test 1/4 right, top-1 25.00%{said}"]
