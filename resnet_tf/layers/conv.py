"""Two-dimensional convolution."""

import tensorflow as tf

from resnet_tf.layers.initializers import Initializer, zeros
from resnet_tf.layers.padding import Padding, conv_padding


class Conv2D(tf.Module):
    """y[n, i, j, o] = Σ_{a,b,c} x[n, i·s + a - p, j·s + b - p, c] · kernel[a, b, c, o] + bias[o].

    s is the stride and p the zeros in front; x is 0 outside the image.

    Variables: `kernel [k, k, in, out]`, and `bias [out]` where asked for; both float32.

    Args:
      channels_in, channels_out: channels of the input and of the output.
      kernel_size: height and width k of the kernel.
      init: initialiser of the kernel; the bias starts at zero.
      stride: 1 by default.
      padding: "same" (TF's, which is not symmetric at stride 2), "valid", or the number of
        zeros on each side.
      use_bias: False by default, since a batch norm mostly follows.

    Raises:
      ValueError: for sizes below 1 or another padding.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel_size: int,
        *,
        init: Initializer,
        stride: int = 1,
        padding: Padding = "same",
        use_bias: bool = False,
    ):
        super().__init__()
        for name, value in (
            ("channels_in", channels_in),
            ("channels_out", channels_out),
            ("kernel_size", kernel_size),
            ("stride", stride),
        ):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be an integer of 1 or more, got {value!r}")
        self.stride = stride
        self._padding = conv_padding(padding, kernel_size, stride)
        shape = (kernel_size, kernel_size, channels_in, channels_out)
        self.kernel = tf.Variable(init(shape), name="kernel")
        self.bias = tf.Variable(zeros((channels_out,)), name="bias") if use_bias else None

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """float32 `[N, H, W, in]` to float32 `[N, H', W', out]`."""
        padding = self._padding
        if not isinstance(padding, str):
            # On a CPU the gradient of a convolution with explicit padding is not oneDNN's.
            x, padding = tf.pad(x, padding), "VALID"
        y = tf.nn.conv2d(x, self.kernel, self.stride, padding)
        return y if self.bias is None else tf.nn.bias_add(y, self.bias)
