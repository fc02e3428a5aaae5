"""Padding, as TensorFlow's convolutions take it."""

# What a layer's `padding` argument may be: a mode, or the same number of zeros on every side.
Padding = str | int


def conv_padding(padding: Padding, window: tuple[int, int], stride: int) -> str | list[list[int]]:
    """The `padding` argument of `tf.nn.conv2d` for NHWC images.

    An integer p pads p rows and columns on each side, "symmetric" as many as keep the size at
    stride 1. TF's "same" does so too at stride 1, but at stride 2 on an even size it pads only
    at the bottom and the right, so weights trained with symmetric padding (PyTorch, Caffe)
    do not fit it.

    Args:
      padding: "same", "symmetric", "valid", or zeros on each side (0 or more).
      window: height and width that the kernel spans.
      stride: of the convolution; at stride 1 a padding that equals "same" is passed as
        such, which is the form that the backends know best.

    Raises:
      ValueError: for anything else, and for "symmetric" with an even window.
    """
    if padding in ("same", "valid"):
        return padding.upper()
    if padding == "symmetric":
        if not all(size % 2 for size in window):
            raise ValueError(f"padding 'symmetric' needs an odd window, got {window}")
        sides = [(size - 1) // 2 for size in window]
    elif isinstance(padding, int) and not isinstance(padding, bool) and padding >= 0:
        sides = [padding, padding]
    else:
        raise ValueError(
            "padding must be 'same', 'symmetric', 'valid' or an integer of 0 or more,"
            f" got {padding!r}"
        )
    if not any(sides):
        return "VALID"
    if stride == 1 and all(2 * side == size - 1 for side, size in zip(sides, window)):
        return "SAME"
    return [[0, 0], *([side, side] for side in sides), [0, 0]]
