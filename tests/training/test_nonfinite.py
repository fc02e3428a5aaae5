"""A step whose loss or gradient is not finite: stop, skip, rollback, each through the loop."""

import json
import pathlib
import re

import made
import numpy as np
import pytest
import small_runs
from small_runs import journal, payloads, train
from small_steps import Smooth

from resnet_tf import checkpoint, input, models
from resnet_tf.errors import UserError
from resnet_tf.training import nonfinite

import tensorflow as tf  # isort: skip

RECORDS, BATCH, WHITE = 12, 4, 5


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, two_replicas):
    small_runs.use_tiny(monkeypatch, two_replicas)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twelve pictures, of which one is white."""
    directory = tmp_path_factory.mktemp("data")
    records = payloads(RECORDS)
    records[WHITE] = made.record(made.png(np.full((8, 8, 3), 255, np.uint8)), 1)
    splits = {"train": [records], "test": [payloads(4)]}
    made.data_set(directory, splits, classes=small_runs.CLASSES, size=8)
    return directory


def ids_of(step, batch=BATCH, seed=0):
    """The records of a step, by the formula of the order."""
    positions = step * batch + tf.range(batch, dtype=tf.int64)
    return input.Order((RECORDS,), seed).at(positions)[0].numpy().tolist()


FIRST, SECOND = [step for step in range(6) if WHITE in ids_of(step)]
# A seed whose very first batch has the white picture, and one whose second has it.
SEEDS = {step: next(s for s in range(50) if WHITE in ids_of(step, seed=s)) for step in (0, 1, 2)}


class Poison:
    """Makes white pictures NaN, as long as `alive`."""

    def __init__(self, monkeypatch):
        self.alive = tf.Variable(True, trainable=False)
        real = input.normalize

        def normalize(images, mean, std):
            white = tf.reduce_all(tf.equal(tf.cast(images, tf.float32), 255), [1, 2, 3], True)
            pixels = real(images, mean=mean, std=std)
            return tf.where(white & self.alive, np.float32(np.nan), pixels)

        monkeypatch.setattr(input, "normalize", normalize)


@pytest.fixture
def poison(monkeypatch):
    return Poison(monkeypatch)


def stopped(*arguments, **told):
    with pytest.raises(UserError) as caught:
        train(*arguments, **told)
    assert caught.value.code == 76
    return caught.value


def tensors(model_dir, step, prefix="model/"):
    path = pathlib.Path(model_dir) / "checkpoints" / f"step_{step:09d}"
    reader = tf.train.load_checkpoint(checkpoint.find(path).variables)
    names = reader.get_variable_to_shape_map()
    return {name: reader.get_tensor(name) for name in names if name.startswith(prefix)}


def same(one, two):
    assert one.keys() == two.keys()
    return all((one[name] == two[name]).all() for name in one)


def rows_of(error):
    """The cells of its table, by layer, in order."""
    heading, *lines = error.details.splitlines()
    assert heading.split() == ["layer", "largest", "largest", "gradient"]
    cells = [re.split(r"\s{2,}", line.strip()) for line in lines]
    return {name: numbers for name, *numbers in cells}


# --- stop


def test_stop_names_step_records_rate_and_scale(data, tmp_path, poison):
    """# fault E1"""
    error = stopped(data, tmp_path, save_every_steps=1, keep=9, loss_scale=8.0)
    records = ", ".join(map(str, ids_of(FIRST)))
    assert str(error) == (
        f"ERROR 76: loss or gradient is not finite at step {FIRST + 1} (loss nan, gradient norm"
        f" nan, rate 0.01, loss scale 8; records {records}) | {tmp_path} | start anew in another"
        " --model_dir with a lower --learning_rate, more --warmup or --clip=norm; the last commit"
        f" is step {FIRST}"
    )
    assert checkpoint.find(tmp_path).step == FIRST
    (event,) = journal(tmp_path, "nonfinite")
    assert event["at_step"] == FIRST + 1 and event["records"] == ids_of(FIRST)
    assert (event["loss"], event["gradient_norm"]) == ("nan", "nan")
    assert (event["learning_rate"], event["loss_scale"]) == (pytest.approx(0.01), 8)


def test_before_any_commit_that_is_said(data, tmp_path, poison):
    assert "nothing is committed yet" in str(stopped(data, tmp_path))
    assert not (tmp_path / "checkpoints").exists()


def test_the_table_tells_each_layer_the_infinite_ones_first(data, tmp_path, poison):
    """# fault E2"""
    error = stopped(data, tmp_path, save_every_steps=1, keep=9)
    rows, weights = rows_of(error), tensors(tmp_path, FIRST)
    names = {"conv/kernel", "head/kernel", "head/bias"}
    assert rows.keys() == {f"weights {name}" for name in names} | {"output final"}
    assert rows["output final"] == ["nan"]
    for name in names:
        largest = np.abs(weights[f"model/{name}"]).max()
        assert rows[f"weights {name}"] == [f"{largest:.4g}", "nan"]
    (event,) = journal(tmp_path, "nonfinite")
    assert event["layers"]["output final"] == ["nan"]


def test_it_looks_at_the_parts_that_the_step_was_made_of(
    data, tmp_path, poison, monkeypatch, two_replicas
):
    seen = set()

    class Watched(small_runs.Tiny):
        def features(self, images, training):
            seen.add(images.shape[0])
            return super().features(images, training)

    small_runs.use(lambda name, channels, **_: Watched(channels), monkeypatch, two_replicas)
    whole = rows_of(stopped(data, tmp_path / "whole"))
    assert seen == {4}
    seen.clear()
    parts = rows_of(stopped(data, tmp_path / "parts", batch_size=2, accumulate=2))
    assert seen == {2}
    assert parts["output final"] == whole["output final"] == ["nan"]
    assert parts["weights conv/kernel"][1] == "nan"


def test_layers_that_are_sound_come_last():
    rows = [
        ("layer", "a", "b"),
        ("x", "1", "2"),
        ("y", "1", "nan"),
        ("z", "3", ""),
        ("w", "inf", ""),
    ]
    heading, *layers = nonfinite._sorted_by_trouble(rows)
    assert heading == rows[0] and [name for name, *_ in layers] == ["y", "w", "x", "z"]


def test_of_many_records_the_first_are_shown():
    assert nonfinite._listed(list(range(16))) == ", ".join(map(str, range(16)))
    assert nonfinite._listed(list(range(20))).endswith("14, 15 and 4 more")


@pytest.mark.parametrize("sync", [False, True])
def test_on_two_replicas_with_batch_norm(data, tmp_path, poison, monkeypatch, two_replicas, sync):
    """# fault E4"""
    monkeypatch.setattr(models, "create_as_told", lambda name, **_: Smooth(sync=sync))
    with two_replicas.scope():
        poison.alive = tf.Variable(True, trainable=False)
    error = stopped(data, tmp_path, devices="cpu:2", save_every_steps=1, sync_batch_norm=sync)
    assert f"at step {FIRST + 1} (" in str(error)
    assert f"records {', '.join(map(str, ids_of(FIRST)))})" in str(error)
    rows, weights = rows_of(error), tensors(tmp_path, FIRST)
    assert rows["output stem"] == rows["output final"] == ["nan"]
    for name, array in weights.items():
        assert rows[f"weights {name[6:]}"][0] == f"{np.abs(array).max():.4g}"
        assert len(rows[f"weights {name[6:]}"]) == (1 if "moving" in name else 2)


# fault E2, E6
@pytest.mark.parametrize("told", [
    {"accumulate": 2, "batch_size": 2}, {"xla": True}, {"ema": 0.9}, {"optimizer": "adam"},
    {"precision": "float16"}, {"precision": "bfloat16"}, {"clip": "norm"},
])  # fmt: skip
def test_whatever_the_step_nothing_reaches_a_variable(data, tmp_path, poison, told):
    """The last state of a skipped step is that before it, but for the step."""
    told = {"on_nonfinite": "skip", "save_every_steps": 1, "keep": 9, "steps": FIRST + 1} | told
    train(data, tmp_path, **told)
    before, after = (tensors(tmp_path, step, prefix="") for step in (FIRST, FIRST + 1))
    assert (before.pop("step"), after.pop("step")) == (FIRST, FIRST + 1)
    assert same(before, after)
    (event,) = journal(tmp_path, "nonfinite")
    assert event["at_step"] == FIRST + 1 and event["records"] == ids_of(FIRST)


# --- skip


def test_skip_counts_the_step_and_goes_on(data, tmp_path, poison, capsys):
    done = train(data, tmp_path, on_nonfinite="skip", save_every_steps=1, keep=9)
    assert done["step"] == 6
    events = journal(tmp_path, "nonfinite")
    assert [event["step"] for event in events] == [FIRST + 1, SECOND + 1]
    said = capsys.readouterr().err
    for step in (FIRST, SECOND):
        records = ", ".join(map(str, ids_of(step)))
        assert f"step {step + 1} is not finite (records {records}): left out" in said
        assert same(tensors(tmp_path, step), tensors(tmp_path, step + 1))
    other = next(step for step in range(1, 6) if step not in (FIRST, SECOND))
    assert not same(tensors(tmp_path, other), tensors(tmp_path, other + 1))


def test_a_skipping_run_is_resumed_to_the_same_digest(data, tmp_path, poison):
    told = {"on_nonfinite": "skip"}
    whole = train(data, tmp_path / "whole", **told)
    train(data, tmp_path / "resumed", steps=FIRST + 1, **told)
    resumed = train(data, tmp_path / "resumed", **told)
    assert resumed["digest"] == whole["digest"]
    steps = [[e["step"] for e in journal(tmp_path / d, "nonfinite")] for d in ("whole", "resumed")]
    assert steps[0] == steps[1] == [FIRST + 1, SECOND + 1]


def test_a_run_that_skips_all_its_steps_still_ends(data, tmp_path, monkeypatch):
    monkeypatch.setattr(
        input, "normalize", lambda images, **_: tf.cast(images, tf.float32) * np.float32(np.nan)
    )
    done = train(data, tmp_path, on_nonfinite="skip", steps=3)
    assert done["step"] == 3 and done["train_loss"] is None
    assert not journal(tmp_path, "train") and len(journal(tmp_path, "nonfinite")) == 3


def test_skip_stops_beyond_its_limit_and_goes_on_where_that_is_raised(data, tmp_path, poison):
    """# fault E6"""
    told = {"on_nonfinite": "skip", "save_every_steps": 1, "keep": 9}
    error = stopped(data, tmp_path, nonfinite_limit=1, **told)
    assert f"at step {SECOND + 1}, and skip may be needed 1 times, not 2 (" in str(error)
    assert checkpoint.find(tmp_path).step == SECOND
    assert "needed 1 times, not 2 (" in str(stopped(data, tmp_path, nonfinite_limit=1, **told))
    assert train(data, tmp_path, nonfinite_limit=2, **told)["step"] == 6
    events = journal(tmp_path, "nonfinite")
    assert [event["step"] for event in events] == [FIRST + 1, SECOND + 1]


def test_a_limit_of_0_is_a_stop(data, tmp_path, poison):
    error = stopped(data, tmp_path, on_nonfinite="skip", nonfinite_limit=0)
    assert f"at step {FIRST + 1}, and skip may be needed 0 times, not 1 (" in str(error)


# --- rollback


def cure_after(poison, times, monkeypatch):
    """The pictures are sound once the run has gone back so often."""
    real, calls = nonfinite.recover, []

    def recover(*arguments):
        step = real(*arguments)
        calls.append(step)
        poison.alive.assign(len(calls) < times)
        return step

    monkeypatch.setattr(nonfinite, "recover", recover)
    return calls


# fault E5
@pytest.mark.parametrize("bad, every, back, times", [
    (0, 0, 0, 1),  # before any step
    (2, 0, 0, 1),  # the commit of step 0 is the only one
    (1, 1, 0, 2),  # right behind a commit, which would not help
    (2, 1, 1, 1),
])  # fmt: skip
def test_rollback_goes_on_from_the_newest_commit_before_the_step_at_half_the_rate(
    data, tmp_path, poison, monkeypatch, bad, every, back, times
):
    """The truth is a run whose schedule has that factor from that step on."""
    told = {
        "seed": SEEDS[bad], "save_every_steps": every, "keep": 9, "steps": 5, "log_every_steps": 1,
    }  # fmt: skip
    calls = cure_after(poison, times, monkeypatch)
    done = train(data, tmp_path / "back", on_nonfinite="rollback", **told)
    assert calls == [back] * times and done["step"] == 5
    poison.alive.assign(False)
    factor = 0.5**times
    schedule = {"schedule": "step", "boundaries": (f"{back}steps",), "factors": (1.0, factor)}
    train(data, tmp_path / "truth", **told, **schedule)
    assert same(tensors(tmp_path / "back", 5), tensors(tmp_path / "truth", 5))
    assert tensors(tmp_path / "back", 5, "rate_factor") == {"rate_factor": factor}
    found, truth = (journal(tmp_path / name, "train") for name in ("back", "truth"))
    for key in ("step", "loss", "top1", "learning_rate"):
        assert [event[key] for event in found] == [event[key] for event in truth], key
    events = journal(tmp_path / "back", "nonfinite")
    assert [event["step"] for event in events] == [back] * times
    assert {event["at_step"] for event in events} == {bad + 1}
    rates = [event["learning_rate"] for event in events]
    assert rates == pytest.approx([0.01, 0.005][:times])


def test_an_interval_holds_only_the_steps_that_were_not_undone(data, tmp_path, poison, monkeypatch):
    told = {"seed": SEEDS[2], "steps": 4, "log_every_steps": 4, "steps_per_call": 1}
    cure_after(poison, 1, monkeypatch)
    train(data, tmp_path / "back", on_nonfinite="rollback", **told)
    train(data, tmp_path / "truth", **told | {"learning_rate": 0.005})
    (found,), (truth,) = (journal(tmp_path / name, "train") for name in ("back", "truth"))
    assert (found["loss"], found["top1"]) == (truth["loss"], truth["top1"])


def test_a_rolled_back_run_is_resumed_to_the_same_digest(data, tmp_path, poison, monkeypatch):
    told = {"seed": SEEDS[2], "save_every_steps": 1, "keep": 9, "on_nonfinite": "rollback"}
    calls = cure_after(poison, 1, monkeypatch)
    whole = train(data, tmp_path / "whole", **told)
    for first in (3, 4):  # the white picture of step 5 is not seen: it is cured
        poison.alive.assign(True)
        calls.clear()
        train(data, tmp_path / f"{first}", steps=first, **told)
        assert train(data, tmp_path / f"{first}", **told)["digest"] == whole["digest"]


def test_rollback_stops_beyond_its_limit(data, tmp_path, poison):
    """# fault E5"""
    error = stopped(data, tmp_path, on_nonfinite="rollback", nonfinite_limit=2)
    assert f"at step {FIRST + 1}, and rollback may be needed 2 times, not 3 (" in str(error)
    assert "rate 0.0025" in str(error) and "the last commit is step 0" in str(error)
    events = journal(tmp_path, "nonfinite")
    assert [event["step"] for event in events] == [0, 0, FIRST + 1]


def test_it_says_where_it_goes_back_to(data, tmp_path, poison, monkeypatch, capsys):
    cure_after(poison, 1, monkeypatch)
    train(data, tmp_path, on_nonfinite="rollback", seed=SEEDS[1])
    records = ", ".join(map(str, ids_of(1, seed=SEEDS[1])))
    said = f"step 2 is not finite (records {records}): back to step 0, at 0.5 of the rate"
    assert said in capsys.readouterr().err


# --- an overflow for real


def test_a_rate_that_overflows_is_halved_until_it_does_not(data, tmp_path):
    """A first step so wide that the second overflows; the others have rate 0."""
    shape = {"schedule": "step", "boundaries": ("1steps",), "factors": (1.0, 0.0)}
    told = {"steps": 3, "weight_decay": 0.0, **shape}
    rate = 2.0**67
    done = train(data, tmp_path / "back", on_nonfinite="rollback", learning_rate=rate, **told)
    events = journal(tmp_path / "back", "nonfinite")
    assert done["step"] == 3 and 1 <= len(events) < 10
    assert {event["at_step"] for event in events} == {2}
    reached = rate * 0.5 ** len(events)
    train(data, tmp_path / "truth", learning_rate=reached, **told)
    assert same(tensors(tmp_path / "back", 3), tensors(tmp_path / "truth", 3))
    error = stopped(data, tmp_path / "above", learning_rate=2 * reached, **told)
    assert "not finite at step 2 (" in str(error)


def test_a_rate_that_float32_does_not_hold(data, tmp_path):
    error = stopped(data, tmp_path, learning_rate=1e39, schedule="constant")
    assert "not finite at step 2 (" in str(error) and "rate inf," in str(error)
    (event,) = journal(tmp_path, "nonfinite")
    assert event["learning_rate"] == "inf"
    rows = rows_of(error)
    assert {"inf", "nan"} & set(rows["weights head/kernel"])


def test_the_journal_is_json_without_nan(data, tmp_path, poison):
    stopped(data, tmp_path)

    def refuse(constant):
        raise AssertionError(constant)

    for line in (tmp_path / "journal.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=refuse)
