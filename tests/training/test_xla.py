"""The same step compiled by XLA: same updates, same noise, same refusal of what is not finite."""

import functools

import numpy as np
import pytest
from small_steps import (
    BATCH,
    CLASSES,
    ONE,
    Smooth,
    after,
    apart,
    batches,
    everything,
    labels,
    pictures,
    soft_labels,
    start,
)

from resnet_tf import models
from resnet_tf.layers import BatchNorm
from resnet_tf.training import clipping
from resnet_tf.training.gradient import Batch, Gradient
from resnet_tf.training.optimizers import SGD, Adam
from resnet_tf.training.precision import DynamicScale

import tensorflow as tf  # isort: skip

NOISY = functools.partial(Smooth, dropout=0.5, stochastic_depth=0.5)
LEVERS = {
    "plain": {},
    "noise": {"network": NOISY},
    "parts": {"network": NOISY, "accumulate": 2},
    "average": {"ema": 0.5, "optimizer": Adam, "clip": lambda model: clipping.by_norm(0.5)},
    "soft": {"targets": soft_labels(2), "optimizer": functools.partial(SGD, nesterov=True)},
}


def compiled(function):
    """Names of the functions in a traced function's graph that are to be compiled."""
    definition = function.graph.as_graph_def()
    nodes = list(definition.node)
    nodes += [node for inner in definition.library.function for node in inner.node_def]
    return [node.name for node in nodes if node.attr["_XlaMustCompile"].b]


@pytest.mark.parametrize("name, replicas", [
    *[(name, 1) for name in LEVERS], ("noise", 2), ("parts", 2), ("average", 2),
])  # fmt: skip
def test_compiled_or_not_it_is_the_same_update(two_replicas, name, replicas):
    strategy = two_replicas if replicas == 2 else ONE
    told = {"steps": 2, **LEVERS[name]}
    (plain, health), (found, others) = (after(strategy, xla=xla, **told) for xla in (False, True))
    assert apart(plain, found) < 1e-4
    np.testing.assert_allclose(health["loss"], others["loss"], rtol=1e-5)
    np.testing.assert_allclose(health["gradient_norm"], others["gradient_norm"], rtol=1e-4)
    np.testing.assert_array_equal(health["correct"], others["correct"])


SLOW = ("resnet18", "resnet18_d", "resnet50_v1", "se_resnet50", "resnext50_32x4d", "cifar_resnet18",
        "cifar_resnet50", "cifar_resnet32_a", "cifar_resnet32_e_v2", "plain_resnet100")  # fmt: skip


@pytest.mark.parametrize("name", [
    "cifar_resnet20", "resnet18_v2", "ex6_net",
    *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW),
])  # fmt: skip
def test_xla_knows_every_op_of_a_network(name):
    size = 139 if name == "ex6_net" else 64
    model = models.create(name, num_classes=CLASSES)
    gradient = Gradient(model, model.trainable_variables, preprocess=lambda x: x, batch_size=4)
    values = [tf.convert_to_tensor(variable) for variable in gradient.variables]
    images = tf.random.stateless_normal([4, size, size, 3], [0, 1])
    batch = (images, tf.constant([0, 1, 2, 3], tf.int64), 0, tf.constant(0, tf.int64), 1.0)

    def loss(*batch):
        sums = gradient(values, Batch(*batch))
        return [sums.loss, tf.linalg.global_norm(sums.gradients)]

    found, norm = tf.function(loss, jit_compile=True)(*batch)
    np.testing.assert_allclose(found, loss(*batch)[0], rtol=1e-3)
    assert np.isfinite(norm)  # how near it is depends on how steep a random network is


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("xla", [False, True])
def test_the_gradient_is_compiled_where_it_is_asked_for(xla, accumulate):
    _, train = start(ONE, xla=xla, accumulate=accumulate)
    function = train.get_concrete_function(batches(ONE, pictures(), labels()), tf.constant(1))
    assert bool(compiled(function)) == xla


@pytest.mark.parametrize("kind, far", [(tf.bfloat16, 0.05), (tf.float16, 0.005)])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_16_bits_are_as_near_to_float32_when_compiled(kind, far, accumulate):
    told = {"network": NOISY, "steps": 2, "accumulate": accumulate}
    exact, health = after(ONE, **told)
    found, others = after(ONE, xla=True, of_gradient={"dtype": kind}, **told)
    np.testing.assert_allclose(health["loss"], others["loss"], rtol=far)
    assert apart(exact, found) < 4 * far


# --- steps that are not finite


class Aside(Smooth):
    """A batch norm of the pictures that nothing hears, so that its statistics alone go wrong."""

    def __init__(self):
        super().__init__(norm=False)
        self.aside_norm = BatchNorm(3)

    def features(self, images, training):
        self.aside_norm(images, training)
        return super().features(images, training)


def steep_where_marked(logits, targets):
    """The cross-entropy; where a row is marked, √x at 0 is added, whose slope is infinite."""
    each = tf.nn.softmax_cross_entropy_with_logits(targets[:, :CLASSES], logits)
    shift = 1 - 2 * targets[:, CLASSES]
    return each + tf.sqrt(0 * each + shift) - tf.sqrt(shift)


STEPS, BAD = 4, 2


def bad_batches(what, where, replicas):
    """Batches of which one has, in the share of one replica, what makes that not finite."""
    images = pictures(STEPS)
    targets = np.pad(np.eye(CLASSES, dtype=np.float32)[labels(STEPS)], [(0, 0), (0, 1)])
    example = BAD * BATCH + where * BATCH // replicas + 1
    if what == "gradient":
        targets[example, CLASSES] = 0.5
    else:
        # tanh takes 1e30 for infinity and goes on; the variance of such pixels is infinite.
        images[example, 0, 0, 0] = np.nan if what == "loss" else 1e30
    return images, targets


@pytest.mark.parametrize("what", ["loss", "gradient", "statistics"])
@pytest.mark.parametrize("replicas, where, xla, scale", [
    (1, 0, False, None), (2, 0, False, None), (2, 1, False, None), (1, 0, True, None),
    (2, 1, True, None), (1, 0, True, DynamicScale), (2, 1, False, DynamicScale),
])  # fmt: skip
def test_what_is_not_finite_reaches_no_variable(two_replicas, what, replicas, where, xla, scale):
    strategy = two_replicas if replicas == 2 else ONE
    state, train = start(
        strategy, network=Aside, xla=xla, ema=0.5, optimizer=Adam, scale=scale,
        of_gradient={"loss": steep_where_marked},
    )  # fmt: skip
    iterator = batches(strategy, *bad_batches(what, where, replicas))
    train(iterator, tf.constant(BAD))
    before = everything(state)
    health = {k: v.numpy() for k, v in train(iterator, tf.constant(STEPS - BAD)).items()}
    # The call ends there, unless the loss scale takes it upon itself.
    fault = scale is not None and what == "gradient"
    assert health["finite"].tolist() == ([False, True] if fault else [False])
    assert health["overflowed"].tolist() == ([True, False] if fault else [False])
    assert np.isfinite(health["loss"][0]) == (what != "loss")
    assert np.isfinite(health["gradient_norm"][0]) == (what == "statistics")
    if fault:
        assert state.step.numpy() == STEPS and state.loss_scale.overflows.numpy() == 1
        return
    assert state.step.numpy() == BAD
    assert all((before[name] == value).all() for name, value in everything(state).items())
    assert train(iterator, tf.constant(1))["finite"].numpy().tolist() == [True]
    changed = {name for name, value in everything(state).items() if (value != before[name]).any()}
    assert {"stem/kernel", "aside_norm/moving_mean", "average_updates"} <= changed
