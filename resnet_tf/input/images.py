"""From encoded pictures to pixels."""

import tensorflow as tf

from resnet_tf.input.headers import MAX_PIXELS
from resnet_tf.preprocessing import Preprocessing

_DCT = "INTEGER_ACCURATE"
_SHORTEST = 24  # bytes: a PNG up to its size


def require(condition: tf.Tensor, *data) -> tf.Operation:
    """Raises InvalidArgumentError with `data` where a scalar condition is false."""
    # `tf.debugging.Assert` puts the same op into a conditional, which costs more than the op.
    return tf.raw_ops.Assert(condition=condition, data=[tf.convert_to_tensor(x) for x in data])


def size_of(encoded: tf.Tensor) -> tf.Tensor:
    """Height and width by the header of one JPEG or PNG: scalar string to int64 `[2]`."""
    # Cutting a string that is too short would quote its bytes in the error's text.
    long_enough = require(tf.strings.length(encoded) >= _SHORTEST, "shorter than any picture")
    with tf.control_dependencies([long_enough]):
        encoded = tf.identity(encoded)

    def png():
        # Width and height are the first two numbers of the first chunk, big endian.
        sides = tf.io.decode_raw(tf.strings.substr(encoded, 16, 8), tf.uint8)
        scale = tf.constant([1 << 24, 1 << 16, 1 << 8, 1], tf.int64)
        return tf.reduce_sum(tf.reshape(tf.cast(sides, tf.int64), [2, 4]) * scale, axis=1)[::-1]

    def jpeg():
        return tf.image.extract_jpeg_shape(encoded, output_type=tf.int64)[:2]

    return tf.cond(_is_png(encoded), png, jpeg)


def _is_png(encoded):
    return tf.equal(tf.strings.substr(encoded, 1, 3), "PNG")


def decode(encoded: tf.Tensor, channels: int = 0) -> tf.Tensor:
    """Decodes one JPEG or PNG: scalar string to uint8 `[height, width, channels]`.

    Channels: 1 (grey), 3 (RGB), or 0 for as many as the picture has. EXIF turns are ignored. A
    picture of more than `headers.MAX_PIXELS` raises InvalidArgumentError before it is decoded.
    """
    with tf.control_dependencies([_refuse_bombs(size_of(encoded))]):
        # This op decodes PNG as well. Unlike `decode_image` it can be told to use the accurate
        # inverse DCT; the fast one, TensorFlow's default, shifts the mean of red and blue by a
        # whole level.
        return tf.io.decode_jpeg(encoded, channels=channels, dct_method=_DCT)


def decode_box(encoded: tf.Tensor, size: tf.Tensor, box: tf.Tensor, channels: int) -> tf.Tensor:
    """A part of one JPEG or PNG; of a JPEG no more is decoded than must be.

    Args:
      encoded: scalar string.
      size: int64 `[2]`, of `size_of`.
      box: int32 `[4]`: top, left, height, width.
      channels: 1 or 3.

    Returns:
      uint8 `[box height, box width, channels]`.
    """

    def png():
        top, left, height, width = tf.unstack(box)
        return tf.io.decode_png(encoded, channels)[top : top + height, left : left + width]

    def jpeg():
        return tf.io.decode_and_crop_jpeg(encoded, box, channels, dct_method=_DCT)

    with tf.control_dependencies([_refuse_bombs(size)]):
        return tf.cond(_is_png(encoded), png, jpeg)


def _refuse_bombs(size):
    allowed = tf.reduce_prod(tf.minimum(size, 2**31)) <= MAX_PIXELS
    return require(allowed, "more pixels than allowed:", size)


def decode_and_fit(encoded: tf.Tensor, pictures: Preprocessing, rounded: bool = True) -> tf.Tensor:
    """Decodes one JPEG or PNG, cuts and resizes it as `pictures` says, in pixels.

    Args:
      encoded: scalar string.
      pictures: of which the normalisation is left to be done.
      rounded: to whole levels.

    Returns:
      `[height, width, channels]`, uint8 or, where it is not rounded, float32.
    """
    image = decode(encoded, pictures.channels)
    if pictures.shorter_side is not None:
        image = _shorter_side(image, pictures, rounded)
    elif pictures.central_fraction is not None:
        image = _central(image, pictures.central_fraction)
        image = resized(image, [pictures.height, pictures.width], False, rounded)
    else:
        image = resized(image, [pictures.height, pictures.width], pictures.antialias, rounded)
    return tf.ensure_shape(image, [pictures.height, pictures.width, pictures.channels])


def _shorter_side(image: tf.Tensor, pictures: Preprocessing, rounded: bool) -> tf.Tensor:
    """Resized to the shorter side, the longer one rounded down, and the middle cut out."""
    size = tf.shape(image)[:2]
    size = size * pictures.shorter_side // tf.reduce_min(size)
    image = resized(image, size, True, rounded)
    margin = tf.cast(size - [pictures.height, pictures.width], tf.float32)
    top, left = tf.unstack(tf.cast(tf.round(margin / 2), tf.int32))
    return image[top : top + pictures.height, left : left + pictures.width]


def _central(image: tf.Tensor, fraction: float) -> tf.Tensor:
    """The middle, margins rounded down; `tf.image.central_crop` rounds otherwise in a graph."""
    size = tf.shape(image)[:2]
    length = tf.cast(size, tf.float64)
    margin = tf.cast((length - length * fraction) / 2, tf.int32)
    margin = tf.minimum(margin, (size - 1) // 2)  # a pixel is left, at least
    (top, left), (bottom, right) = tf.unstack(margin), tf.unstack(size - margin)
    return image[top:bottom, left:right]


def resized(image: tf.Tensor, size, antialias: bool, rounded: bool = True) -> tf.Tensor:
    """Bilinear with half-pixel centres: uint8 `[h, w, C]` to `size`, uint8 or float32 `[…]`.

    A picture that fits already is left as it is.
    """
    if not antialias:  # which leaves a picture that fits as it is by itself
        pixels = tf.image.resize(image, size)
        return tf.cast(tf.round(pixels), tf.uint8) if rounded else pixels

    def resize():
        pixels = tf.image.resize(image, size, antialias=True)
        if rounded:
            # Antialiased pixels may lie a rounding error beyond 0 and 255.
            return tf.cast(tf.round(tf.clip_by_value(pixels, 0, 255)), tf.uint8)
        return pixels

    def as_it_is():
        return image if rounded else tf.cast(image, tf.float32)

    return tf.cond(tf.reduce_all(tf.shape(image)[:2] == size), as_it_is, resize)
