"""`Config`: what it refuses, its JSON form, what may change on resume, the length of a run."""

import dataclasses
import json

import pytest

from resnet_tf.config import Config
from resnet_tf.errors import UserError, bad_flag

NAN, INF = float("nan"), float("inf")


def make(**fields):
    if not {"steps", "epochs", "examples"} & set(fields):
        fields["steps"] = 100
    return Config(**fields)


def refused(message, **fields):
    with pytest.raises(UserError) as caught:
        Config(**fields)
    assert caught.value.code == 64
    assert str(caught.value).startswith("ERROR 64: ")
    assert message in str(caught.value)


LOWEST = {
    "image_size": 0,
    "steps": 0,
    "epochs": 0,
    "examples": 0,
    "batch_size": 1,
    "eval_batch_size": 0,
    "seed": 0,
    "learning_rate": 0,
    "momentum": 0,
    "weight_decay": 0,
    "label_smoothing": 0,
    "eval_shorter_side": 0,
    "eval_central_fraction": 0,
    "pad": 0,
    "policy_layers": 1,
    "policy_magnitude": 0,
    "brightness": 0,
    "contrast": 0,
    "saturation": 0,
    "hue": 0,
    "grey": 0,
    "lighting": 0,
    "erasing": 0,
    "cutout": 0,
    "mixup": 0,
    "cutmix": 0,
    "repeats": 1,
    "shuffle_window": 0,
    "bad_records_limit": 0,
    "intra_op_threads": 0,
    "inter_op_threads": 0,
    "steps_per_call": 1,
    "save_every_steps": 0,
    "eval_every_steps": 0,
    "log_every_steps": 1,
    "keep": 1,
}
HIGHEST = {
    "policy_magnitude": 30,
    "brightness": 1,
    "contrast": 1,
    "saturation": 1,
    "hue": 0.5,
    "grey": 1,
    "erasing": 1,
}
LENGTHS = ("steps", "epochs", "examples")


def test_every_number_has_a_lowest_value():
    numbers = {f.name for f in dataclasses.fields(Config) if type(f.default) in (int, float)}
    assert numbers == set(LOWEST)


@pytest.mark.parametrize(("name", "low"), LOWEST.items())
def test_below_the_lowest_value(name, low):
    fields = {"steps": 100} | {name: low - 1}
    refused(f"{name} must be {low} or more, got {low - 1} | --{name} | ", **fields)


@pytest.mark.parametrize(("name", "low"), [x for x in LOWEST.items() if x[0] not in LENGTHS])
def test_the_lowest_value_is_taken(name, low):
    assert getattr(make(**{name: low}), name) == low


def test_the_numbers_with_a_highest_value():
    bounded = (f for f in dataclasses.fields(Config) if f.metadata["at_most"] != INF)
    assert {f.name: f.metadata["at_most"] for f in bounded} == HIGHEST


@pytest.mark.parametrize(("name", "high"), HIGHEST.items())
def test_beyond_the_highest_value(name, high):
    beyond = high + type(getattr(make(), name))(1)
    refused(f"{name} must be {high} or less, got {beyond} | --{name} | ", steps=1, **{name: beyond})
    assert getattr(make(**{name: high}), name) == high


WORDS = {
    "schedule": "constant, step or cosine",
    "optimizer": "sgd or adam",
    "policy": "empty, autoaugment_imagenet, autoaugment_cifar10, autoaugment_svhn, randaugment,"
    " trivialaugment or augmix",
    "erasing_fill": "noise or mean",
    "reader": "auto, memory, indexed or windowed",
    "bad_records": "fail or skip",
}


def test_the_fields_that_take_a_word_of_a_list():
    assert {f.name for f in dataclasses.fields(Config) if f.metadata["one_of"]} == set(WORDS)


@pytest.mark.parametrize("name", WORDS)
def test_a_word_that_is_none_of_them(name):
    message = f"{name} must be {WORDS[name]}, got Other | --{name} | "
    refused(message, steps=1, **{name: "Other"})
    assert getattr(make(), name) == WORDS[name].replace("empty", "").split(",")[0].split(" ")[0]


@pytest.mark.parametrize("name", sorted(set(WORDS) - {"schedule"}))
def test_every_word_is_taken(name):
    for word in WORDS[name].replace(" or ", ", ").split(", "):
        word = "" if word == "empty" else word
        assert getattr(make(**{name: word}), name) == word


FLOATS = {f.name for f in dataclasses.fields(Config) if type(f.default) is float}


def test_the_fields_that_take_fractions():
    known = (
        "epochs learning_rate momentum weight_decay label_smoothing eval_central_fraction"
        " brightness contrast saturation hue grey lighting erasing mixup cutmix"
    )
    assert set(known.split()) == FLOATS


@pytest.mark.parametrize("name", sorted(FLOATS))
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_not_finite(name, value):
    fields = {name: value} if name == "epochs" else {"steps": 100, name: value}
    refused(f"{name} must be finite, got {value} | --{name}", **fields)


@pytest.mark.parametrize("value", [1.0, 1.5])
@pytest.mark.parametrize("name", ["momentum", "label_smoothing"])
def test_a_share_of_1_or_more(name, value):
    refused(f"{name} must be below 1, got {value} | --{name} | ", steps=1, **{name: value})
    assert getattr(make(**{name: 0.999}), name) == 0.999


@pytest.mark.parametrize("value", [1.001, 87.5])
def test_more_than_the_whole_of_a_picture(value):
    message = f"eval_central_fraction must be 1 or less, got {value} | --eval_central_fraction"
    refused(message, steps=1, eval_central_fraction=value)
    assert make(eval_central_fraction=1.0).eval_central_fraction == 1


def test_the_two_ways_to_cut_out_the_middle_exclude_each_other():
    message = "eval_shorter_side and eval_central_fraction exclude each other | --eval_shorter_side"
    refused(message, steps=1, eval_shorter_side=256, eval_central_fraction=0.875)
    assert make(eval_shorter_side=256).eval_central_fraction == 0
    assert make(eval_central_fraction=0.875).eval_shorter_side == 0


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, "0, 0 and 0"),
        ({"steps": 5, "epochs": 2.5}, "5, 2.5 and 0"),
        ({"steps": 5, "examples": 7}, "5, 0 and 7"),
        ({"epochs": 2.0, "examples": 7}, "0, 2 and 7"),
        ({"steps": 1, "epochs": 2.0, "examples": 7}, "1, 2 and 7"),
    ],
)
def test_length_must_be_given_in_one_way(fields, found):
    message = f"steps or epochs or examples must be above 0, just one of them, got {found}"
    refused(message, **fields)


@pytest.mark.parametrize(
    ("boundaries", "factors", "found"),
    [
        ((), (), "0 for 0 boundaries"),
        (("10",), (1.0,), "1 for 1 boundaries"),
        (("10",), (1.0, 0.1, 0.01), "3 for 1 boundaries"),
    ],
)
def test_number_of_factors(boundaries, factors, found):
    message = f"factors must be one more than boundaries, got {found} | --factors"
    refused(message, steps=99, schedule="step", boundaries=boundaries, factors=factors)


@pytest.mark.parametrize("value", [NAN, INF])
def test_factor_that_is_not_finite(value):
    fields = {"schedule": "step", "boundaries": ("10",), "factors": (1.0, value)}
    refused("factors", steps=99, **fields)


def test_negative_factor():
    refused("factors", steps=99, schedule="step", boundaries=("10",), factors=(1.0, -0.1))


@pytest.mark.parametrize("text", ["soon", "-5", "5 minutes", ""])
def test_malformed_duration(text):
    sizes = {"image_size": 9, "resolutions": (8.0, 9.0), "resolution_boundaries": (text,)}
    rule = f"must be a number with one of steps, epochs, examples, %, got {text!r}"
    refused(f"warmup {rule} | --warmup", steps=1, warmup=text)
    fields = {"schedule": "step", "boundaries": (text,), "factors": (1.0, 0.1)}
    refused(f"boundaries {rule} | --boundaries", steps=99, **fields)
    refused(f"resolution_boundaries {rule} | --resolution_boundaries", steps=99, **sizes)


@pytest.mark.parametrize(
    ("name", "most", "value"),
    [
        ("crop_scale", 1, (0.5,)),
        ("crop_scale", 1, (0.0, 1.0)),
        ("crop_scale", 1, (0.6, 0.5)),
        ("crop_scale", 1, (0.5, 1.5)),
        ("crop_scale", 1, (0.1, 0.2, 0.3)),
        ("crop_scale", 1, (NAN, 1.0)),
        ("crop_scale", 1, (0.1, NAN)),
        ("crop_scale", 1, (0.1, INF)),
        ("crop_ratio", 1000, (1.0,)),
        ("crop_ratio", 1000, (-1.0, 1.0)),
        ("crop_ratio", 1000, (2.0, 1.0)),
        ("crop_ratio", 1000, (1.0, 1001.0)),
    ],
)
def test_a_range_of_crops_that_cannot_be(name, most, value):
    message = f"{name} must be from,to, above 0 and up to {most}, got {value} | --{name} | "
    refused(message, steps=1, **{name: value})


def test_ranges_of_crops():
    config = make(crop_scale=(1.0, 1.0), crop_ratio=(0.001, 1000.0))
    assert (config.crop_scale, config.crop_ratio) == ((1, 1), (0.001, 1000))
    assert make(crop_ratio=()).crop_ratio == ()
    refused("crop_ratio must be given with crop_scale", steps=1, crop_scale=(0.5, 1.0),
            crop_ratio=())  # fmt: skip


def test_pad_and_crops_exclude_each_other():
    message = "pad and crop_scale exclude each other | --pad | "
    refused(message, steps=1, pad=1, crop_scale=(0.5, 1.0))


@pytest.mark.parametrize(
    ("resolutions", "boundaries", "message"),
    [
        ((8.5, 16.0), ("5",), "resolutions must be whole numbers, 1 or more, got 8.5 | --res"),
        ((0.0, 16.0), ("5",), "resolutions must be whole numbers, 1 or more, got 0.0 | --res"),
        ((-8.0, 16.0), ("5",), "resolutions must be whole numbers, 1 or more, got -8.0 | --res"),
        ((NAN, 16.0), ("5",), "resolutions must be whole numbers, 1 or more, got nan | --res"),
        ((INF, 16.0), ("5",), "resolutions must be whole numbers, 1 or more, got inf | --res"),
        ((8.0, 16.0), (), "resolution_boundaries must be one fewer than resolutions, got 0 for 2"),
        ((8.0, 16.0), ("5", "6"), "must be one fewer than resolutions, got 2 for 2"),
        ((), ("5",), "must be one fewer than resolutions, got 1 for 0"),
        ((16.0, 8.0), ("5",), "resolutions must end at image_size 16, got 8.0 | --resolutions"),
    ],
)
def test_resolutions_that_cannot_be(resolutions, boundaries, message):
    sizes = {"resolutions": resolutions, "resolution_boundaries": boundaries}
    refused(message, steps=99, image_size=16, **sizes)


def test_resolutions():
    config = make(image_size=16, resolutions=(8.0, 16.0), resolution_boundaries=("50%",))
    assert config.resolutions == (8, 16)
    assert make(image_size=16, resolutions=(16.0,)).resolution_boundaries == ()


@pytest.mark.parametrize("seed", [2**32, 2**63])
def test_seed_beyond_what_the_order_can_tell_apart(seed):
    refused("seed", steps=1, seed=seed)


def test_bad_flag_names_rule_value_and_flag():
    error = bad_flag("pad", "must be even", 3)
    assert (error.code, error.details) == (64, "")
    expected = "ERROR 64: pad must be even, got 3 | --pad | see --helpfull for its meaning"
    assert str(error) == expected
    assert "got" not in str(bad_flag("input", "must be given"))


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
    "epochs": 2.5,
    "schedule": "step",
    "boundaries": ("1epoch", "50%"),
    "factors": (1.0, 0.1, 0.01),
    "optimizer": "adam",
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
        "reader": "auto", "bad_records": "fail",
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
    "recipe": "other",
    "data_dir": "elsewhere",
    "eval_split": "train",
    "model_dir": "other",
    "eval_batch_size": 7,
    "steps_per_call": 3,
    "save_every_steps": 5,
    "eval_every_steps": 5,
    "log_every_steps": 5,
    "keep": 9,
    "devices": "cpu:2",
    "intra_op_threads": 1,
    "inter_op_threads": 1,
    "reader": "indexed",
    "bad_records": "skip",
    "bad_records_limit": 3,
}
OF_WEIGHT = {
    "model": "other",
    "model_options": {"depth": 8},
    "train_split": "test",
    "image_size": 4,
    "batch_size": 64,
    "seed": 1,
    "learning_rate": 0.2,
    "schedule": "cosine",
    "warmup": "5",
    "optimizer": "adam",
    "momentum": 0.8,
    "nesterov": True,
    "weight_decay": 0.0,
    "label_smoothing": 0.1,
    "mean": (1.0, 2.0, 3.0),
    "std": (4.0, 5.0, 6.0),
    "eval_shorter_side": 256,
    "eval_central_fraction": 0.875,
    "crop_scale": (0.08, 1.0),
    "crop_ratio": (1.0, 1.0),
    "antialias": False,
    "pad": 1,
    "flip": True,
    "flip_vertical": True,
    "policy": "randaugment",
    "policy_layers": 3,
    "policy_magnitude": 5,
    "brightness": 0.1,
    "contrast": 0.1,
    "saturation": 0.1,
    "hue": 0.1,
    "grey": 0.1,
    "lighting": 0.1,
    "erasing": 0.1,
    "erasing_fill": "mean",
    "cutout": 1,
    "mixup": 0.2,
    "cutmix": 1.0,
    "repeats": 2,
    "shuffle_window": 4,
    "sync_batch_norm": True,
}


def test_every_field_is_harmless_or_not():
    together = {"boundaries", "factors", "resolutions", "resolution_boundaries"}
    known = set(HARMLESS) | set(OF_WEIGHT) | set(LENGTHS) | together
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


def test_length_is_a_change_under_cosine():
    before, after = make(schedule="cosine"), make(schedule="cosine", steps=200)
    assert before.changes(after) == {"steps": (100, 200)}


def test_length_is_a_change_where_percentages_depend_on_it():
    assert set(make(warmup="5%").changes(make(warmup="5%", steps=200))) == {"steps"}
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
        ({"steps": 1}, 1, 1),
    ],
)
def test_total_steps(fields, records, expected):
    assert Config(**fields).total_steps(records) == expected


def test_resolutions_without_a_size():
    message = "image_size must be given with resolutions, as the last of them | --image_size"
    refused(message, steps=9, resolutions=(8.0, 16.0), resolution_boundaries=("5",))
