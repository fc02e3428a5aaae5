"""Every option of the training engine trains, and does something."""

import dataclasses
import json
import math
import pathlib

import made
import numpy as np
import pytest
import small_runs

from resnet_tf import checkpoint
from resnet_tf.checkpoint.digest import digest_of
from resnet_tf.config import Config
from resnet_tf.errors import UserError
from resnet_tf.training import ending, loop, start

import tensorflow as tf  # isort: skip

PLAIN = {
    "steps": 3, "steps_per_call": 3, "batch_size": 4, "learning_rate": 0.1, "weight_decay": 0.01,
    "reader": "auto",
}  # fmt: skip
RECORDS = 16


def at_rates(schedule, *factors, **told):
    boundaries = tuple(str(i) for i in range(1, len(factors)))
    return {"schedule": schedule, "boundaries": boundaries, "factors": factors, **told}


FALLING = {"schedule": "exponential", "decay_every": "2", "decay_factor": 0.5}
CYCLE = {"schedule": "one_cycle"}
CLIPPED = {"clip": "norm", "clip_at": 0.1}
# What is told first is trained with what is told then, and without: other weights come out.
ROWS = [
    ({}, {"seed": 1}),
    ({}, {"learning_rate": 0.2}),
    ({}, {"warmup": "2"}),
    ({}, {"rate_rule": "linear"}),
    ({}, {"rate_rule": "sqrt"}),
    ({"rate_rule": "sqrt"}, {"rate_batch_size": 16}),
    ({}, at_rates("step", 1.0, 0.1)),
    ({}, at_rates("piecewise", 1.0, 0.1)),
    ({}, FALLING),
    (FALLING, {"decay_every": "1"}),
    (FALLING, {"decay_factor": 0.25}),
    (FALLING, {"staircase": True}),
    ({}, {"schedule": "polynomial"}),
    ({"schedule": "polynomial"}, {"power": 2.0}),
    ({"schedule": "polynomial"}, {"end_factor": 0.5}),
    ({}, {"schedule": "cosine"}),
    ({"schedule": "cosine"}, {"end_factor": 0.5}),
    ({}, CYCLE),
    (CYCLE, {"start_factor": 0.5}),
    (CYCLE, {"peak": 0.6}),
    (CYCLE, {"end_factor": 0.5}),
    ({}, {"schedule": "inverse_sqrt"}),
    ({}, {"momentum": 0.0}),
    ({}, {"nesterov": True}),
    ({}, {"weight_decay": 0.1}),
    ({}, {"decoupled_decay": True}),
    ({}, {"optimizer": "adam"}),
    ({"optimizer": "adam"}, {"beta1": 0.5}),
    ({"optimizer": "adam"}, {"beta2": 0.5}),
    ({"optimizer": "adam"}, {"epsilon": 0.1}),
    ({"optimizer": "adam"}, {"optimizer": "adamw"}),
    ({"optimizer": "adamw"}, {"beta1": 0.5, "beta2": 0.5, "epsilon": 0.1}),
    ({}, {"optimizer": "rmsprop"}),
    ({"optimizer": "rmsprop"}, {"rho": 0.5}),
    ({"optimizer": "rmsprop"}, {"momentum": 0.0}),
    ({"optimizer": "rmsprop"}, {"epsilon": 0.1, "decoupled_decay": True}),
    ({}, {"optimizer": "lars"}),
    ({"optimizer": "lars"}, {"trust": 0.1}),
    ({"optimizer": "lars"}, {"nesterov": True, "momentum": 0.5}),
    ({"optimizer": "lars"}, {"epsilon": 0.1, "decoupled_decay": True}),
    ({}, {"optimizer": "lamb"}),
    ({"optimizer": "lamb"}, {"beta1": 0.5, "beta2": 0.5}),
    ({"optimizer": "lamb"}, {"epsilon": 0.1, "decoupled_decay": True}),
    ({}, CLIPPED),
    (CLIPPED, {"clip_at": 0.05}),
    ({}, {"clip": "value", "clip_at": 0.01}),
    ({}, {"clip": "adaptive", "clip_at": 0.01}),
    ({}, {"batch_size": 8}),
    ({"batch_size": 8}, {"batch_size": 4, "accumulate": 2}),
    ({}, {"loss": "sigmoid"}),
    ({}, {"loss": "focal"}),
    ({"loss": "focal"}, {"focal_gamma": 0.5}),
    ({}, {"class_weights": (1.0, 0.5, 2.0, 0.0)}),
    ({}, {"label_smoothing": 0.1}),
    ({}, {"precision": "bfloat16"}),
    ({}, {"precision": "float16"}),
    ({}, {"loss_scale": 3.0}),
    ({}, {"freeze_bn": True}),
    ({}, {"layer_decay": 0.5}),
    ({}, {"overfit_batches": 1}),
    ({"devices": "cpu:2"}, {"sync_batch_norm": True}),
]  # fmt: skip
# Each has a test of its own below.
OTHERS = {
    "init_from", "freeze", "steps", "epochs", "examples", "ema", "eval_image_size", "xla",
    "on_nonfinite", "nonfinite_limit", "eval_batch_size", "steps_per_call", "save_every_steps",
    "eval_every_steps", "log_every_steps", "keep", "tensorboard",
    "max_runtime",
}  # fmt: skip
# Of network, data, pictures and the machine; they are tested where those are.
NOT_OF_THE_ENGINE = {
    "recipe", "model", "model_options", "data_dir", "train_split", "eval_split", "image_size",
    "model_dir", "mean", "std", "eval_shorter_side", "eval_central_fraction", "crop_scale",
    "crop_ratio", "antialias", "resolutions", "resolution_boundaries", "pad", "flip",
    "flip_vertical", "policy", "policy_layers", "policy_magnitude", "brightness", "contrast",
    "saturation", "hue", "grey", "lighting", "erasing", "erasing_fill", "cutout", "mixup", "cutmix",
    "repeats", "shuffle_window", "reader", "bad_records", "bad_records_limit", "intra_op_threads",
    "inter_op_threads",
    "step_timeout", "async_save", "all_reduce", "keep_best", "keep_every_hours", "strict_resume",
    "require_exact", "allow_change", "require_gpus", "data_service",
}  # fmt: skip


def test_every_option_is_in_a_row():
    told = {name for row in ROWS for part in row for name in part}
    fields = {field.name for field in dataclasses.fields(Config)}
    assert told | OTHERS == fields - NOT_OF_THE_ENGINE
    assert fields >= NOT_OF_THE_ENGINE


WORDS = ["rate_rule", "schedule", "optimizer", "clip", "loss", "precision"]


@pytest.mark.parametrize("name", WORDS)
def test_every_word_of_an_option_is_in_a_row(name):
    field = Config.__dataclass_fields__[name]
    told = {part[name] for row in ROWS for part in row if name in part}
    assert told | {field.default} == set(field.metadata["one_of"])


def test_the_options_with_words():
    fields = dataclasses.fields(Config)
    named = {f.name for f in fields if f.metadata["one_of"]} - NOT_OF_THE_ENGINE
    assert named == {*WORDS, "on_nonfinite"}


@pytest.fixture(scope="module", autouse=True)
def _normed(two_replicas):
    with pytest.MonkeyPatch.context() as patch:
        small_runs.use_normed(patch, two_replicas)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    payloads = small_runs.payloads(RECORDS)
    splits = {"train": made.split_up(payloads, (10, 6)), "test": [small_runs.payloads(4)]}
    made.data_set(directory, splits, classes=small_runs.CLASSES, size=8)
    return directory


@dataclasses.dataclass(frozen=True)
class Trained:
    """A run that has come to its end."""

    done: dict
    model_dir: pathlib.Path

    def saved(self, prefix=""):
        """Its last tensors by name."""
        reader = tf.train.load_checkpoint(checkpoint.find(self.model_dir).variables)
        names = reader.get_variable_to_shape_map()
        return {name: reader.get_tensor(name) for name in names if name.startswith(prefix)}

    @property
    def weights(self):
        """One number for the network alone, without slots and counts."""
        return digest_of(self.saved("model/"))

    def events(self, event):
        return small_runs.journal(self.model_dir, event)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Trains as it is told, the same but once. Evaluation takes as long as all the rest."""
    runs = {}

    def train(evaluate=False, **told):
        key = json.dumps([evaluate, told], sort_keys=True)
        if key not in runs:
            model_dir = tmp_path_factory.mktemp("run")
            with pytest.MonkeyPatch.context() as patch:
                if not evaluate:
                    patch.setattr(loop, "_evaluate", lambda *_: ({}, None))
                    patch.setattr(ending, "write_page", lambda *_: None)
                runs[key] = Trained(small_runs.train(data, model_dir, **PLAIN | told), model_dir)
        return runs[key]

    return train


@pytest.mark.parametrize(("before", "told"), ROWS, ids=lambda x: str(x)[:70])
def test_it_trains_and_comes_to_other_weights(trained, before, told):
    without, run = trained(**before), trained(**before | told)
    assert math.isfinite(run.done["train_loss"])
    config = Config(**PLAIN | before | told)
    assert run.done["step"] == 3 and run.saved()["step"] == 3
    assert run.done["examples_seen"] == 3 * config.batch_size * config.accumulate
    assert run.weights != without.weights


@pytest.mark.parametrize("length", [{"epochs": 0.75}, {"examples": 12}])
def test_a_length_in_another_unit_is_the_same_run(trained, length):
    assert trained(steps=0, **length).done["digest"] == trained().done["digest"]


def test_another_length_is_another_run(trained):
    run = trained(steps=4)
    assert run.done["step"] == 4 and run.weights != trained().weights


def test_what_only_says_when_things_happen_changes_no_bit(trained):
    run = trained(
        evaluate=True, steps_per_call=2, save_every_steps=1, eval_every_steps=1, log_every_steps=2,
        keep=2, eval_batch_size=3,
    )  # fmt: skip
    plain = trained(evaluate=True)
    assert run.done["digest"] == plain.done["digest"]
    assert run.done["eval"]["examples"] == plain.done["eval"]["examples"] == 4
    assert [e["step"] for e in run.events("save")] == [1, 2, 3]
    assert [e["step"] for e in run.events("eval")] == [1, 2, 3]
    assert [e["step"] for e in run.events("train")] == [2, 3]
    kept = sorted(path.name for path in (run.model_dir / "checkpoints").iterdir())
    assert kept == ["step_000000002", "step_000000003"]


@pytest.mark.parametrize(
    ("parts", "kept"),
    [(("stem",), {"stem", "stem_norm"}), (("body", "head"), {"body", "head"})],
)
def test_frozen_parts_stay_and_the_others_move(trained, parts, kept):
    first = trained(learning_rate=0.0, freeze=("stem", "body")).saved("model/")
    last = trained(freeze=parts).saved("model/")
    stayed = {name.split("/")[1] for name in last if (last[name] == first[name]).all()}
    assert stayed == kept


def test_it_starts_from_the_weights_of_another_run(trained):
    plain = trained()
    still = trained(init_from=str(plain.model_dir), learning_rate=0.0, freeze_bn=True)
    assert still.weights == plain.weights
    run = trained(init_from=str(plain.model_dir))
    assert math.isfinite(run.done["train_loss"]) and run.done["step"] == 3
    assert run.weights != plain.weights


def test_an_average_is_kept_and_evaluated_beside_the_same_weights(trained):
    run, plain = trained(evaluate=True, ema=0.5), trained(evaluate=True)
    assert run.weights == plain.weights
    assert run.done["eval"]["weights"] == "average"
    assert run.done["eval"]["raw"]["loss"] == plain.done["eval"]["loss"]
    assert run.done["eval"]["loss"] != plain.done["eval"]["loss"]
    tensors = run.saved()
    assert tensors["average_updates"] == 3
    assert (tensors["average/head/kernel"] != tensors["model/head/kernel"]).any()


def test_pictures_of_evaluation_have_their_own_size(trained):
    run, plain = trained(evaluate=True, eval_image_size=16), trained(evaluate=True)
    assert run.weights == plain.weights
    assert run.done["eval"]["examples"] == 4
    assert run.done["eval"]["loss"] != plain.done["eval"]["loss"]


def test_parts_of_a_batch_add_up_to_it(trained):
    """But for batch statistics, which are those of a part."""
    together = trained(freeze_bn=True, batch_size=8).saved("model/")
    in_parts = trained(freeze_bn=True, batch_size=4, accumulate=2).saved("model/")
    for name, whole in together.items():
        np.testing.assert_allclose(in_parts[name], whole, atol=1e-5)


@pytest.mark.parametrize("told", [{}, {"accumulate": 2}, {"precision": "bfloat16"}])
def test_xla_compiles_the_same_gradient(trained, told, monkeypatch):
    graphs, build = [], start.build

    def watch(*arguments):
        run = build(*arguments)
        iterator = iter(run.feed.batches(0))
        function = run.train.get_concrete_function(iterator, tf.TensorSpec([], tf.int32))
        graphs.append(str(function.graph.as_graph_def()))
        return run

    with monkeypatch.context() as patch:
        patch.setattr(start, "build", watch)
        run = trained(xla=True, **told)
    assert run.done["step"] == 3 and '"_XlaMustCompile"' in graphs[0]
    plain = trained(**told)
    if told.get("precision") == "bfloat16":  # sums are rounded elsewhere, to 3 digits
        assert run.done["train_loss"] == pytest.approx(plain.done["train_loss"], rel=0.02)
        return
    for name, value in plain.saved("model/").items():
        np.testing.assert_allclose(run.saved("model/")[name], value, atol=1e-4)


# At this rate the first update makes weights beyond float16, at half of it not; then it rests.
STEEP = at_rates("step", 1.0, 1e-8, learning_rate=3000.0, precision="float16", loss_scale=1.0)


def test_a_step_that_is_not_finite_stops_the_run(data, tmp_path):
    message = "ERROR 76: loss or gradient is not finite at step 2 "
    with pytest.raises(UserError, match=message):
        small_runs.train(data, tmp_path, **PLAIN | STEEP)


def test_rollback_goes_on_at_half_the_rate(trained):
    run = trained(on_nonfinite="rollback", nonfinite_limit=1, **STEEP)
    assert math.isfinite(run.done["train_loss"]) and run.done["step"] == 3
    assert [(e["at_step"], e["step"]) for e in run.events("nonfinite")] == [(2, 0)]
    tensors = run.saved()
    assert tensors["rate_factor"] == 0.5
    halved = trained(**STEEP | {"learning_rate": 1500.0})
    assert run.weights == halved.weights


def test_skipped_steps_count_and_change_nothing(trained):
    run = trained(on_nonfinite="skip", nonfinite_limit=2, **STEEP)
    assert math.isfinite(run.done["train_loss"]) and run.done["step"] == 3
    assert [e["at_step"] for e in run.events("nonfinite")] == [2, 3]
    assert run.weights == trained(**STEEP | {"steps": 1}).weights


@pytest.mark.parametrize("told", ["skip", "rollback"])
def test_more_of_them_than_the_limit_stop_the_run(data, tmp_path, told):
    fields = PLAIN | STEEP | {"on_nonfinite": told, "nonfinite_limit": 0}
    message = rf"not finite at step 2, and {told} may be needed 0 times, not 1 "
    with pytest.raises(UserError, match=message):
        small_runs.train(data, tmp_path, **fields)


@pytest.mark.parametrize("told", ["skip", "rollback"])
def test_where_all_is_finite_nothing_is_skipped_or_rolled_back(trained, told):
    assert trained(on_nonfinite=told).weights == trained().weights
