"""Pictures and noise for the tests of augmentations."""

import numpy as np
import pytest

from resnet_tf.input import order
from resnet_tf.input.noise import Noise

import tensorflow as tf  # isort: skip


class ChosenNoise(Noise):
    """Noise whose numbers in [0, 1) are given, by stream; the other streams are as ever."""

    def __init__(self, count, given):
        super().__init__(tf.range(count, dtype=tf.int64))
        self.given = given

    def uniform(self, stream, low=0.0, high=1.0):
        if stream not in self.given:
            return super().uniform(stream, low, high)
        share = np.broadcast_to(np.float32(self.given[stream]), len(self.numbers))
        return low + (high - low) * tf.constant(share)

    def integer(self, stream, below):
        if stream not in self.given:
            return super().integer(stream, below)
        return tf.cast(tf.floor(self.uniform(stream) * below), tf.int64)


@pytest.fixture
def noise():
    """Makes the noise of records 0..count-1; with `given`, numbers of some streams."""

    def make(count, seed=0, given=None):
        if given is not None:
            return ChosenNoise(count, given)
        ids = tf.range(count, dtype=tf.int64)
        return Noise(order.noise_for(ids, tf.zeros_like(ids), seed))

    return make


@pytest.fixture
def pictures():
    """Makes smooth pictures with some noise: uint8 `[count, height, width, channels]`."""

    def make(count, height=9, width=11, channels=3, seed=0):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[0:height, 0:width][..., None]
        slopes = rng.uniform(-9, 9, (2, count, 1, 1, channels))
        values = rng.uniform(60, 190, (count, 1, 1, channels)) + slopes[0] * y + slopes[1] * x
        values += rng.normal(0, 12, (count, height, width, channels))
        return np.clip(np.round(values), 0, 255).astype(np.uint8)

    return make
