"""Pooling. Nothing here owns a variable."""

import tensorflow as tf

from resnet_tf.layers.padding import Padding, conv_padding


def max_pool(
    x: tf.Tensor, size: int, stride: int, padding: Padding = "valid", rectified: bool = False
) -> tf.Tensor:
    """Largest value of each `size` by `size` window; what lies outside the image is left out.

    Args:
      x: `[N, H, W, C]`, float32, bfloat16 or float16.
      size, stride: of the window, in pixels.
      padding: as in `Conv2D`; an integer is at most half of `size`.
      rectified: no value of `x` is below 0, which is a little faster; False by default.

    Raises:
      ValueError: for another padding.
    """
    padding = conv_padding(padding, (size, size), stride)
    if not isinstance(padding, str):
        x, padding = _padded(x, size, padding, rectified), "VALID"
    return tf.nn.max_pool2d(x, size, stride, padding)


def _padded(x, size, padding, rectified):
    """With what cannot win: zeros, or the border mirrored, each value of which its window has.

    The op's own padding is slow on a CPU (Eigen's, not oneDNN's) and unknown to XLA and TFLite;
    and minus infinity has no place in 8 bits.
    """
    if 2 * padding[1][0] > size:
        raise ValueError(f"padding must be at most half of size {size}, got {padding[1][0]}")
    return tf.pad(x, padding, "CONSTANT" if rectified else "SYMMETRIC")


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
