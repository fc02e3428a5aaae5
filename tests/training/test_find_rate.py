"""The rate finder as a command, in this process."""

import json
import math
import pathlib

import made
import numpy as np
import pytest
import small_runs

from resnet_tf import checkpoint
from resnet_tf.config import Config
from resnet_tf.distribution import DeviceRequest, make_strategy
from resnet_tf.errors import UserError
from resnet_tf.training import find_rate, rate_finder, start, trial

import tensorflow as tf  # isort: skip

DIGITS = pathlib.Path(__file__).resolve().parents[2] / "data" / "digits"
N = 14


def digits(model_dir, **told):
    fields = {
        "model": "cifar_resnet", "model_options": {"depth": 8, "width_multiplier": 0.25},
        "data_dir": str(DIGITS), "model_dir": str(model_dir), "steps": 3, "batch_size": 16,
        "devices": "cpu", "schedule": "cosine", "warmup": "1",
    }  # fmt: skip
    return Config(**(fields | told))


def test_a_rate_for_digits(tmp_path, capsys):
    """Longer than the run of 3 steps, and without its schedule and warm-up."""
    event = find_rate.find(digits(tmp_path / "new" / "run"), 1e-4, 100.0, 80)
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1]) == event and event["event"] == "find_lr"
    directory = tmp_path / "new" / "run"
    assert sorted(p.name for p in directory.iterdir()) == ["lr_finder.json", "lr_finder.png"]
    assert event["plot"] == str(directory / "lr_finder.png")
    assert tf.io.decode_png((directory / "lr_finder.png").read_bytes()).shape[:2] == (600, 960)
    numbers = json.loads((directory / "lr_finder.json").read_text())
    rates, losses = numbers["rates"], numbers["losses"]
    assert len(rates) == len(losses) == event["steps"] <= 80
    np.testing.assert_allclose(rates, 1e-4 * 1e6 ** (np.arange(len(rates)) / 79), rtol=1e-5)
    assert losses[0] == pytest.approx(math.log(10), rel=0.5)  # knows nothing yet
    losses = [math.inf if loss is None else loss for loss in losses]
    found = rate_finder.suggest(rates, losses)
    assert numbers["suggestion"] == {
        "rate": found.rate, "lowest": found.lowest, "diverged": found.diverged
    }  # fmt: skip
    assert (event["suggestion"], event["lowest"]) == (found.rate, found.lowest)
    assert event["learning_rate"] == found.rate and 1e-3 < found.rate < 10
    assert f"suggested: --learning_rate={found.rate:.2g}. At a rate of" in err
    assert "Schedule (cosine) and warm-up (1) were not used, and scale the rate as ever." in err


@pytest.fixture
def tiny(tmp_path, monkeypatch, two_replicas):
    """The config of a network of one layer on a few pictures."""
    small_runs.use_tiny(monkeypatch, two_replicas)
    payloads = small_runs.payloads(N)
    (tmp_path / "data").mkdir()
    splits = {"train": [payloads], "test": [payloads[:4]]}
    made.data_set(tmp_path / "data", splits, classes=small_runs.CLASSES, size=8)

    def config(model_dir=tmp_path / "run", **told):
        return small_runs.config(tmp_path / "data", model_dir, **told)

    return config


def losses_of(monkeypatch, losses, finite=None):
    """In place of training: these losses, 10 a call; True in `finite` where the step was sound."""
    finite = np.ones(len(losses), bool) if finite is None else np.array(finite)
    rates = np.geomspace(1e-3, 1.0, len(losses)).astype(np.float32)

    def calls(run, step, count, say):
        assert (step, count) == (0, 10)
        for first in range(0, len(losses), 10):
            part = slice(first, first + 10)
            yield {
                "loss": np.array(losses[part], np.float32), "learning_rate": rates[part],
                "finite": finite[part], "overflowed": np.zeros(len(losses[part]), bool),
            }  # fmt: skip
        raise AssertionError("it did not stop")

    monkeypatch.setattr(trial, "calls", calls)
    return rates


FALLING = np.linspace(3.0, 1.0, 30).tolist()


@pytest.mark.parametrize(("rule", "factor"), [("none", 1), ("linear", 4 / 16), ("sqrt", 2 / 4)])
def test_the_flag_is_what_the_rule_makes_the_rate_of(tiny, monkeypatch, capsys, rule, factor):
    losses_of(monkeypatch, FALLING)
    config = tiny(steps_per_call=10, rate_rule=rule, rate_batch_size=16)
    event = find_rate.find(config, 1e-3, 1.0, 30)
    assert event["learning_rate"] * factor == pytest.approx(event["suggestion"])
    assert event["diverged"] is None and event["steps"] == 30
    err = capsys.readouterr().err
    assert f"--learning_rate={event['learning_rate']:.2g}. At a rate" in err
    assert "diverges" not in err


def test_it_stops_where_the_loss_has_diverged(tiny, monkeypatch, capsys):
    rates = losses_of(monkeypatch, [*FALLING, *[1e6] * 10])
    event = find_rate.find(tiny(steps_per_call=10), 1e-3, 1.0, 200)
    assert event["diverged"] == pytest.approx(rates[30]) and event["steps"] == 40
    assert f"diverges at {rates[30]:.2g}" in capsys.readouterr().err


@pytest.mark.parametrize("loss", [math.nan, math.inf, 1.0])
def test_it_stops_at_a_step_that_is_not_finite(tiny, monkeypatch, tmp_path, loss):
    """1.0: of the gradient, the loss itself is finite."""
    finite = [True] * 34 + [False]
    rates = losses_of(monkeypatch, [*FALLING, 1.0, 1.0, 1.0, 1.0, loss], finite)
    event = find_rate.find(tiny(steps_per_call=10), 1e-3, 1.0, 200)
    assert event["diverged"] == pytest.approx(rates[34]) and event["steps"] == 35
    numbers = json.loads((tmp_path / "run" / "lr_finder.json").read_text())
    assert numbers["losses"][-1] is None and numbers["losses"][-2] == 1.0


def test_no_more_steps_are_looked_at_than_were_asked_for(tiny, monkeypatch):
    losses_of(monkeypatch, [*FALLING, *FALLING])
    assert find_rate.find(tiny(steps_per_call=10), 1e-3, 1.0, 25)["steps"] == 25


def test_losses_that_show_nothing(tiny, monkeypatch, tmp_path, capsys):
    losses_of(monkeypatch, FALLING[::-1])
    with pytest.raises(UserError) as error:
        find_rate.find(tiny(steps_per_call=10), 1e-3, 1.0, 30)
    assert error.value.code == 76
    assert "losses at rates from 0.001 to 1 show no best one: the loss never falls" in str(
        error.value
    )
    assert "give another --find_lr_low or --find_lr_high" in str(error.value)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["lr_finder.json"]
    numbers = json.loads((tmp_path / "run" / "lr_finder.json").read_text())
    assert len(numbers["losses"]) == 30 and numbers["suggestion"] is None
    assert capsys.readouterr().out == ""


def test_a_run_that_is_there_is_not_touched(tiny, monkeypatch, tmp_path):
    small_runs.train(tmp_path / "data", tmp_path / "run", steps=3)
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    losses_of(monkeypatch, FALLING)
    find_rate.find(tiny(steps_per_call=10, weight_decay=0.5), 1e-3, 1.0, 30)
    after = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert before.items() <= after.items()
    assert {p.name for p in after.keys() - before.keys()} == {"lr_finder.png", "lr_finder.json"}


def test_it_starts_from_the_weights_that_init_from_names(tiny, monkeypatch, tmp_path):
    small_runs.train(tmp_path / "data", tmp_path / "first", steps=3)
    losses_of(monkeypatch, FALLING)
    seen, fake = {}, trial.calls

    def calls(run, *arguments):
        seen.update(run.tensors())
        return fake(run, *arguments)

    monkeypatch.setattr(trial, "calls", calls)
    find_rate.find(tiny(steps_per_call=10, init_from=str(tmp_path / "first")), 1e-3, 1.0, 30)
    saved = tf.train.load_checkpoint(checkpoint.find(tmp_path / "first").variables)
    kernel = "model/conv/kernel"
    assert (seen[kernel] == saved.get_tensor(kernel)).all() and seen["step"] == 0


def calls(config, steps, say=print):
    """Calls of a run of its own, of `steps` steps."""
    strategy = make_strategy(DeviceRequest.parse("cpu"))
    return trial.calls(start.prepare(config, start.data_of(config), strategy), 0, steps, say)


def test_a_bad_record_is_left_out_where_that_is_allowed(tiny, tmp_path):
    payloads = small_runs.payloads(N)
    payloads[3] = made.record(made.png(made.pixels(3)), small_runs.CLASSES)  # no such class
    splits = {"train": [payloads], "test": [payloads[:3]]}
    made.data_set(tmp_path / "data", splits, classes=small_runs.CLASSES, size=8)
    with pytest.raises(UserError, match=r"ERROR 65: label 4 is not in 0\.\.3"):
        list(zip(range(5), calls(tiny(), 2)))
    said = []
    healths = [h for _, h in zip(range(5), calls(tiny(bad_records="skip"), 2, said.append))]
    assert all(health["finite"].all() for health in healths)
    (line,) = said
    assert line.startswith("left out from step ") and "label 4 is not in 0..3" in line


def test_gpus_that_are_required(tiny):
    with pytest.raises(UserError, match="ERROR 64: TensorFlow sees 0 GPUs, "):
        find_rate.find(tiny(require_gpus=1), 1e-3, 1.0, 30)


def test_a_model_directory_that_cannot_be_written(tiny, monkeypatch, tmp_path):
    with pytest.raises(UserError, match="ERROR 73: cannot write in the model directory"):
        find_rate.find(tiny(model_dir="/proc/resnet_tf/run"), 1e-3, 1.0, 30)
    losses_of(monkeypatch, FALLING)
    (tmp_path / "run" / "lr_finder.json").mkdir(parents=True)
    with pytest.raises(UserError, match="ERROR 77: cannot write in the model directory: Is a dir"):
        find_rate.find(tiny(steps_per_call=10), 1e-3, 1.0, 30)


def test_calls_end_where_the_pictures_change_their_size(tiny):
    """At steps 2 and 5, in calls of up to 4 steps."""
    config = tiny(
        image_size=8, resolutions=(4, 6, 8), resolution_boundaries=("2", "5"), reader="auto"
    )
    made_calls = calls(config, 4)
    assert [len(next(made_calls)["loss"]) for _ in range(4)] == [2, 3, 4, 4]
