"""AugMix, against a loop over pictures, chains and steps."""

import math

import numpy as np
import pytest

from resnet_tf.input.augment import augmix, operations, streams
from resnet_tf.input.augment.distributions import beta, dirichlet
from resnet_tf.input.augment.operations import Operation

import tensorflow as tf  # isort: skip

NINE = (
    Operation.AUTO_CONTRAST,
    Operation.EQUALIZE,
    Operation.POSTERIZE,
    Operation.ROTATE,
    Operation.SOLARIZE,
    Operation.SHEAR_X,
    Operation.SHEAR_Y,
    Operation.TRANSLATE_X,
    Operation.TRANSLATE_Y,
)
WEIGHTS = streams.AUGMIX + 80


def magnitude(operation, level, height, width):
    if operation in (Operation.SHEAR_X, Operation.SHEAR_Y):
        return level * 0.3 / 10
    if operation == Operation.TRANSLATE_X:
        return int(level * width / 3 / 10)
    if operation == Operation.TRANSLATE_Y:
        return int(level * height / 3 / 10)
    if operation == Operation.ROTATE:
        return int(level * 30 / 10)
    if operation == Operation.POSTERIZE:
        return 4 - int(level * 4 / 10)
    if operation == Operation.SOLARIZE:
        return 256 - int(level * 256 / 10)
    return 0


def one_chain(image, draw, chain, severity):
    first = streams.AUGMIX + 10 * chain
    for step in range(1 + int(3 * draw(first + 9))):
        operation = NINE[int(9 * draw(first + 3 * step))]
        level = 0.1 + (severity - 0.1) * draw(first + 3 * step + 1)
        m = magnitude(operation, level, *image.shape[:2])
        if draw(first + 3 * step + 2) < 0.5 and operation <= Operation.ROTATE:
            m = -m
        image = operations.apply(
            tf.constant(image[None]),
            tf.constant([int(operation)]),
            tf.constant([m], tf.float32),
            bilinear=True,
        )[0].numpy()
    return image


@pytest.mark.parametrize(("severity", "width", "alpha"), [(3, 3, 1), (10, 2, 0.5), (0.1, 1, 2)])
def test_equals_the_loops(severity, width, alpha, pictures, noise):
    images, draws = pictures(10, 17, 23), noise(10)
    found = augmix(tf.constant(images), draws, severity, width, alpha).numpy()
    share = beta(draws, WEIGHTS, alpha, alpha).numpy()
    weights = dirichlet(draws, WEIGHTS + 1, alpha, width).numpy()
    uniform = {s: draws.uniform(s).numpy() for s in range(streams.AUGMIX, WEIGHTS)}
    for i in range(10):
        mixed = (1 - share[i]) * images[i]
        for chain in range(width):
            part = one_chain(images[i], lambda s, i=i: float(uniform[s][i]), chain, severity)
            mixed = mixed + share[i] * weights[i, chain] * part
        assert np.max(np.abs(found[i] - mixed)) < 0.501


def test_weight_0_leaves_the_picture(pictures, noise):
    images = pictures(5)
    found = augmix(tf.constant(images), noise(5, given={WEIGHTS: 0}))
    np.testing.assert_array_equal(found, images)


def test_chains_have_one_to_three_steps(noise):
    depths = 1 + (3 * noise(3000).uniform(streams.AUGMIX + 9).numpy()).astype(int)
    counts = np.bincount(depths, minlength=4)[1:]
    assert np.all(np.abs(counts - 1000) < 5 * math.sqrt(1000))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"severity": 0}, "severity must be from 0.1 to 10, found 0"),
        ({"severity": 11}, "severity must be from 0.1 to 10, found 11"),
        ({"width": 0}, "width must be from 1 to 8, found 0"),
        ({"width": 9}, "width must be from 1 to 8, found 9"),
        ({"alpha": 0}, "alpha must be above 0, found 0"),
    ],
)
def test_arguments_out_of_range(arguments, message, pictures, noise):
    with pytest.raises(ValueError, match=f"^{message}$"):
        augmix(tf.constant(pictures(1)), noise(1), **arguments)
