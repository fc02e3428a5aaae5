"""Colour jitter, against `tf.image`'s functions, a picture at a time."""

import colorsys

import numpy as np
import pytest

from resnet_tf.input.augment import jitter, streams

import tensorflow as tf  # isort: skip


def by_tf_image(images, noise, brightness=0, contrast=0, saturation=0, hue=0):
    """On pictures in [0, 1], with the numbers that `noise` draws."""
    d, s, h, c = (noise.uniform(streams.JITTER + i, -1, 1).numpy() for i in range(4))
    results = []
    for i in range(len(images)):
        x = tf.constant(images[i], tf.float32) / 255
        if brightness:
            x = tf.image.adjust_brightness(x, d[i] * brightness)
        if saturation:
            x = tf.image.adjust_saturation(x, 1 + s[i] * saturation)
        if hue:
            x = tf.image.adjust_hue(x, h[i] * hue)
        if contrast:
            x = tf.image.adjust_contrast(x, 1 + c[i] * contrast)
        results.append(tf.clip_by_value(x, 0, 1))
    return np.stack(results)


@pytest.mark.parametrize(
    "options",
    [
        {"brightness": 0.4},
        {"brightness": 1},
        {"contrast": 0.4},
        {"contrast": 1},
        {"saturation": 0.5},
        {"saturation": 1},
        {"hue": 0.1},
        {"hue": 0.5},
        {"brightness": 32 / 255, "saturation": 0.5},  # ex6_net's
        {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
        {},
    ],
)
@pytest.mark.parametrize("kind", ["smooth", "wild"])
def test_equals_tf_image(options, kind, pictures, noise):
    images = pictures(24)
    if kind == "wild":
        rng = np.random.default_rng(2)
        images = rng.integers(0, 256, images.shape, dtype=np.uint8)
        images[:4] //= 40  # dark: brightness takes these below 0
        images[4] = images[4, :, :, :1]  # grey
        images[5] = 0
        images[6] = 255
    found = jitter(tf.constant(images), noise(24), **options)
    expected = by_tf_image(images, noise(24), **options)
    np.testing.assert_allclose(found / 255, expected, atol=1e-5)


def test_brightness_and_contrast_by_hand(noise):
    images = tf.reshape(tf.constant([10, 30, 200, 240], tf.uint8), [1, 2, 2, 1])
    brighter = jitter(images, noise(1, given={streams.JITTER: 0.75}), brightness=0.1)
    np.testing.assert_allclose(brighter[0, :, :, 0], [[22.75, 42.75], [212.75, 252.75]])
    flatter = jitter(images, noise(1, given={streams.JITTER + 3: 0.25}), contrast=1)
    np.testing.assert_allclose(flatter[0, :, :, 0], [[65, 75], [160, 180]])  # mean 120, half
    steeper = jitter(images, noise(1, given={streams.JITTER + 3: 0.75}), contrast=1)
    np.testing.assert_allclose(steeper[0, :, :, 0], [[0, 0], [240, 255]])  # clipped once


@pytest.mark.parametrize("turn", [0.0, 0.25, 0.5, 0.75, 0.999])
def test_hue_equals_colorsys(turn, noise):
    pixels = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    found = jitter(tf.constant(pixels), noise(1, given={streams.JITTER + 2: turn}), hue=0.5)
    for y, x in np.ndindex(8, 8):
        h, s, v = colorsys.rgb_to_hsv(*(pixels[0, y, x] / 255))
        expected = colorsys.hsv_to_rgb((h + turn - 0.5) % 1, s, v)
        np.testing.assert_allclose(found[0, y, x] / 255, expected, atol=1e-5)


def test_float_pictures_give_what_uint8_ones_do(pictures, noise):
    images = pictures(5)
    whole = jitter(tf.constant(images), noise(5), 0.2, 0.2, 0.2, 0.2)
    real = jitter(tf.constant(images, tf.float32), noise(5), 0.2, 0.2, 0.2, 0.2)
    np.testing.assert_array_equal(whole, real)


def test_one_channel_has_brightness_and_contrast(pictures, noise):
    images = pictures(6, channels=1)
    found = jitter(tf.constant(images), noise(6), brightness=0.3, contrast=0.3)
    expected = by_tf_image(images, noise(6), brightness=0.3, contrast=0.3)
    np.testing.assert_allclose(found / 255, expected, atol=1e-5)


@pytest.mark.parametrize("option", ["saturation", "hue"])
def test_colour_of_one_channel_is_refused(option, pictures, noise):
    with pytest.raises(ValueError, match=f"^{option} needs pictures of 3 channels, found 1$"):
        jitter(tf.constant(pictures(2, channels=1)), noise(2), **{option: 0.1})


@pytest.mark.parametrize(
    ("option", "high"), [("brightness", 1), ("contrast", 1), ("saturation", 1), ("hue", 0.5)]
)
@pytest.mark.parametrize("beyond", [-0.01, 0.01])
def test_out_of_range(option, high, beyond, pictures, noise):
    value = beyond if beyond < 0 else high + beyond
    with pytest.raises(ValueError, match=f"^{option} must be from 0 to {high}, found {value}$"):
        jitter(tf.constant(pictures(1)), noise(1), **{option: value})
