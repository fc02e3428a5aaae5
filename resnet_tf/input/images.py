"""From encoded pictures to pixels."""

import tensorflow as tf


def decode(encoded: tf.Tensor, channels: int = 0) -> tf.Tensor:
    """Decodes one JPEG or PNG: scalar string to uint8 `[height, width, channels]`.

    Channels: 1 (grey), 3 (RGB), or 0 for as many as the picture has. EXIF turns are ignored.
    """
    # This op decodes PNG as well. Unlike `decode_image` it can be told to use the accurate
    # inverse DCT; the fast one, TensorFlow's default, shifts the mean of red and blue by a
    # whole level on small pictures.
    return tf.io.decode_jpeg(encoded, channels=channels, dct_method="INTEGER_ACCURATE")


def decode_and_fit(encoded: tf.Tensor, height: int, width: int, channels: int) -> tf.Tensor:
    """Decodes one JPEG or PNG and resizes it where its size differs.

    Resizing is bilinear, antialiased when it shrinks, without keeping the aspect ratio.

    Args:
      encoded: scalar string.
      height, width: pixels wanted.
      channels: 1 (grey) or 3 (RGB); the decoder converts.

    Returns:
      uint8 `[height, width, channels]`.
    """
    image = decode(encoded, channels)

    def resized():
        pixels = tf.image.resize(image, [height, width], antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8)

    fits = tf.reduce_all(tf.shape(image)[:2] == [height, width])
    image = tf.cond(fits, lambda: image, resized)
    return tf.ensure_shape(image, [height, width, channels])
