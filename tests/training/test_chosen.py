"""`chosen`: words and numbers of a `Config` reach the right pieces, and wrong ones their flag."""

import re

import numpy as np
import pytest
import small_runs
import tensorflow as tf

from resnet_tf.config import Config
from resnet_tf.errors import UserError
from resnet_tf.layers import named_variables
from resnet_tf.training import chosen, losses, schedules
from resnet_tf.training.optimizers import LAMB, LARS, SGD, Adam, RMSprop
from resnet_tf.training.precision import DynamicScale, FixedScale

RECORDS = 200  # with batches of 10 an epoch has 20 steps
STEPS = tf.constant([0, 1, 5, 9, 10, 11, 19, 20, 21, 39, 40, 59, 60, 75, 99, 100, 120], tf.int64)


def make(**fields):
    return Config(**{"steps": 100, "batch_size": 10, "learning_rate": 0.5} | fields)


def words(name):
    return set(Config.__dataclass_fields__[name].metadata["one_of"])


def refused(message, call):
    with pytest.raises(UserError, match=re.escape(f"ERROR 64: {message}")):
        call()


SCHEDULES = [
    ({}, schedules.constant(0.5)),
    ({"schedule": "constant", "warmup": "1epochs"},
     schedules.with_warmup(schedules.constant(0.5), 20)),
    ({"schedule": "step", "boundaries": ("2epochs", "60"), "factors": (1.0, 0.1, 0.01)},
     schedules.steps(0.5, [40, 60], [1.0, 0.1, 0.01])),
    ({"schedule": "step", "factors": (0.5,)}, schedules.constant(0.25)),
    ({"schedule": "piecewise", "boundaries": ("10%", "400examples"), "factors": (0.2, 1.0, 0.1)},
     schedules.piecewise(0.5, [10, 40], [0.2, 1.0, 0.1])),
    ({"schedule": "exponential"}, schedules.exponential(0.5, 0.97, 20)),
    ({"schedule": "exponential", "decay_every": "400examples", "decay_factor": 0.5,
      "staircase": True}, schedules.exponential(0.5, 0.5, 40, staircase=True)),
    ({"schedule": "polynomial"}, schedules.polynomial(0.5, 0, 100)),
    ({"schedule": "polynomial", "warmup": "10%", "power": 2.0, "end_factor": 0.1},
     schedules.with_warmup(schedules.polynomial(0.5, 10, 100, 2.0, 0.1), 10)),
    ({"schedule": "cosine"}, schedules.cosine(0.5, 0, 100)),
    ({"schedule": "cosine", "warmup": "10", "end_factor": 0.1},
     schedules.with_warmup(schedules.cosine(0.5, 10, 100, 0.1), 10)),
    ({"schedule": "one_cycle"}, schedules.one_cycle(0.5, 100, 0.3, 0.04, 0.0)),
    ({"schedule": "one_cycle", "peak": 0.6, "start_factor": 0.5, "end_factor": 0.1},
     schedules.one_cycle(0.5, 100, 0.6, 0.5, 0.1)),
    ({"schedule": "inverse_sqrt", "warmup": "1epochs"},
     schedules.with_warmup(schedules.inverse_sqrt(0.5, 20), 20)),
]  # fmt: skip


def test_every_schedule_is_here():
    assert {told.get("schedule", "constant") for told, _ in SCHEDULES} == words("schedule")


@pytest.mark.parametrize(
    ("told", "expected"), SCHEDULES, ids=lambda x: None if callable(x) else str(x)[:60]
)
@pytest.mark.parametrize(
    "length", [{}, {"steps": 0, "epochs": 5.0}, {"batch_size": 5, "accumulate": 2}]
)
def test_schedule(told, expected, length):
    found = chosen.schedule_from(make(**told, **length), RECORDS)
    np.testing.assert_array_equal(found(STEPS), expected(STEPS))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("none", 0.1), ("linear", 0.1 * 256 / 64), ("sqrt", 0.1 * 2)],  # √(256 / 64) = 2
)
@pytest.mark.parametrize("parts", [{"batch_size": 256}, {"batch_size": 64, "accumulate": 4}])
def test_rate_of_256_examples_a_step_that_is_given_for_64(rule, expected, parts):
    config = make(learning_rate=0.1, rate_rule=rule, rate_batch_size=64, **parts)
    assert chosen.rate_of(config) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(chosen.schedule_from(config, RECORDS)(STEPS), expected, rtol=1e-6)


def test_every_rule_is_here():
    assert words("rate_rule") == {"none", "linear", "sqrt"}


MISTAKES = [
    ({"schedule": "step", "boundaries": ("1epochs", "15"), "factors": (1.0, 1.0, 1.0)},
     "boundaries must rise, got [20, 15] steps | --boundaries | "),
    ({"schedule": "piecewise", "boundaries": ("1epochs", "20"), "factors": (1.0, 1.0, 1.0)},
     "boundaries must rise, got [20, 20] steps | --boundaries | "),
    ({"schedule": "piecewise", "boundaries": ("0.02epochs", "5"), "factors": (1.0, 1.0, 1.0)},
     "boundaries must be 1 or more, got [0, 5] steps | --boundaries | "),
    ({"schedule": "exponential", "decay_every": "0"},
     "decay_every must be 1 step or more, got 0 | --decay_every | "),
    ({"schedule": "exponential", "decay_every": "0.02epochs"},
     "decay_every must be 1 step or more, got 0 | --decay_every | "),
    ({"warmup": "999999999epochs"},
     "warmup must be at most 2147483648 steps, got '999999999epochs' | --warmup | "),
    ({"steps": 0, "epochs": 1e300},
     "epochs must give fewer steps, got 2e+301 steps | --epochs | "),
]  # fmt: skip


@pytest.mark.parametrize(("told", "message"), MISTAKES)
def test_a_schedule_that_this_data_does_not_allow_names_its_flag(told, message):
    refused(message, lambda: chosen.schedule_from(make(**told), RECORDS))


def test_a_decay_of_no_step_matters_to_its_schedule_alone():
    found = chosen.schedule_from(make(decay_every="0"), RECORDS)
    np.testing.assert_array_equal(found(STEPS), np.full(len(STEPS), 0.5, np.float32))


LOGITS = tf.constant([[2.0, -1.0, 0.5, 0.1], [0.3, 0.2, -3.0, 1.0], [0.0, 4.0, 1.0, 1.0]])
LABELS = tf.constant([0, 2, 1], tf.int64)
WEIGHTS = (1.0, 2.0, 0.5, 0.0)
LOSSES = [
    ({}, losses.cross_entropy(LOGITS, LABELS)),
    ({"loss": "softmax", "label_smoothing": 0.2}, losses.cross_entropy(LOGITS, LABELS, 0.2)),
    ({"loss": "sigmoid", "label_smoothing": 0.2},
     losses.sigmoid_cross_entropy(LOGITS, LABELS, 0.2)),
    ({"loss": "focal"}, losses.focal(LOGITS, LABELS, 2.0)),
    ({"loss": "focal", "focal_gamma": 0.5, "label_smoothing": 0.2},
     losses.focal(LOGITS, LABELS, 0.5, 0.2)),
    ({"class_weights": WEIGHTS}, [1.0, 0.5, 2.0] * losses.cross_entropy(LOGITS, LABELS)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("told", "expected"), LOSSES, ids=lambda x: None if callable(x) else str(x)[:50]
)
def test_loss(told, expected):
    found = chosen.loss_from(make(**told), classes=4)(LOGITS, LABELS)
    np.testing.assert_array_equal(found, expected)


def test_every_loss_is_here():
    assert {told.get("loss", "softmax") for told, _ in LOSSES} == words("loss")


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 1.0, 1.0, 1.0, 1.0)])
def test_a_class_weight_too_many_or_too_few(weights):
    message = f"class_weights must be 4, one for each class of the data, got {len(weights)} | "
    config = make(class_weights=weights)
    refused(f"{message}--class_weights | ", lambda: chosen.loss_from(config, classes=4))


@pytest.fixture(scope="module")
def model():
    return small_runs.Normed(small_runs.Normed.Options(num_classes=4))


BETAS = {"beta1": 0.8, "beta2": 0.95}
PUSH = {"momentum": 0.7, "nesterov": True}
OPTIMIZERS = [
    ("sgd", SGD, PUSH, PUSH),
    ("adam", Adam, BETAS, BETAS),
    ("adam", Adam, {}, {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-7}),
    ("adamw", Adam, BETAS | {"epsilon": 0.5}, BETAS | {"epsilon": 0.5}),
    ("rmsprop", RMSprop, {"rho": 0.6, "momentum": 0.3}, {"rho": 0.6, "momentum": 0.3}),
    ("rmsprop", RMSprop, {"epsilon": 0.5}, {"rho": 0.9, "momentum": 0.9, "epsilon": 0.5}),
    ("rmsprop", RMSprop, {}, {"epsilon": 1e-7}),
    ("lars", LARS, PUSH | {"trust": 0.02}, PUSH | {"trust_coefficient": 0.02, "epsilon": 0.0}),
    ("lars", LARS, {"epsilon": 0.5}, {"trust_coefficient": 0.001, "epsilon": 0.5}),
    ("lamb", LAMB, BETAS, BETAS | {"epsilon": 1e-6}),
    ("lamb", LAMB, {"epsilon": 0.5}, {"epsilon": 0.5}),
]


@pytest.mark.parametrize(("name", "kind", "told", "expected"), OPTIMIZERS)
def test_optimizer(model, name, kind, told, expected):
    config = make(optimizer=name, weight_decay=0.25, **told)
    factors = {"body/kernel": 0.5}
    found = chosen.optimizer_from(config, model, ("body/kernel", "head/bias"), factors)
    assert type(found) is kind
    assert {name: getattr(found, name) for name in expected} == expected
    assert found.trained == {"body/kernel", "head/bias"} and found.rate_factors == factors
    assert found.weight_decay == 0.25 and found.decoupled is (name == "adamw")


@pytest.mark.parametrize("name", sorted(words("optimizer")))
def test_decay_of_any_optimizer_can_be_decoupled(model, name):
    config = make(optimizer=name, decoupled_decay=True, epsilon=0.5)
    assert chosen.optimizer_from(config, model, ("head/bias",), {}).decoupled is True


def test_every_optimizer_is_here():
    assert {name for name, *_ in OPTIMIZERS} == words("optimizer")


GRADIENTS = [tf.constant([3.0, -4.0]), tf.constant([12.0])]  # of norm 13


@pytest.mark.parametrize(
    ("clip", "expected"),
    [("norm", [[0.3, -0.4], [1.2]]), ("value", [[1.3, -1.3], [1.3]])],
)
def test_clipping_at_1_3(model, clip, expected):
    found = chosen.clip_from(make(clip=clip, clip_at=1.3), model)
    variables = [tf.Variable(g) for g in GRADIENTS]
    for one, wanted in zip(found(GRADIENTS, variables, tf.constant(13.0)), expected, strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-6)


def test_adaptive_clipping_leaves_the_head_alone(model):
    """The only entry of a unit may have clip_at times the norm of its weights."""
    clip = chosen.clip_from(make(clip="adaptive", clip_at=0.25), model)
    variables = list(model.trainable_variables)
    gradients = [tf.fill(v.shape, 1e4) for v in variables]
    clipped = clip(gradients, variables, tf.linalg.global_norm(gradients))
    names = {id(v): name for name, v in named_variables(model).items()}
    for variable, gradient in zip(variables, clipped, strict=True):
        if names[id(variable)].startswith("head/"):
            assert (gradient.numpy() == 1e4).all()
        elif names[id(variable)].endswith("/kernel"):
            units = (0, 1, 2)
            norm = np.sqrt(np.square(gradient).sum(units))
            weights = np.sqrt(np.square(variable).sum(units))
            np.testing.assert_allclose(norm, 0.25 * weights, rtol=1e-5)


def test_no_clipping_unless_told(model):
    assert chosen.clip_from(make(), model) is None
    assert words("clip") == {"", "norm", "value", "adaptive"}


@pytest.mark.parametrize(
    ("precision", "scale", "kind", "value"),
    [
        ("float32", 0.0, FixedScale, 1), ("float32", 8.0, FixedScale, 8),
        ("bfloat16", 0.0, FixedScale, 1), ("bfloat16", 8.0, FixedScale, 8),
        ("float16", 0.0, DynamicScale, 2**15), ("float16", 8.0, FixedScale, 8),
    ],
)  # fmt: skip
def test_loss_scale_and_dtype(precision, scale, kind, value):
    config = make(precision=precision, loss_scale=scale)
    found = chosen.loss_scale_from(config)
    assert type(found) is kind and found.value() == value
    assert chosen.dtype_from(config) == getattr(tf, precision)


def test_every_precision_is_here():
    assert words("precision") == {"float32", "bfloat16", "float16"}
