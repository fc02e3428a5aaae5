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
        return noise.uniform(streams.JITTER + stream, low, high)[:, None, None]

    # Planes `[C, k, H, W]`: what is drawn a picture or worked out a pixel broadcasts fast.
    planes = tf.transpose(tf.cast(images, tf.float32), [3, 0, 1, 2])
    if brightness:
        planes += draw(0, -255 * brightness, 255 * brightness)
    if saturation:
        coloured("saturation", images)
        planes = _saturated(planes, draw(1, 1 - saturation, 1 + saturation))
    if hue:
        coloured("hue", images)
        planes = _turned(planes, draw(2, -hue, hue))
    if contrast:
        mean = tf.reduce_mean(planes, axis=[2, 3], keepdims=True)
        planes = mean + (planes - mean) * draw(3, 1 - contrast, 1 + contrast)
    return tf.transpose(tf.clip_by_value(planes, 0, 255), [1, 2, 3, 0])


def _saturated(planes, factor):
    value = tf.reduce_max(planes, axis=0)
    spread = value - tf.reduce_min(planes, axis=0)
    factor = tf.minimum(factor, tf.math.divide_no_nan(value, spread))
    return value - (value - planes) * tf.maximum(factor, 0)


def _turned(planes, turn):
    """Hue in sixths of the circle; the smallest and the largest channel keep their values."""
    red, green, blue = tf.unstack(planes)
    largest = tf.reduce_max(planes, axis=0)
    smallest = tf.reduce_min(planes, axis=0)
    spread = largest - smallest
    hue = tf.where(
        largest == red,
        green - blue,
        tf.where(largest == green, blue - red + 2 * spread, red - green + 4 * spread),
    )
    hue = tf.math.divide_no_nan(hue, spread) + 6 * turn
    hue -= 6 * tf.floor(hue / 6)
    shares = tf.stack([tf.abs(hue - 3) - 1, 2 - tf.abs(hue - 2), 2 - tf.abs(hue - 4)])
    return smallest + spread * tf.clip_by_value(shares, 0, 1)
