"""Padding, as TensorFlow's convolutions take it."""

# What a layer's `padding` argument may be: TF's two modes, or the same number of zeros on
# every side.
Padding = str | int


def conv_padding(padding: Padding, kernel_size: int, stride: int) -> str | list[list[int]]:
    """The `padding` argument of `tf.nn.conv2d` for NHWC images.

    An integer p pads p rows and columns on each side. TF's "same" does so too at stride 1,
    but at stride 2 on an even size it pads only at the bottom and the right, so weights
    trained with symmetric padding (PyTorch, Caffe) do not fit it.

    Args:
      padding: "same", "valid", or zeros on each side (0 or more).
      kernel_size: height and width of the kernel.
      stride: of the convolution; at stride 1 a padding that equals "same" is passed as
        such, which is the form that the backends know best.

    Raises:
      ValueError: for anything else.
    """
    if padding in ("same", "valid"):
        return padding.upper()
    if isinstance(padding, int) and not isinstance(padding, bool) and padding >= 0:
        if padding == 0:
            return "VALID"
        if stride == 1 and 2 * padding == kernel_size - 1:
            return "SAME"
        return [[0, 0], [padding, padding], [padding, padding], [0, 0]]
    raise ValueError(f"padding must be 'same', 'valid' or an integer of 0 or more, got {padding!r}")
