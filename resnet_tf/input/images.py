"""From encoded pictures to pixels."""

import tensorflow as tf

from resnet_tf.preprocessing import Preprocessing


def decode(encoded: tf.Tensor, channels: int = 0) -> tf.Tensor:
    """Decodes one JPEG or PNG: scalar string to uint8 `[height, width, channels]`.

    Channels: 1 (grey), 3 (RGB), or 0 for as many as the picture has. EXIF turns are ignored.
    """
    # This op decodes PNG as well. Unlike `decode_image` it can be told to use the accurate
    # inverse DCT; the fast one, TensorFlow's default, shifts the mean of red and blue by a
    # whole level on small pictures.
    return tf.io.decode_jpeg(encoded, channels=channels, dct_method="INTEGER_ACCURATE")


def decode_and_fit(encoded: tf.Tensor, pictures: Preprocessing) -> tf.Tensor:
    """Decodes one JPEG or PNG, cuts and resizes it as `pictures` says, in pixels.

    Args:
      encoded: scalar string.
      pictures: of which the normalisation is left to be done.

    Returns:
      uint8 `[height, width, channels]`.
    """
    image = decode(encoded, pictures.channels)
    if pictures.shorter_side is not None:
        image = _shorter_side(image, pictures)
    elif pictures.central_fraction is not None:
        image = _central(image, pictures.central_fraction)
        image = _resized(image, [pictures.height, pictures.width], antialias=False)
    else:
        image = _resized(image, [pictures.height, pictures.width])
    return tf.ensure_shape(image, [pictures.height, pictures.width, pictures.channels])


def _shorter_side(image: tf.Tensor, pictures: Preprocessing) -> tf.Tensor:
    """Resized to the shorter side, the longer one rounded down, and the middle cut out."""
    size = tf.shape(image)[:2]
    size = size * pictures.shorter_side // tf.reduce_min(size)
    image = _resized(image, size)
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


def _resized(image: tf.Tensor, size, antialias: bool = True) -> tf.Tensor:
    """Bilinear, rounded to uint8; a picture that fits already is left as it is."""

    def resize():
        pixels = tf.image.resize(image, size, antialias=antialias)
        return tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8)

    return tf.cond(tf.reduce_all(tf.shape(image)[:2] == size), lambda: image, resize)
