"""An interrupted and resumed run ends in the bits of an undisturbed one, whatever its state."""

import json
import pathlib

import pytest
import small_runs

from resnet_tf import checkpoint
from resnet_tf.config import Config
from resnet_tf.training import command

import tensorflow as tf  # isort: skip

DIGITS = pathlib.Path(__file__).resolve().parents[2] / "data" / "digits"
SMALL = {"depth": 8, "width_multiplier": 0.25}
RUNS = {
    "adam": {"optimizer": "adam", "learning_rate": 0.01, "label_smoothing": 0.1},
    "dropout": {"model_options": SMALL | {"dropout": 0.3, "stochastic_depth": 0.2}},
}


def config(model_dir, **told):
    fields = {
        "model": "cifar_resnet", "model_options": SMALL, "data_dir": str(DIGITS), "steps": 6,
        "batch_size": 16, "pad": 1, "warmup": "2", "devices": "cpu", "steps_per_call": 2,
        "save_every_steps": 3, "eval_batch_size": 360, "log_every_steps": 6,
        "model_dir": str(model_dir),
    }  # fmt: skip
    return Config(**(fields | told))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A run with SGD and without dropout."""
    return command.train(config(tmp_path_factory.mktemp("runs") / "plain"))


def saved_by_adam(model_dir):
    """Two slots a trainable variable, and the count that the bias correction goes by."""
    commit = checkpoint.find(model_dir)
    reader = tf.train.load_checkpoint(commit.variables)
    names = reader.get_variable_to_shape_map()
    trainable = {n[6:] for n in names if n.startswith("model/") and "/moving_" not in n}
    for slot in ("adam_first", "adam_second"):
        expected = {f"optimizer/{slot}/{name}" for name in trainable}
        assert {n for n in names if n.startswith(f"optimizer/{slot}/")} == expected
    assert reader.get_tensor("optimizer/adam_updates") == reader.get_tensor("step") == 6
    assert not any("momentum" in name for name in names)
    assert json.loads((commit.path / "manifest.json").read_text())["config"]["optimizer"] == "adam"


@pytest.mark.parametrize("kind", RUNS)
def test_the_same_bits(kind, plain, tmp_path, monkeypatch, capsys):
    told = RUNS[kind]
    undisturbed = command.train(config(tmp_path / "undisturbed", **told))
    monkeypatch.chdir(tmp_path)  # the default model directory is a relative path, too
    small_runs.interrupt_after(3, config("run", **told), monkeypatch)
    capsys.readouterr()
    resumed = command.train(config("run", **told))
    assert "resumed from step 3" in capsys.readouterr().err
    assert resumed["step"] == undisturbed["step"] == 6
    assert resumed["digest"] == undisturbed["digest"]
    assert resumed["eval"] == undisturbed["eval"]
    fields = [checkpoint.find(tmp_path / name).manifest.keys() for name in ("run", "undisturbed")]
    assert fields[0] == fields[1]
    assert plain["digest"] != undisturbed["digest"]  # what was told did something
    if kind == "adam":
        saved_by_adam(tmp_path / "run")
