"""Pad, crop and mirror, against loops that do just that."""

import numpy as np
import pytest

from resnet_tf.input.augment import pad_crop_flip

import tensorflow as tf  # isort: skip


def by_loops(images, noise, pad, flip):
    """Pads with black, crops the old size, mirrors; a pixel at a time."""
    count, height, width, channels = images.shape
    window = 2 * pad + 1
    result = np.zeros_like(images)
    for i in range(count):
        r = int(noise[i])
        dy, dx = r % window - pad, (r // window) % window - pad
        padded = np.zeros((height + 2 * pad, width + 2 * pad, channels), np.uint8)
        for y in range(height):
            for x in range(width):
                padded[y + pad, x + pad] = images[i, y, x]
        cropped = np.zeros((height, width, channels), np.uint8)
        for y in range(height):
            for x in range(width):
                cropped[y, x] = padded[y + dy + pad, x + dx + pad]
        mirrored = flip and (r // window**2) % 2 == 1
        for x in range(width):
            result[i, :, x] = cropped[:, width - 1 - x if mirrored else x]
    return result


def pictures(count, height=5, width=5, channels=3):
    # 1 to 255: no pixel of a picture is the black of the border.
    rng = np.random.default_rng(7)
    return rng.integers(1, 256, (count, height, width, channels), dtype=np.uint8)


def augmented(images, noise, pad, flip):
    return pad_crop_flip(tf.constant(images), tf.constant(noise, tf.int64), pad, flip).numpy()


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("r", range(18))
def test_every_shift_and_mirror_of_pad_1(r, flip):
    images = pictures(1)
    np.testing.assert_array_equal(augmented(images, [r], 1, flip), by_loops(images, [r], 1, flip))


@pytest.mark.parametrize("pad", [0, 1, 2, 4])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("shape", [(6, 6, 3), (5, 9, 1), (9, 4, 3), (1, 1, 1), (3, 3, 1)])
def test_random_noise_equals_the_loops(shape, flip, pad):
    images = pictures(12, *shape)
    noise = np.random.default_rng(3).integers(0, 2**40, 12)
    expected = by_loops(images, noise, pad, flip)
    found = augmented(images, noise, pad, flip)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("r", "expected"),
    [
        (0, [[0, 0], [0, 1]]),  # dy = dx = -1
        (4, [[1, 2], [3, 4]]),  # the middle: nothing moves
        (8, [[4, 0], [0, 0]]),  # dy = dx = 1
        (2, [[0, 3], [0, 0]]),  # dy = 1, dx = -1
        (13, [[2, 1], [4, 3]]),  # the middle, mirrored
        (9, [[0, 0], [1, 0]]),  # dy = dx = -1, mirrored
    ],
)
def test_shifts_of_a_two_by_two_picture_by_hand(r, expected):
    image = np.array([[1, 2], [3, 4]], np.uint8)[None, :, :, None]
    np.testing.assert_array_equal(augmented(image, [r], 1, True)[0, :, :, 0], expected)


def test_no_pad_and_no_flip_changes_nothing():
    images = pictures(8)
    noise = np.random.default_rng(0).integers(0, 2**40, 8)
    np.testing.assert_array_equal(augmented(images, noise, 0, False), images)


def test_flip_alone_mirrors_odd_noise():
    images = pictures(2)
    found = augmented(images, [6, 7], 0, True)
    np.testing.assert_array_equal(found[0], images[0])
    np.testing.assert_array_equal(found[1], images[1][:, ::-1])


def test_without_flip_no_noise_mirrors():
    images = np.repeat(pictures(1), 9, axis=0)
    low = augmented(images, np.arange(9), 1, False)
    high = augmented(images, np.arange(9) + 9, 1, False)
    np.testing.assert_array_equal(low, high)


@pytest.mark.parametrize("pad", [0, 2])
@pytest.mark.parametrize("flip", [False, True])
def test_inside_a_dataset_equals_eager(pad, flip):
    images = pictures(12, 5, 7, 3)
    noise = np.random.default_rng(1).integers(0, 2**40, 12)
    dataset = tf.data.Dataset.from_tensor_slices((images, noise)).batch(5)  # 5, 5 and 2
    dataset = dataset.map(lambda x, r: pad_crop_flip(x, r, pad, flip))
    found = np.concatenate(list(dataset.as_numpy_iterator()))
    np.testing.assert_array_equal(found, by_loops(images, noise, pad, flip))


def test_float_pictures_stay_float():
    # Pictures that are still to change their colours come unrounded.
    images, noise = pictures(12) + np.float32(0.25), np.random.default_rng(3).integers(0, 2**40, 12)
    expected = by_loops(pictures(12), noise, 2, True)
    found = augmented(images, noise, 2, True)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.where(expected, expected + np.float32(0.25), 0))
