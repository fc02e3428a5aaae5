"""Whatever an option adds to the state of a run, an interrupted run ends in the same bits."""

import made
import pytest
import small_runs

from resnet_tf import checkpoint
from resnet_tf.training import command, ending, loop

import tensorflow as tf  # isort: skip

# Dropout, whose noise must not depend on the number of calls either.
DROPPED = {"model_options": {"dropout": 0.5}}
RUNS = {
    "sgd": {"nesterov": True},
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1},
    "rmsprop": {"optimizer": "rmsprop"},
    "lars": {"optimizer": "lars", "trust": 0.1},
    "lamb": {"optimizer": "lamb"},
    "ema": {"ema": 0.9},
    "float16": {"precision": "float16"},
    "accumulate": {"accumulate": 2},
    "dropout": {"accumulate": 2, **DROPPED},
    "overfit": {"overfit_batches": 3},
    # The first update makes weights beyond float16, unless it is halved.
    "rollback": {
        "on_nonfinite": "rollback", "precision": "float16", "loss_scale": 1.0,
        "learning_rate": 3000.0, "schedule": "step", "boundaries": ("1",), "factors": (1.0, 1e-8),
    },
}  # fmt: skip
# What an optimizer keeps of the head's bias, and its counts.
STATE = {
    "sgd": {"momentum/head/bias"},
    "adam": {"adam_first/head/bias", "adam_second/head/bias", "adam_updates"},
    "adamw": {"adam_first/head/bias", "adam_second/head/bias", "adam_updates"},
    "rmsprop": {"rmsprop_square/head/bias", "rmsprop_momentum/head/bias"},
    "lars": {"lars_momentum/head/bias"},
    "lamb": {"lamb_first/head/bias", "lamb_second/head/bias", "lamb_updates"},
}


@pytest.fixture(scope="module", autouse=True)
def _normed(two_replicas):
    with pytest.MonkeyPatch.context() as patch:
        small_runs.use_normed(patch, two_replicas)
        # Which change nothing of a run.
        patch.setattr(loop, "_evaluate", lambda *_: ({}, None))
        patch.setattr(ending, "write_page", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    payloads = small_runs.payloads(16)
    splits = {"train": made.split_up(payloads, (10, 6)), "test": [small_runs.payloads(4)]}
    made.data_set(directory, splits, classes=small_runs.CLASSES, size=8)
    return directory


@pytest.mark.parametrize("kind", RUNS)
def test_the_same_bits(kind, data, tmp_path, monkeypatch, capsys):
    told = {"save_every_steps": 3, "steps_per_call": 2, "learning_rate": 0.1} | RUNS[kind]
    undisturbed = small_runs.train(data, tmp_path / "undisturbed", **told)
    config = small_runs.config(data, tmp_path / "run", **told)
    small_runs.interrupt_after(3, config, monkeypatch)
    capsys.readouterr()
    resumed = command.train(config)
    assert "resumed from step 3" in capsys.readouterr().err
    assert resumed["step"] == undisturbed["step"] == 6
    assert resumed["digest"] == undisturbed["digest"]
    reader = tf.train.load_checkpoint(checkpoint.find(tmp_path / "run").variables)
    assert_it_did_something(kind, reader)
    if kind == "rollback":
        assert len(small_runs.journal(tmp_path / "run", "nonfinite")) == 1


def assert_it_did_something(kind, reader):
    """The state of the option is there, and has moved."""
    names = set(reader.get_variable_to_shape_map())
    if kind in STATE:
        last = {name[10:] for name in names if name.startswith("optimizer/")}
        assert {n for n in last if n.endswith(("head/bias", "updates"))} == STATE[kind]
        assert all(reader.get_tensor(f"optimizer/{name}").any() for name in STATE[kind])
    if kind == "ema":
        assert reader.get_tensor("average_updates") == 6
    if kind == "float16":
        counted = ("loss_scale/in_a_row", "loss_scale/overflows")
        assert sum(reader.get_tensor(name) for name in counted) == 6
    if kind == "rollback":
        assert reader.get_tensor("rate_factor") == 0.5
