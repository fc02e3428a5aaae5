"""Pictures without colour, against integers."""

import numpy as np
import pytest

from resnet_tf.input.augment import grey, streams
from resnet_tf.input.augment.grey import luma

import tensorflow as tf  # isort: skip


def integer_luma(images):
    red, green, blue = np.moveaxis(images.astype(np.int64), -1, 0)
    return (19595 * red + 38470 * green + 7471 * blue + 32768) // 65536


def test_luma_of_every_corner_and_many_colours():
    corners = np.stack(np.meshgrid([0, 1, 127, 254, 255], [0, 128, 255], [0, 3, 255]), -1)
    colours = np.random.default_rng(0).integers(0, 256, (20000, 3))
    colours = np.concatenate([corners.reshape(-1, 3), colours]).astype(np.uint8)
    found = luma(tf.constant(colours[None, :, None]))
    np.testing.assert_array_equal(found[0, :, 0, 0], integer_luma(colours))


def test_luma_of_one_channel_is_itself(pictures):
    images = pictures(2, channels=1)
    np.testing.assert_array_equal(luma(tf.constant(images)), images)


def test_chosen_pictures_lose_their_colour(pictures, noise):
    images = pictures(3)
    draws = noise(3, given={streams.GREY: [0.29, 0.3, 0.0]})
    found = grey(tf.constant(images), draws, probability=0.3).numpy()
    np.testing.assert_array_equal(found[1], images[1])
    for i in (0, 2):
        for channel in range(3):
            np.testing.assert_array_equal(found[i, :, :, channel], integer_luma(images)[i])


def test_float_pictures_are_not_rounded(noise):
    images = tf.constant([[[[100.5, 50.25, 7.0]]]])
    found = grey(images, noise(1), probability=1)
    np.testing.assert_allclose(found[0, 0, 0], 3 * [0.299 * 100.5 + 0.587 * 50.25 + 0.114 * 7])


@pytest.mark.parametrize("probability", [0, 0.2, 1])
def test_share_of_grey_pictures(probability, noise):
    images = tf.constant(np.tile(np.uint8([1, 100, 200]), (3000, 1, 1, 1)))
    found = grey(images, noise(3000), probability).numpy()
    share = np.mean(found[:, 0, 0, 0] == found[:, 0, 0, 1])
    assert abs(share - probability) <= 5 * np.sqrt(probability * (1 - probability) / 3000)


@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_probability_out_of_range(probability, pictures, noise):
    message = f"^probability must be from 0 to 1, found {probability}$"
    with pytest.raises(ValueError, match=message):
        grey(tf.constant(pictures(1)), noise(1), probability)
