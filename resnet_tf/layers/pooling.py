"""Pooling. Nothing here owns a variable."""

import tensorflow as tf

from resnet_tf.layers.padding import Padding, conv_padding


def max_pool(x: tf.Tensor, size: int, stride: int, padding: Padding = "valid") -> tf.Tensor:
    """Largest value of each `size` by `size` window; what lies outside the image is left out.

    Args:
      x: `[N, H, W, C]`, float32, bfloat16 or float16.
      size, stride: of the window, in pixels.
      padding: as in `Conv2D`; an integer pads with minus infinity.
    """
    return tf.nn.max_pool2d(x, size, stride, conv_padding(padding, (size, size), stride))


def average_pool(x: tf.Tensor, size: int, stride: int, padding: str = "valid") -> tf.Tensor:
    """Mean of each `size` by `size` window; with "same" the padding is left out of the mean.

    Args:
      x: `[N, H, W, C]`, float32, bfloat16 or float16.
      size, stride: of the window, in pixels.
      padding: "same" or "valid".
    """
    return tf.nn.avg_pool2d(x, size, stride, padding.upper())


def global_average_pool(x: tf.Tensor) -> tf.Tensor:
    """Mean over all positions, in float32: `[N, H, W, C]` to float32 `[N, C]`."""
    return tf.reduce_mean(tf.cast(x, tf.float32), axis=[1, 2])
