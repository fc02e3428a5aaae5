"""Mirrored pictures."""

import tensorflow as tf

from resnet_tf.input.augment import streams
from resnet_tf.input.augment.subset import only
from resnet_tf.input.noise import Noise


def flip(
    images: tf.Tensor, noise: Noise, horizontal: bool = True, vertical: bool = False
) -> tf.Tensor:
    """Mirrors half of the pictures left to right, and half of them upside down.

    Both are decided apart, so with both a quarter of the pictures is turned by 180 degrees.

    Args:
      images: `[k, H, W, C]`, any dtype.
      noise: of the k records.
      horizontal: left to right; wrong for digits and letters.
      vertical: upside down; for pictures from above or through a microscope.

    Returns:
      The same shape and dtype.
    """
    for axis, wanted in ((2, horizontal), (1, vertical)):
        if wanted:
            mirrored = coins(noise, axis)
            images = only(mirrored, lambda part, axis=axis: tf.reverse(part, [axis]), images)
    return images


def coins(noise: Noise, axis: int) -> tf.Tensor:
    """Which records are mirrored along an axis of the batch, 1 or 2: bool `[k]`."""
    return noise.coin(streams.FLIP + axis)
