"""`checks`: the values that no `Config` may have, each refused by the name of its flag."""

import dataclasses

import pytest

from resnet_tf import checks
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
    "step_timeout": 0, "keep_every_hours": 0,
    "image_size": 0, "layer_decay": 0, "steps": 0, "epochs": 0, "examples": 0, "batch_size": 1,
    "eval_batch_size": 0, "seed": 0, "learning_rate": 0, "rate_batch_size": 1, "decay_factor": 0,
    "power": 0, "start_factor": 0, "end_factor": 0, "peak": 0, "momentum": 0, "beta1": 0,
    "beta2": 0, "rho": 0, "epsilon": 0, "trust": 0, "weight_decay": 0, "clip_at": 0,
    "accumulate": 1, "ema": 0, "focal_gamma": 0, "label_smoothing": 0, "eval_image_size": 0,
    "eval_shorter_side": 0, "eval_central_fraction": 0, "pad": 0, "policy_layers": 1,
    "policy_magnitude": 0, "brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, "grey": 0,
    "lighting": 0, "erasing": 0, "cutout": 0, "mixup": 0, "cutmix": 0, "repeats": 1,
    "shuffle_window": 0, "bad_records_limit": 0, "overfit_batches": 0, "loss_scale": 0,
    "nonfinite_limit": 0, "intra_op_threads": 0, "inter_op_threads": 0, "steps_per_call": 1,
    "save_every_steps": 0, "eval_every_steps": 0, "log_every_steps": 1, "keep": 1,
    "max_runtime": 0, "require_gpus": 0,
}  # fmt: skip
HIGHEST = {
    "layer_decay": 1, "nonfinite_limit": 100, "policy_magnitude": 30, "brightness": 1,
    "contrast": 1, "saturation": 1, "hue": 0.5, "grey": 1, "erasing": 1,
}  # fmt: skip
LENGTHS = ("steps", "epochs", "examples")
NEVER_0 = ("layer_decay", "peak")


def test_every_number_has_a_lowest_value():
    numbers = {f.name for f in dataclasses.fields(Config) if type(f.default) in (int, float)}
    assert numbers == set(LOWEST)


@pytest.mark.parametrize(("name", "low"), LOWEST.items())
def test_below_the_lowest_value(name, low):
    """# fault E9"""
    fields = {"steps": 100} | {name: low - 1}
    refused(f"{name} must be {low} or more, got {low - 1} | --{name} | ", **fields)


@pytest.mark.parametrize("name", sorted(LOWEST.keys() - {*LENGTHS, *NEVER_0}))
def test_the_lowest_value_is_taken(name):
    assert getattr(make(**{name: LOWEST[name]}), name) == LOWEST[name]


COUNTS = [f.name for f in dataclasses.fields(Config) if type(f.default) is int]


@pytest.mark.parametrize("name", COUNTS)
def test_a_count_beyond_any_use(name):
    high = HIGHEST.get(name, 2**31 - 1)
    message = f"{name} must be {high} or less, got {2**31} | --{name} | "
    refused(message, **{"steps": 1} | {name: 2**31})


def test_the_numbers_with_a_highest_value():
    bounded = (f for f in dataclasses.fields(Config) if f.metadata["at_most"] != INF)
    assert {f.name: f.metadata["at_most"] for f in bounded} == HIGHEST


@pytest.mark.parametrize(("name", "high"), HIGHEST.items())
def test_beyond_the_highest_value(name, high):
    beyond = high + type(getattr(make(), name))(1)
    refused(f"{name} must be {high} or less, got {beyond} | --{name} | ", steps=1, **{name: beyond})
    assert getattr(make(**{name: high}), name) == high


WORDS = {
    "all_reduce": "auto, nccl, ring or hierarchical",
    "keep_best": "empty, top1, top5 or loss",
    "rate_rule": "none, linear or sqrt",
    "schedule": "constant, step, piecewise, exponential, polynomial, cosine, one_cycle or"
    " inverse_sqrt",
    "optimizer": "sgd, adam, adamw, rmsprop, lars or lamb",
    "clip": "empty, norm, value or adaptive",
    "loss": "softmax, sigmoid or focal",
    "policy": "empty, autoaugment_imagenet, autoaugment_cifar10, autoaugment_svhn, randaugment,"
    " trivialaugment or augmix",
    "erasing_fill": "noise or mean",
    "reader": "auto, memory, indexed or windowed",
    "bad_records": "fail or skip",
    "precision": "float32, bfloat16 or float16",
    "on_nonfinite": "stop, skip or rollback",
}
NEEDED = {"schedule": {"factors": (1.0,)}}  # by some of its words


def test_the_fields_that_take_a_word_of_a_list():
    assert {f.name for f in dataclasses.fields(Config) if f.metadata["one_of"]} == set(WORDS)


@pytest.mark.parametrize("name", WORDS)
def test_a_word_that_is_none_of_them(name):
    message = f"{name} must be {WORDS[name]}, got Other | --{name} | "
    refused(message, steps=1, **{name: "Other"})
    assert getattr(make(), name) == WORDS[name].replace("empty", "").split(",")[0].split(" ")[0]


@pytest.mark.parametrize("name", WORDS)
def test_every_word_is_taken(name):
    for word in WORDS[name].replace(" or ", ", ").split(", "):
        word = "" if word == "empty" else word
        assert getattr(make(**{name: word}, **NEEDED.get(name, {})), name) == word


FLOATS = {f.name for f in dataclasses.fields(Config) if type(f.default) is float}


def test_the_fields_that_take_fractions():
    known = (
        "layer_decay epochs learning_rate decay_factor power start_factor end_factor peak momentum"
        " beta1 beta2 rho epsilon trust weight_decay clip_at ema focal_gamma label_smoothing"
        " eval_central_fraction brightness contrast saturation hue grey lighting erasing mixup"
        " cutmix loss_scale max_runtime step_timeout keep_every_hours"
    )
    assert set(known.split()) == FLOATS


@pytest.mark.parametrize("name", sorted(FLOATS))
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_not_finite(name, value):
    """# fault E9"""
    fields = {name: value} if name == "epochs" else {"steps": 100, name: value}
    refused(f"{name} must be finite, got {value} | --{name}", **fields)


@pytest.mark.parametrize("value", [1.0, 1.5])
@pytest.mark.parametrize("name", ["momentum", "label_smoothing", "beta1", "beta2", "rho", "ema"])
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


@pytest.mark.parametrize("schedule", ["step", "piecewise", "constant"])
@pytest.mark.parametrize("value", [NAN, INF, -INF, -0.1])
def test_a_factor_that_is_not_finite_or_below_0(schedule, value):
    fields = {"schedule": schedule, "boundaries": ("10",), "factors": (1.0, value)}
    refused(f"factors must be finite and 0 or more, got {value} | --factors | ", steps=99, **fields)


def test_other_schedules_leave_the_number_of_factors_alone():
    assert make(schedule="cosine", factors=(1.0, 0.5)).boundaries == ()


@pytest.mark.parametrize("value", [0.0, 1.0, 1.5])
def test_a_peak_at_an_end_of_the_run(value):
    refused(f"peak must be above 0 and below 1, got {value} | --peak | ", steps=99, peak=value)


@pytest.mark.parametrize(
    ("name", "schedule"), [("power", "polynomial"), ("decay_factor", "exponential")]
)
def test_a_number_of_0_that_its_schedule_cannot_have(name, schedule):
    fields = {"schedule": schedule, name: 0.0}
    refused(f"{name} must be above 0, got 0 | --{name} | ", steps=99, **fields)
    assert getattr(make(schedule=schedule, **{name: 0.5}), name) == 0.5


@pytest.mark.parametrize("clip", ["norm", "value", "adaptive"])
def test_nothing_is_clipped_at_0(clip):
    message = "clip_at must be above 0, in float32 too, got {} | --clip_at | "
    for value in (0.0, 1e-300):
        refused(message.format(value), steps=1, clip=clip, clip_at=value)
    assert make(clip=clip, clip_at=0.01).clip_at == 0.01


def test_a_rate_of_0_for_all_parts_but_the_last():
    refused("layer_decay must be above 0, got 0.0 | --layer_decay | ", steps=1, layer_decay=0.0)


def test_a_trust_of_0_would_be_no_trust_ratio():
    refused("trust must be above 0, got 0.0 | --trust | ", steps=1, optimizer="lars", trust=0.0)


@pytest.mark.parametrize("value", [NAN, INF, -1.0])
def test_a_class_weight_that_cannot_be(value):
    message = f"class_weights must be finite and 0 or more, got {value} | --class_weights | "
    refused(message, steps=1, class_weights=(1.0, value))


def test_class_weights_of_0_for_all_classes():
    message = "class_weights must not all be 0, got (0.0, 0.0) | --class_weights | "
    refused(message, steps=1, class_weights=(0.0, 0.0))
    assert make(class_weights=(0.0, 2.0)).class_weights == (0, 2)


def test_sums_over_devices_are_not_compiled():
    message = "xla and sync_batch_norm exclude each other: a sum over devices cannot be compiled"
    refused(f"{message} | --xla | ", steps=1, xla=True, sync_batch_norm=True)


@pytest.mark.parametrize("text", ["soon", "-5", "5 minutes", ""])
def test_malformed_duration(text):
    sizes = {"image_size": 9, "resolutions": (8.0, 9.0), "resolution_boundaries": (text,)}
    rule = f"must be a number with one of steps, epochs, examples, %, got {text!r}"
    refused(f"warmup {rule} | --warmup", steps=1, warmup=text)
    refused(f"decay_every {rule} | --decay_every", steps=1, decay_every=text)
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


def test_bad_flag_names_rule_value_and_flag():
    error = bad_flag("pad", "must be even", 3)
    assert (error.code, error.details) == (64, "")
    expected = "ERROR 64: pad must be even, got 3 | --pad | see --helpfull for its meaning"
    assert str(error) == expected
    assert "got" not in str(bad_flag("input", "must be given"))


def test_resolutions_without_a_size():
    message = "image_size must be given with resolutions, as the last of them | --image_size"
    refused(message, steps=9, resolutions=(8.0, 16.0), resolution_boundaries=("5",))


@pytest.mark.parametrize(
    ("name", "with_it", "needs"),
    [
        ("rate_batch_size", {"rate_rule": "sqrt"}, "rate_rule=linear|sqrt"),
        ("boundaries", {"schedule": "piecewise", "factors": (1.0,)}, "schedule=step|piecewise"),
        ("factors", {"schedule": "step", "factors": (1.0,)}, "schedule=step|piecewise"),
        ("decay_every", {"schedule": "exponential"}, "schedule=exponential"),
        ("decay_factor", {"schedule": "exponential"}, "schedule=exponential"),
        ("staircase", {"schedule": "exponential"}, "schedule=exponential"),
        ("power", {"schedule": "polynomial"}, "schedule=polynomial"),
        ("start_factor", {"schedule": "one_cycle"}, "schedule=one_cycle"),
        ("peak", {"schedule": "one_cycle"}, "schedule=one_cycle"),
        ("end_factor", {"schedule": "cosine"}, "schedule=polynomial|cosine|one_cycle"),
        ("momentum", {"optimizer": "rmsprop"}, "optimizer=sgd|lars|rmsprop"),
        ("nesterov", {"optimizer": "lars"}, "optimizer=sgd|lars"),
        ("beta1", {"optimizer": "lamb"}, "optimizer=adam|adamw|lamb"),
        ("beta2", {"optimizer": "adam"}, "optimizer=adam|adamw|lamb"),
        ("rho", {"optimizer": "rmsprop"}, "optimizer=rmsprop"),
        ("epsilon", {"optimizer": "lars"}, "optimizer=adam|adamw|rmsprop|lars|lamb"),
        ("trust", {"optimizer": "lars"}, "optimizer=lars"),
        ("clip_at", {"clip": "value"}, "clip"),
        ("focal_gamma", {"loss": "focal"}, "loss=focal"),
        ("crop_ratio", {"crop_scale": (0.5, 1.0)}, "crop_scale"),
        ("policy_layers", {"policy": "randaugment"}, "policy=randaugment"),
        ("policy_magnitude", {"policy": "randaugment"}, "policy=randaugment"),
        ("erasing_fill", {"erasing": 0.1}, "erasing"),
        ("bad_records_limit", {"bad_records": "skip"}, "bad_records=skip"),
        ("nonfinite_limit", {"on_nonfinite": "rollback"}, "on_nonfinite=skip|rollback"),
    ],
)
def test_fields_without_effect(name, with_it, needs):
    # An optimizer without momentum for the one, with it for the others.
    other = {
        "optimizer": "sgd" if name in ("beta1", "beta2", "rho", "epsilon", "trust") else "adam"
    }
    sentence = f"--{name} has no effect: it is used with --{needs}"
    assert checks.without_effect(make(**other), ["seed", name]) == [sentence]
    assert checks.without_effect(make(**with_it), ["seed", name]) == []
