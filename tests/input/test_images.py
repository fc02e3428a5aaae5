"""From encoded pictures to pixels of one size, against NumPy."""

import io
import math

import numpy as np
import pytest
import references
import tensorflow as tf
from made_pictures import cmyk_jpeg
from PIL import Image

from resnet_tf.input import images
from resnet_tf.preprocessing import Preprocessing


def picture(height, width, channels=3, seed=0):
    """Noise: every pixel counts."""
    values = np.random.default_rng(seed).integers(0, 256, (height, width, channels))
    return values.astype(np.uint8)


def pictures(height, width, channels=3, **more):
    return Preprocessing(height, width, channels, (0.0,) * channels, (1.0,) * channels, **more)


def eager(encoded, how):
    return images.decode_and_fit(encoded, how).numpy()


def in_a_pipeline(encoded, how):
    data = tf.data.Dataset.from_tensors(encoded).map(lambda e: images.decode_and_fit(e, how))
    (image,) = data
    assert data.element_spec.shape == (how.height, how.width, how.channels)
    return image.numpy()


both_ways = pytest.mark.parametrize("fit", [eager, in_a_pipeline])


def close(found, expected):
    """Within a level of the exact value."""
    assert found.dtype == np.uint8 and found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1


def middle(image, height, width):
    """The middle, its corner rounded as Python does: a half goes to the even number."""
    top = round((image.shape[0] - height) / 2)
    left = round((image.shape[1] - width) / 2)
    return image[top : top + height, left : left + width]


SHAPES = [(40, 60), (60, 40), (50, 50), (37, 81), (81, 37), (17, 23), (23, 17), (9, 40)]


@both_ways
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size, side", [((24, 24), 28), ((24, 20), 24), ((7, 24), 25)])
def test_the_shorter_side_is_resized_and_the_middle_cut_out(shape, size, side, fit):
    pixels = picture(*shape)
    # The shorter side exactly, the longer one rounded down.
    height, width = (math.floor(length * side / min(shape)) for length in shape)
    assert min(height, width) == side
    resized = references.resize(pixels, height, width, antialias=True)
    how = pictures(*size, shorter_side=side)
    close(fit(tf.io.encode_png(pixels), how), middle(resized, *size))


@both_ways
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fraction", [0.875, 0.5, 1.0, 0.9])
def test_the_central_fraction_is_resized_without_antialiasing(shape, fraction, fit):
    pixels = picture(*shape)
    # Each margin rounded down, so that what is left is as wide or wider.
    top, left = (math.floor((length - length * fraction) / 2) for length in shape)
    cut = pixels[top : shape[0] - top, left : shape[1] - left]
    expected = references.resize(cut, 15, 18, antialias=False)
    how = pictures(15, 18, central_fraction=fraction)
    close(fit(tf.io.encode_png(pixels), how), expected)


@pytest.mark.parametrize("fraction, margin", [(0.8, 6), (0.1, 27)])
def test_a_fraction_that_binary_numbers_miss_cuts_the_same_eagerly_and_in_a_pipeline(
    fraction, margin
):
    pixels = picture(60, 60)  # 60 · (1 - 0.8) / 2 = 6, 60 · (1 - 0.1) / 2 = 27
    cut = pixels[margin : 60 - margin, margin : 60 - margin]
    expected = references.resize(cut, 15, 18, antialias=False)
    how = pictures(15, 18, central_fraction=fraction)
    for fit in (eager, in_a_pipeline):
        close(fit(tf.io.encode_png(pixels), how), expected)


@both_ways
@pytest.mark.parametrize("shape", SHAPES)
def test_without_either_the_whole_picture_is_resized_whatever_its_shape(shape, fit):
    pixels = picture(*shape)
    expected = references.resize(pixels, 15, 18, antialias=True)
    close(fit(tf.io.encode_png(pixels), pictures(15, 18)), expected)


def test_antialiasing_makes_a_difference_that_the_tests_above_would_see():
    pixels = picture(60, 40)
    with_it, without = (references.resize(pixels, 15, 18, antialias=a) for a in (True, False))
    assert np.abs(with_it - without).max() > 20


def test_the_reference_by_hand():
    row = np.array([0, 100, 200, 40]).reshape(1, 4, 1)
    # Half as many: centres at 1 and 3. Without antialiasing the mean of two neighbours; with
    # it, a triangle four pixels wide, 1 to 3 to 3 to 1, and 1 to 3 to 3 at the border.
    plain = references.resize(row, 1, 2, antialias=False).ravel()
    np.testing.assert_allclose(plain, [50, 120])
    smooth = references.resize(row, 1, 2, antialias=True).ravel()
    expected = [(3 * 0 + 3 * 100 + 200) / 7, (100 + 3 * 200 + 3 * 40) / 7]
    np.testing.assert_allclose(smooth, expected)
    # Twice as many: quarters of the way, and the borders' pixels beyond the last centre.
    double = references.resize(row[:, :2], 1, 4, antialias=True).ravel()
    np.testing.assert_allclose(double, [0, 25, 75, 100])


@both_ways
@pytest.mark.parametrize("more", [{}, {"central_fraction": 1.0}, {"shorter_side": 24}])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_that_fits_is_left_as_it_is(more, channels, fit):
    pixels = picture(24, 24, channels)
    how = pictures(24, 24, channels, **more)
    np.testing.assert_array_equal(fit(tf.io.encode_png(pixels), how), pixels)


@both_ways
@pytest.mark.parametrize("shape", [(24, 41), (41, 24), (24, 26), (26, 24), (24, 27)])
def test_a_shorter_side_that_fits_is_only_cut(shape, fit):
    pixels = picture(*shape)
    how = pictures(20, 24, shorter_side=24)
    np.testing.assert_array_equal(fit(tf.io.encode_png(pixels), how), middle(pixels, 20, 24))


@both_ways
def test_a_central_fraction_that_fits_is_only_cut(fit):
    pixels = picture(40, 80)
    how = pictures(20, 40, central_fraction=0.5)
    np.testing.assert_array_equal(fit(tf.io.encode_png(pixels), how), pixels[10:30, 20:60])


@both_ways
def test_channels_are_those_of_the_network(fit):
    grey = picture(12, 12, 1)
    found = fit(tf.io.encode_png(grey), pictures(12, 12, 3))
    np.testing.assert_array_equal(found, np.repeat(grey, 3, axis=2))
    assert fit(tf.io.encode_png(picture(12, 12, 3)), pictures(12, 12, 1)).shape == (12, 12, 1)


@both_ways
def test_jpeg_is_decoded_too(fit):
    smooth = np.linspace(0, 255, 32 * 32).reshape(32, 32, 1).astype(np.uint8)
    smooth = np.repeat(smooth, 3, axis=2)
    encoded = tf.io.encode_jpeg(smooth, quality=100)
    found = fit(encoded, pictures(32, 32))
    assert np.abs(found.astype(int) - smooth).max() <= 3


def test_one_function_takes_pictures_of_any_size():
    how = pictures(8, 8, shorter_side=10)
    fit = tf.function(
        lambda encoded: images.decode_and_fit(encoded, how),
        input_signature=[tf.TensorSpec([], tf.string)],
    )
    for shape in SHAPES:
        encoded = tf.io.encode_png(picture(*shape))
        np.testing.assert_array_equal(fit(encoded).numpy(), eager(encoded, how))


@pytest.mark.parametrize("shape", [(1, 1), (1, 20_000), (20_000, 1)])
@pytest.mark.parametrize("how", [{}, {"shorter_side": 20}, {"central_fraction": 0.875}])
def test_the_least_and_the_longest_pictures_have_the_size_that_is_asked_for(shape, how):
    """# fault D9"""
    pixels = np.full((*shape, 3), 77, np.uint8)
    found = eager(tf.io.encode_png(pixels), pictures(16, 18, **how))
    assert found.shape == (16, 18, 3) and (found == 77).all()


def test_16_bits_are_scaled_to_8():
    """# fault D3"""
    pixels = (np.arange(48).reshape(4, 4, 3) * 1311).astype(np.uint16)
    found = eager(tf.io.encode_png(pixels), pictures(4, 4))
    assert np.abs(found - pixels / 257).max() <= 1


def test_a_palette_is_looked_up():
    """# fault D4"""
    image, file = Image.new("P", (2, 1)), io.BytesIO()
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    image.save(file, "PNG")
    found = eager(file.getvalue(), pictures(1, 2))
    np.testing.assert_array_equal(found, [[[10, 20, 30], [200, 100, 50]]])


def test_four_inks_become_rgb():
    """# fault D1: what an ink leaves of the light, times what black leaves."""
    expected = np.full((8, 8, 3), 255 * (127 / 255) ** 2)
    close(eager(cmyk_jpeg(), pictures(8, 8)), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_decode_gives_the_pixels(channels):
    pixels = picture(5, 7, channels)
    for asked in (0, channels):
        found = images.decode(tf.io.encode_png(pixels), asked).numpy()
        np.testing.assert_array_equal(found, pixels)
