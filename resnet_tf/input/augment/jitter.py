"""Colour jitter: brightness, saturation, hue and contrast, other ones for each picture."""

import tensorflow as tf

from resnet_tf.input.augment import streams
from resnet_tf.input.augment.arguments import coloured, within
from resnet_tf.input.noise import Noise


def jitter(
    images: tf.Tensor,
    noise: Noise,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
) -> tf.Tensor:
    """Changes the colours, after Howard, arXiv:1312.5402, in this order:

        brightness   x + d                      d from ±brightness · 255
        saturation   V - (V - x) · min(f, 1/S)  f from 1 ± saturation
        hue          H + h                      h from ±hue of the circle
        contrast     M + (x - M) · g            g from 1 ± contrast

    V = the largest of a pixel's channels, S = (V - smallest) / V and H are those of HSV; where
    V <= 0, S counts as 0. M = mean of a channel over the picture. One clip at the end. Every
    number is drawn uniformly, once a picture. What is 0 is left out.

    These are `tf.image.adjust_brightness`, `_saturation`, `_hue` and `_contrast`, which take
    one number a batch. `ex6_net` was trained with brightness=32/255 and saturation=0.5.

    Args:
      images: uint8 or float32 `[k, H, W, C]` in 0..255.
      noise: of the k records.
      brightness: 0 to 1.
      contrast: 0 to 1.
      saturation: 0 to 1; needs three channels.
      hue: 0 to 0.5; needs three channels.

    Returns:
      float32 `[k, H, W, C]` in 0..255, not rounded.

    Raises:
      ValueError: a number out of range, or a picture without the channels that are needed.
    """
    within("brightness", brightness, 0, 1)
    within("contrast", contrast, 0, 1)
    within("saturation", saturation, 0, 1)
    within("hue", hue, 0, 0.5)

    def draw(stream, low, high):
        return noise.uniform(streams.JITTER + stream, low, high)[:, None, None, None]

    pixels = tf.cast(images, tf.float32)
    if brightness:
        pixels += draw(0, -255 * brightness, 255 * brightness)
    if saturation:
        coloured("saturation", images)
        pixels = _saturated(pixels, draw(1, 1 - saturation, 1 + saturation))
    if hue:
        coloured("hue", images)
        pixels = _turned(pixels, draw(2, -hue, hue))
    if contrast:
        mean = tf.reduce_mean(pixels, axis=[1, 2], keepdims=True)
        pixels = mean + (pixels - mean) * draw(3, 1 - contrast, 1 + contrast)
    return tf.clip_by_value(pixels, 0, 255)


def _saturated(pixels, factor):
    red, green, blue = tf.unstack(pixels, axis=-1)
    value = tf.maximum(tf.maximum(red, green), blue)
    spread = value - tf.minimum(tf.minimum(red, green), blue)
    factor = tf.minimum(factor[..., 0], tf.math.divide_no_nan(value, spread))
    factor = tf.maximum(factor, 0)
    return tf.stack([value - (value - x) * factor for x in (red, green, blue)], axis=-1)


def _turned(pixels, turn):
    """HSV's hue in sixths of the circle; smallest and largest channel keep their values."""
    red, green, blue = tf.unstack(pixels, axis=-1)
    largest = tf.maximum(tf.maximum(red, green), blue)
    smallest = tf.minimum(tf.minimum(red, green), blue)
    spread = largest - smallest
    hue = tf.where(
        largest == red,
        green - blue,
        tf.where(largest == green, blue - red + 2 * spread, red - green + 4 * spread),
    )
    hue = tf.math.floormod(tf.math.divide_no_nan(hue, spread) + 6 * turn[..., 0], 6)
    shares = (tf.abs(hue - 3) - 1, 2 - tf.abs(hue - 2), 2 - tf.abs(hue - 4))
    turned = [smallest + spread * tf.clip_by_value(share, 0, 1) for share in shares]
    return tf.stack(turned, axis=-1)
