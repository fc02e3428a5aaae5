"""Random erasing and cutout, against loops."""

import math

import numpy as np
import pytest

from resnet_tf.input.augment import cutout, erasing, streams

import tensorflow as tf  # isort: skip

CHOSEN, AREA, RATIO, TOP, LEFT = range(streams.ERASING, streams.ERASING + 5)


def painted(image, top, left, bottom, right, fill):
    result = image.copy()
    for y in range(max(top, 0), min(bottom, image.shape[0])):
        for x in range(max(left, 0), min(right, image.shape[1])):
            result[y, x] = fill
    return result


def erased(image, draws, i, fill):
    height, width = image.shape[:2]
    area = (0.02 + 0.31 * draws[AREA][i]) * height * width
    ratio = 0.3 ** (1 - 2 * draws[RATIO][i])
    tall = min(round(math.sqrt(area * ratio)), height)
    wide = min(round(math.sqrt(area / ratio)), width)
    top = int(draws[TOP][i] * (height - tall + 1))
    left = int(draws[LEFT][i] * (width - wide + 1))
    return painted(image, top, left, top + tall, left + wide, fill)


@pytest.mark.parametrize("fill", [0, 77, (10, 20, 30), (123.4, 99.5, 0.6)])
@pytest.mark.parametrize("size", [(20, 20), (12, 30), (31, 5)])
def test_erasing_equals_the_loops(size, fill, pictures, noise):
    images = pictures(40, *size)
    found = erasing(tf.constant(images), noise(40), 0.5, fill)
    draws = {s: noise(40).uniform(s).numpy().astype(float) for s in range(CHOSEN, LEFT + 1)}
    for i in range(40):
        colour = np.round(np.float32(fill)).astype(np.uint8)
        chosen = draws[CHOSEN][i] < 0.5
        expected = erased(images[i], draws, i, colour) if chosen else images[i]
        np.testing.assert_array_equal(found[i], expected)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_erasing_with_noise(dtype, pictures, noise):
    images = np.zeros((60, 24, 24, 3), dtype)
    draws = {s: noise(60).uniform(s).numpy().astype(float) for s in range(CHOSEN, LEFT + 1)}
    found = erasing(tf.constant(images), noise(60), 1, "noise").numpy()
    assert found.dtype == dtype
    boxes = np.stack([erased(images[i], draws, i, 1) for i in range(60)]) == 1
    assert np.all(found[~boxes] == 0)
    values = found[boxes].astype(int)
    np.testing.assert_array_equal(values, found[boxes])  # whole numbers
    counts = np.bincount(values, minlength=256)
    statistic = np.sum((counts - counts.mean()) ** 2) / counts.mean()
    assert abs(statistic - 255) < 5 * math.sqrt(2 * 255)


@pytest.mark.parametrize("probability", [0, 0.25, 1])
def test_share_of_erased_pictures(probability, noise):
    found = erasing(tf.ones([3000, 9, 9, 1], tf.uint8), noise(3000), probability, 0)
    share = np.mean(found.numpy().min(axis=(1, 2, 3)) == 0)
    assert abs(share - probability) <= 5 * math.sqrt(probability * (1 - probability) / 3000)


def test_areas_and_shapes_reach_their_ends(noise):
    found = erasing(tf.ones([5000, 32, 32, 1], tf.uint8), noise(5000), 1, 0).numpy()[..., 0]
    height, width = (np.any(found == 0, axis=axis).sum(axis=1) for axis in (2, 1))
    area = height * width / 1024
    assert 0.012 < area.min() < 0.025
    assert 0.32 < area.max() < 0.35
    assert area.mean() == pytest.approx(0.175, abs=0.005)
    ratio = np.log(height / width)
    assert ratio.min() < -1.1
    assert ratio.max() > 1.1
    assert abs(ratio.mean()) < 0.05
    first_rows = np.argmax(np.any(found == 0, axis=2), axis=1)
    assert first_rows.min() == 0
    assert (first_rows + height).max() == 32


@pytest.mark.parametrize("shape", [(20, 20), (10, 40), (40, 10)])
def test_box_that_does_not_fit_is_cut_to_the_side(shape, noise):
    images = tf.ones([4, *shape, 1], tf.uint8)
    last = 1 - 2.0**-24
    given = {AREA: last, RATIO: [0, 0, last, last], TOP: [0, last, 0, last], LEFT: 0}
    found = erasing(images, noise(4, given={CHOSEN: 0, **given}), 1, 0).numpy()[..., 0]
    area = 0.33 * shape[0] * shape[1]
    wide = min(round(math.sqrt(area / 0.3)), shape[1])
    tall = min(round(math.sqrt(area / 0.3)), shape[0])
    assert (found[0] == 0).any(axis=0).sum() == wide
    assert (found[2] == 0).any(axis=1).sum() == tall


@pytest.mark.parametrize("size", [1, 2, 5, 8, 40])
@pytest.mark.parametrize("fill", [0, 255, (1, 2, 3)])
def test_cutout_equals_the_loops(size, fill, pictures, noise):
    images = pictures(20, 13, 10)
    found = cutout(tf.constant(images), noise(20), size, fill)
    rows = noise(20).integer(streams.CUTOUT, 13).numpy()
    columns = noise(20).integer(streams.CUTOUT + 1, 10).numpy()
    for i in range(20):
        top, left = rows[i] - size // 2, columns[i] - size // 2
        expected = painted(images[i], top, left, top + size, left + size, fill)
        np.testing.assert_array_equal(found[i], expected)


def test_cutout_has_every_pixel_as_its_centre(noise):
    found = cutout(tf.ones([2000, 3, 4, 1], tf.uint8), noise(2000), 1).numpy()
    counts = np.sum(found == 0, axis=(0, 3))
    assert counts.sum() == 2000
    assert np.all(np.abs(counts - 2000 / 12) < 5 * math.sqrt(2000 / 12))


@pytest.mark.parametrize("function", [erasing, lambda x, r, _, fill: cutout(x, r, 2, fill)])
@pytest.mark.parametrize(
    ("fill", "message"),
    [((1, 2), r"1 number or 3, found \(1, 2\)$"), ("black", "found 'black'$")],
)
def test_fill_of_another_kind(function, fill, message, pictures, noise):
    with pytest.raises(ValueError, match=message):
        function(tf.constant(pictures(2)), noise(2), 1.0, fill)


def test_cutout_takes_no_noise(pictures, noise):
    message = "^fill must be a number, or one a channel, found 'noise'$"
    with pytest.raises(ValueError, match=message):
        cutout(tf.constant(pictures(2)), noise(2), 2, "noise")


def test_arguments_out_of_range(pictures, noise):
    with pytest.raises(ValueError, match=r"^probability must be from 0 to 1, found 1.5$"):
        erasing(tf.constant(pictures(2)), noise(2), 1.5)
    with pytest.raises(ValueError, match=r"^size must be 1 or more, found 0$"):
        cutout(tf.constant(pictures(2)), noise(2), 0)
