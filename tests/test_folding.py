"""Folded batch norms: the same logits, and how many of them are gone."""

import numpy as np
import pytest
import tensorflow as tf

from resnet_tf import models
from resnet_tf.exporting.folding import Folded
from resnet_tf.layers import BatchNorm, Conv2D, Dense, named_variables, ones

# How many batch norms stand behind no convolution: of pre-activation networks the first one of each
# block, and the last of all.
STAY = {
    "cifar_resnet20": 0, "cifar_resnet18": 0, "resnet18": 0, "resnet50_v1": 0, "se_resnet50": 0,
    "resnet50_d": 0, "resnext50_32x4d": 0, "ex6_net": 0, "plain_resnet100": 0,
    "resnet18_v2": 9,
}  # fmt: skip


def network(name, **options):
    """Small, with batch norms that change what they get."""
    if name != "plain_resnet100":
        options |= {"width_multiplier": 0.25}
    model = models.create(name, num_classes=5, **options)
    rng = np.random.default_rng(0)
    for path, variable in named_variables(model).items():
        if path.endswith(("scale", "moving_variance")):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif path.endswith(("offset", "moving_mean", "bias")):
            variable.assign(rng.normal(0, 0.2, variable.shape))
    return model


def norms(graph):
    return sum(operation.type == "FusedBatchNormV3" for operation in graph.get_operations())


def traced(function, side):
    images = tf.TensorSpec([None, side, side, 3])
    return tf.function(function, autograph=False).get_concrete_function(images).graph


@pytest.mark.parametrize("name", STAY)
def test_same_logits_with_fewer_operations(name):
    model = network(name)
    side = max(32, model.smallest_image)
    folded = Folded(model, side, side)
    before = norms(traced(lambda images: model(images, training=False), side))
    assert before == folded.folded + STAY[name]
    assert norms(traced(folded, side)) == STAY[name]
    images = np.random.default_rng(1).normal(size=(3, side, side, 3)).astype(np.float32)
    expected = model(images, training=False).numpy()
    found = tf.function(folded, autograph=False)(images).numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5 * np.abs(expected).max())


def test_bias_of_a_convolution_before_its_norm():
    model = network("resnet50_v1", use_bias=True)
    folded = Folded(model, 32, 32)
    images = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype(np.float32)
    expected = model(images, training=False).numpy()
    np.testing.assert_allclose(
        tf.function(folded, autograph=False)(images), expected, atol=2e-5 * np.abs(expected).max()
    )
    # Each biased convolution with its norm has become one addition of a bias.
    kinds = [operation.type for operation in traced(folded, 32).get_operations()]
    assert kinds.count("BiasAdd") == kinds.count("Conv2D") + 1  # the head's


class One(models.Classifier):
    """A biased convolution of one channel and its norm; `shared`: the sum of what both give."""

    def __init__(self, shared=False):
        super().__init__(models.Classifier.Options(num_classes=1, channels=1))
        self.conv = Conv2D(1, 1, 1, init=ones, use_bias=True)
        self.norm = BatchNorm(1, epsilon=0.01)
        self.head = Dense(1, 1, init=ones)
        self._shared = shared
        for variable, value in (
            (self.conv.kernel, 2), (self.conv.bias, 3), (self.norm.scale, 4),
            (self.norm.offset, 5), (self.norm.moving_mean, 6), (self.norm.moving_variance, 0.24),
        ):  # fmt: skip
            variable.assign(tf.fill(variable.shape, float(value)))

    def features(self, images, training):
        maps = self.conv(images)
        normed = self.norm(maps, training)
        return {"final": maps + normed if self._shared else normed}


def test_formula_by_hand():
    folded = Folded(One(), 1, 1)
    # 4 / sqrt(0.24 + 0.01) = 8: kernel 2 * 8, bias 5 + (3 - 6) * 8
    values = sorted(v.numpy().item() for v in folded.variables)
    assert values == pytest.approx([-19, 0, 1, 16], abs=1e-6)
    found = tf.function(folded, autograph=False)(tf.fill([1, 1, 1, 1], 1.5)).numpy().item()
    assert found == pytest.approx(16 * 1.5 - 19)


def test_a_convolution_that_others_read_too_stays_as_it_is():
    folded = Folded(One(shared=True), 1, 1)
    assert folded.folded == 0
    found = tf.function(folded, autograph=False)(tf.fill([1, 1, 1, 1], 1.5)).numpy().item()
    assert found == pytest.approx(2 * 1.5 + 3 + 16 * 1.5 - 19)
