"""Mirrored pictures, against slices."""

import numpy as np
import pytest

from resnet_tf.input.augment import flip, streams

import tensorflow as tf  # isort: skip

LEFT_RIGHT, UPSIDE_DOWN = streams.FLIP + 2, streams.FLIP + 1


@pytest.mark.parametrize("horizontal", [False, True])
@pytest.mark.parametrize("vertical", [False, True])
def test_each_way_by_its_coin(horizontal, vertical, pictures, noise):
    images = pictures(4, 5, 7)
    given = {LEFT_RIGHT: [0.49, 0.49, 0.5, 0.5], UPSIDE_DOWN: [0.49, 0.5, 0.49, 0.5]}
    found = flip(tf.constant(images), noise(4, given=given), horizontal, vertical)
    for i in range(4):
        expected = images[i]
        if horizontal and i < 2:
            expected = expected[:, ::-1]
        if vertical and i % 2 == 0:
            expected = expected[::-1]
        np.testing.assert_array_equal(found[i], expected)


def test_coins_are_fair_and_independent(noise):
    image = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1)
    found = flip(tf.constant(np.repeat(image, 4000, 0)), noise(4000), True, True).numpy()
    corners = np.bincount(found[:, 0, 0, 0], minlength=4)
    assert corners.sum() == 4000
    assert np.all(np.abs(corners - 1000) < 5 * np.sqrt(4000 * 3 / 16))


def test_only_left_right_by_default(pictures, noise):
    images = pictures(3)
    given = {LEFT_RIGHT: 0, UPSIDE_DOWN: 0}
    found = flip(tf.constant(images), noise(3, given=given))
    np.testing.assert_array_equal(found, images[:, :, ::-1])
