"""`Config`: its JSON form, what may change on resume, the length of a run and of its parts."""

import dataclasses
import json
import re

import pytest

from resnet_tf.config import Config
from resnet_tf.errors import UserError


def make(**fields):
    if not {"steps", "epochs", "examples"} & set(fields):
        fields["steps"] = 100
    return Config(**fields)


def test_model_dir_follows_the_recipe():
    assert make(recipe="mine").model_dir == "runs/mine"
    assert make(recipe="mine", model_dir="here").model_dir == "here"


def test_fields_cannot_be_set():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().steps = 5


FULL = {
    "recipe": "mine",
    "model": "cifar_resnet",
    "model_options": {"depth": 8, "name": "x", "scale": 0.5, "flag": True},
    "freeze": ("stem", "stage1"),
    "allow_change": ("learning_rate", "data"),
    "epochs": 2.5,
    "schedule": "step",
    "boundaries": ("1epoch", "50%"),
    "factors": (1.0, 0.1, 0.01),
    "optimizer": "adam",
    "class_weights": (1.0, 0.5),
    "label_smoothing": 0.1,
    "mean": (1.5, 2.0, 3.0),
    "std": (4.0, 5.0, 255.0),
    "eval_central_fraction": 0.875,
    "crop_scale": (0.08, 1.0),
    "crop_ratio": (0.5, 2.0),
    "image_size": 24,
    "resolutions": (16.0, 24.0),
    "resolution_boundaries": ("1epoch",),
    "flip": True,
    "seed": 3,
}
TUPLES = {f.name for f in dataclasses.fields(Config) if isinstance(f.default, tuple)}


@pytest.mark.parametrize("fields", [{"steps": 1}, FULL])
def test_json_round_trip(fields):
    config = Config(**fields)
    text = json.dumps(config.to_json(), allow_nan=False)
    assert Config.from_json(json.loads(text)) == config


def test_tuples_are_lists_in_json_and_tuples_again():
    text = json.dumps(Config(**FULL).to_json())
    fields, config = json.loads(text), Config.from_json(json.loads(text))
    assert set(FULL) >= TUPLES
    for name in TUPLES:
        assert fields[name] == list(FULL[name])
        assert getattr(config, name) == FULL[name]  # a list would be unequal
        assert getattr(Config.from_json(make().to_json()), name) == getattr(make(), name)


def test_json_of_before_a_field_has_its_default():
    fields = make().to_json()
    added = {
        "optimizer": "sgd", "label_smoothing": 0.0, "mean": (), "std": (), "eval_shorter_side": 0,
        "eval_central_fraction": 0.0, "crop_scale": (), "crop_ratio": (3 / 4, 4 / 3),
        "antialias": True, "resolutions": (), "policy": "", "repeats": 1, "shuffle_window": 0,
        "reader": "auto", "bad_records": "fail", "init_from": "", "freeze": (), "layer_decay": 1,
        "rate_rule": "none", "beta2": 0.999, "decoupled_decay": False, "clip": "", "accumulate": 1,
        "ema": 0, "loss": "softmax", "class_weights": (), "precision": "float32", "loss_scale": 0,
        "xla": False, "on_nonfinite": "stop", "overfit_batches": 0,
    }  # fmt: skip
    for name in added:
        del fields[name]
    config = Config.from_json(fields)
    assert {name: getattr(config, name) for name in added} == added


def test_json_holds_every_field():
    assert set(make().to_json()) == {field.name for field in dataclasses.fields(Config)}


def test_json_of_other_versions_is_read():
    fields = make(seed=4).to_json()
    del fields["keep"]
    config = Config.from_json(fields | {"invented_later": 1})
    assert config == make(seed=4)


HARMLESS = {
    "recipe": "other", "data_dir": "elsewhere", "eval_split": "train", "model_dir": "other",
    "eval_batch_size": 7, "steps_per_call": 3, "save_every_steps": 5, "eval_every_steps": 5,
    "log_every_steps": 5, "keep": 9, "devices": "cpu:2", "intra_op_threads": 1,
    "inter_op_threads": 1, "reader": "indexed", "bad_records": "skip", "bad_records_limit": 3,
    "nonfinite_limit": 3, "tensorboard": False, "max_runtime": 60.0,
    "step_timeout": 60.0, "async_save": True, "all_reduce": "ring", "keep_best": "top1",
    "keep_every_hours": 2.0, "strict_resume": True, "require_exact": True,
    "allow_change": ("data",), "require_gpus": 1, "data_service": "grpc://host:5050",
}  # fmt: skip
OF_WEIGHT = {
    "model": "other", "model_options": {"depth": 8}, "train_split": "test", "image_size": 4,
    "init_from": "runs/other", "freeze": ("stem",), "freeze_bn": True, "layer_decay": 0.8,
    "batch_size": 64, "seed": 1, "learning_rate": 0.2, "rate_rule": "sqrt", "rate_batch_size": 64,
    "schedule": "exponential", "decay_every": "2epochs", "decay_factor": 0.5, "staircase": True,
    "power": 2.0, "start_factor": 0.5, "end_factor": 0.5, "peak": 0.5, "warmup": "5",
    "optimizer": "adam", "momentum": 0.8, "nesterov": True, "beta1": 0.5, "beta2": 0.5, "rho": 0.5,
    "epsilon": 0.5, "trust": 0.5, "weight_decay": 0.0, "decoupled_decay": True, "clip": "norm",
    "clip_at": 0.5, "accumulate": 2, "ema": 0.5, "loss": "focal", "focal_gamma": 1.0,
    "class_weights": (1.0, 2.0), "label_smoothing": 0.1, "mean": (1.0, 2.0, 3.0),
    "std": (4.0, 5.0, 6.0), "eval_image_size": 4, "eval_shorter_side": 256,
    "eval_central_fraction": 0.875, "crop_scale": (0.08, 1.0), "crop_ratio": (1.0, 1.0),
    "antialias": False, "pad": 1, "flip": True, "flip_vertical": True, "policy": "randaugment",
    "policy_layers": 3, "policy_magnitude": 5, "brightness": 0.1, "contrast": 0.1,
    "saturation": 0.1, "hue": 0.1, "grey": 0.1, "lighting": 0.1, "erasing": 0.1,
    "erasing_fill": "mean", "cutout": 1, "mixup": 0.2, "cutmix": 1.0, "repeats": 2,
    "shuffle_window": 4, "overfit_batches": 1, "precision": "bfloat16", "loss_scale": 2.0,
    "xla": True, "on_nonfinite": "skip", "sync_batch_norm": True,
}  # fmt: skip


def test_every_field_is_harmless_or_not():
    together = {"boundaries", "factors", "resolutions", "resolution_boundaries"}
    known = set(HARMLESS) | set(OF_WEIGHT) | {"steps", "epochs", "examples"} | together
    assert known == {field.name for field in dataclasses.fields(Config)}


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_field_is_no_change(name):
    assert make().changes(make(**{name: HARMLESS[name]})) == {}


@pytest.mark.parametrize("name", OF_WEIGHT)
def test_field_on_which_weights_depend_is_a_change(name):
    before, after = make(), make(**{name: OF_WEIGHT[name]})
    assert before.changes(after) == {name: (getattr(before, name), OF_WEIGHT[name])}


def step_schedule(*boundaries, **fields):
    factors = tuple(0.1**i for i in range(len(boundaries) + 1))
    return make(schedule="step", boundaries=boundaries, factors=factors, **fields)


def test_boundaries_and_factors_are_changes():
    assert set(step_schedule("10").changes(step_schedule("20"))) == {"boundaries"}
    both = step_schedule("10").changes(step_schedule("10", "20"))
    assert set(both) == {"boundaries", "factors"}


def sizes(boundary, first=8.0, **fields):
    resolutions = {"resolutions": (first, 16.0), "resolution_boundaries": (boundary,)}
    return make(image_size=16, **resolutions, **fields)


def test_resolutions_and_their_boundaries_are_changes():
    assert set(sizes("5").changes(sizes("6"))) == {"resolution_boundaries"}
    assert set(sizes("5").changes(sizes("5", first=9.0))) == {"resolutions"}


@pytest.mark.parametrize("longer", [{"steps": 200}, {"epochs": 3.0}, {"examples": 10**6}])
def test_length_is_harmless_where_the_rate_does_not_depend_on_it(longer):
    assert make().changes(make(**longer)) == {}
    assert step_schedule("10").changes(step_schedule("10", **longer)) == {}


@pytest.mark.parametrize("schedule", ["constant", "exponential", "inverse_sqrt"])
def test_schedules_that_do_not_know_the_end(schedule):
    assert make(schedule=schedule).changes(make(schedule=schedule, steps=200)) == {}


@pytest.mark.parametrize("schedule", ["cosine", "polynomial", "one_cycle"])
def test_length_is_a_change_under_a_schedule_that_ends_with_the_run(schedule):
    before, after = make(schedule=schedule), make(schedule=schedule, steps=200)
    assert before.changes(after) == {"steps": (100, 200)}
    # Whichever of the two runs has it.
    assert make().changes(after) == {"schedule": ("constant", schedule), "steps": (100, 200)}
    assert after.changes(make()) == {"schedule": (schedule, "constant"), "steps": (200, 100)}


def test_length_is_a_change_where_percentages_depend_on_it():
    assert set(make(warmup="5%").changes(make(warmup="5%", steps=200))) == {"steps"}
    before, after = make(decay_every="5%"), make(decay_every="5%", steps=200)
    assert set(before.changes(after)) == {"steps"}
    before, after = step_schedule("50%"), step_schedule("50%", epochs=2.0)
    assert set(before.changes(after)) == {"steps", "epochs"}
    assert set(sizes("50%").changes(sizes("50%", steps=200))) == {"steps"}
    assert sizes("50").changes(sizes("50", steps=200)) == {}


@pytest.mark.parametrize(
    ("fields", "records", "expected"),
    [
        ({"steps": 900}, 1437, 900),
        ({"epochs": 20.0, "batch_size": 32}, 1437, 898),  # 898.125
        ({"epochs": 200.0, "batch_size": 128}, 50_000, 78_125),
        ({"epochs": 0.25, "batch_size": 10}, 1000, 25),
        ({"examples": 28_800, "batch_size": 32}, 1437, 900),
        ({"examples": 100, "batch_size": 32}, 1437, 3),  # 3.125
        ({"examples": 1, "batch_size": 32}, 1437, 1),  # never no step at all
        ({"epochs": 0.001, "batch_size": 128}, 10, 1),
        ({"epochs": 20.0, "batch_size": 8, "accumulate": 4}, 1437, 898),  # as 32 at once
        ({"examples": 100, "batch_size": 8, "accumulate": 4}, 1437, 3),
        ({"steps": 7, "batch_size": 8, "accumulate": 4}, 1437, 7),
        ({"steps": 1}, 1, 1),
    ],
)
def test_total_steps(fields, records, expected):
    assert Config(**fields).total_steps(records) == expected


@pytest.mark.parametrize(
    ("epochs", "found"), [(1e10, "1e+11"), (1e300, "1e+301"), (1.7e308, "inf")]
)
def test_more_steps_than_can_be_counted(epochs, found):
    message = f"ERROR 64: epochs must give fewer steps, got {found} steps | --epochs | "
    with pytest.raises(UserError, match=re.escape(message)):
        make(epochs=epochs, batch_size=10).total_steps(100)


@pytest.mark.parametrize(("batch_size", "accumulate", "expected"), [(32, 1, 32), (8, 4, 32)])
def test_examples_a_step_are_those_of_all_parts(batch_size, accumulate, expected):
    assert make(batch_size=batch_size, accumulate=accumulate).examples_a_step == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7", 7), ("2epochs", 20), ("640examples", 20), ("25%", 25), ("0.1epochs", 1), ("0", 0)],
)
@pytest.mark.parametrize("parts", [{"batch_size": 32}, {"batch_size": 8, "accumulate": 4}])
def test_durations_in_steps_of_32_of_320_examples(parts, text, expected):
    assert make(**parts).in_steps("warmup", text, 320) == expected


def test_a_duration_that_cannot_be_counted_names_its_flag():
    rule = "decay_every must be at most 2147483648 steps, got '999999999epochs' | --decay_every | "
    with pytest.raises(UserError, match=re.escape(f"ERROR 64: {rule}")):
        make(batch_size=10).in_steps("decay_every", "999999999epochs", 100)
