"""Two-dimensional convolution."""

import tensorflow as tf

from resnet_tf.layers.initializers import Initializer, zeros
from resnet_tf.layers.padding import Padding, conv_padding
from resnet_tf.layers.values import value_of

# Channels that its kernels take at a time, at most: 8 with AVX2, 16 with AVX-512.
_ONEDNN_BLOCK = 16


class Conv2D(tf.Module):
    """y[n, i, j, o] = bias[o] + Σ x[n, si + da - p, sj + db - p, c] · kernel[a, b, c, o].

    The sum is over a, b and c; s is the stride, d the dilation and p the zeros in front; x
    is 0 outside the image. With g groups, the c-th channel is that of the group o is in.

    Variables: `kernel [k, k, in / g, out]`, and `bias [out]` where asked for; both float32.

    Args:
      channels_in, channels_out: channels of the input and of the output.
      kernel_size: height and width k of the kernel, or (height, width).
      init: initialiser of the kernel; the bias starts at zero.
      stride: 1 by default.
      padding: "same" (TF's, which is not symmetric at stride 2), "symmetric", "valid", or
        the number of zeros on each side.
      dilation: distance between the taps of the kernel, 1 by default.
      groups: 1 by default; divides the channels of input and output.
      use_bias: False by default, since a batch norm mostly follows.

    Raises:
      ValueError: for sizes below 1, groups that do not divide, or another padding.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel_size: int | tuple[int, int],
        *,
        init: Initializer,
        stride: int = 1,
        padding: Padding = "same",
        dilation: int = 1,
        groups: int = 1,
        use_bias: bool = False,
    ):
        super().__init__()
        sizes = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
        for name, value in (
            ("channels_in", channels_in),
            ("channels_out", channels_out),
            *(("kernel_size", size) for size in sizes),
            ("stride", stride),
            ("dilation", dilation),
            ("groups", groups),
        ):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be an integer of 1 or more, got {value!r}")
        if channels_in % groups or channels_out % groups:
            raise ValueError(
                f"groups must divide the channels, got {groups} for {channels_in}"
                f" and {channels_out}"
            )
        self.stride, self.dilation = stride, dilation
        window = tuple(dilation * (size - 1) + 1 for size in sizes)
        self._padding = conv_padding(padding, window, stride)
        # Of a 1x1 that strides over fewer channels, oneDNN's gradient is wrong, or writes beyond
        # its memory.
        self._skips_first = sizes == (1, 1) and stride > 1 and channels_in < _ONEDNN_BLOCK
        self.kernel = tf.Variable(
            init((*sizes, channels_in // groups, channels_out)), name="kernel"
        )
        self.bias = tf.Variable(zeros((channels_out,)), name="bias") if use_bias else None

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """`[N, H, W, in]` to `[N, H', W', out]` of the same dtype: float32, bfloat16 or float16."""
        padding, stride = self._padding, self.stride
        if not isinstance(padding, str):
            # On a CPU the gradient of a convolution with explicit padding is not oneDNN's.
            x, padding = tf.pad(x, padding), "VALID"
        if self._skips_first:
            x, stride = x[:, ::stride, ::stride], 1
        kernel = value_of(self.kernel, x.dtype)
        y = tf.nn.conv2d(x, kernel, stride, padding, dilations=self.dilation)
        return y if self.bias is None else tf.nn.bias_add(y, value_of(self.bias, x.dtype))
