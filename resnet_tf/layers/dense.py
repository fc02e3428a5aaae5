"""Fully connected layer."""

import tensorflow as tf

from resnet_tf.layers.initializers import Initializer, zeros
from resnet_tf.layers.values import value_of


class Dense(tf.Module):
    """y = x · kernel + bias.

    Variables: `kernel [in, out]`, `bias [out]`; both float32.

    Args:
      channels_in, channels_out: sizes of the last axis of the input and of the output.
      init: initialiser of the kernel; the bias starts at zero.

    Raises:
      ValueError: for sizes below 1.
    """

    def __init__(self, channels_in: int, channels_out: int, *, init: Initializer):
        super().__init__()
        if channels_in < 1 or channels_out < 1:
            raise ValueError(f"sizes must be 1 or more, got {channels_in} and {channels_out}")
        self.kernel = tf.Variable(init((channels_in, channels_out)), name="kernel")
        self.bias = tf.Variable(zeros((channels_out,)), name="bias")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """float32 `[N, in]` to float32 `[N, out]`."""
        return tf.nn.bias_add(tf.linalg.matmul(x, value_of(self.kernel)), value_of(self.bias))
