"""A batch in shares on one device, beside the shares themselves and beside the batch at once."""

import numpy as np
import pytest
from small_steps import BATCH, Smooth, labels, pictures

from resnet_tf.training.gradient import Batch, Gradient
from resnet_tf.training.shares import InShares

import tensorflow as tf  # isort: skip


def gradient_of(model):
    variables = model.trainable_variables
    return Gradient(model, variables, preprocess=lambda x: x, batch_size=BATCH)


def values_of(gradient):
    return [variable.read_value() for variable in gradient.variables]


def batch(images, targets, first=0):
    step, scale = tf.constant(3, tf.int64), tf.constant(1.0)
    return Batch(tf.constant(images), tf.constant(targets), tf.constant(first), step, scale)


@pytest.mark.parametrize("shares", [2, 4])
def test_shares_are_added_and_their_statistics_averaged(shares):
    gradient, images, targets = gradient_of(Smooth()), pictures(), labels()
    values, size = values_of(gradient), BATCH // shares
    found = InShares(gradient, shares)(values, batch(images, targets))
    each = [
        gradient(values, batch(images[at : at + size], targets[at : at + size], at))
        for at in range(0, BATCH, size)
    ]
    for number, both in enumerate(found.gradients):
        wanted = sum(one.gradients[number] for one in each)
        np.testing.assert_allclose(both, wanted, rtol=1e-4, atol=1e-7)
    for number, both in enumerate(found.statistics):
        wanted = sum(one.statistics[number] for one in each) / shares
        np.testing.assert_allclose(both, wanted, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.loss, sum(one.loss for one in each), rtol=1e-6)
    assert found.correct == sum(one.correct for one in each)


@pytest.mark.parametrize("number, parts", [(0, 1), (0, 2), (1, 2)])
def test_every_example_keeps_its_noise(number, parts):
    """Without batch norms a batch in shares is the batch at once, also where it is a part."""
    gradient = gradient_of(Smooth(norm=False, dropout=0.5))
    values, part = values_of(gradient), batch(pictures(), labels()).part(number, parts)
    found, wanted = InShares(gradient, 2)(values, part), gradient(values, part)
    np.testing.assert_allclose(found.loss, wanted.loss, rtol=1e-5)
    for one, other in zip(found.gradients, wanted.gradients):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_it_tells_what_a_gradient_tells():
    gradient = gradient_of(Smooth())
    shares = InShares(gradient, 2)
    shares(values_of(gradient), batch(pictures(), labels()))
    assert shares.variables is gradient.variables and not shares.synchronized
    assert [variable.name for variable, _ in shares.moved] == [
        "moving_mean:0", "moving_variance:0"]  # fmt: skip
