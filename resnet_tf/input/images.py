"""From encoded pictures to pixels."""

import tensorflow as tf


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
    image = tf.io.decode_image(encoded, channels=channels, expand_animations=False)
    image.set_shape([None, None, channels])

    def resized():
        pixels = tf.image.resize(image, [height, width], antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8)

    fits = tf.reduce_all(tf.shape(image)[:2] == [height, width])
    image = tf.cond(fits, lambda: image, resized)
    return tf.ensure_shape(image, [height, width, channels])
