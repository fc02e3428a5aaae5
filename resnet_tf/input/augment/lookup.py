"""Operations that look every value up in a table made from the picture."""

import tensorflow as tf


def autocontrast(images: tf.Tensor) -> tf.Tensor:
    """Each channel stretched to 0..255, as Pillow's `ImageOps.autocontrast`.

        trunc(x · s - lo · s)    s = 255 / (hi - lo), in float64; unchanged where hi = lo

    Args:
      images: uint8 `[k, H, W, C]`.

    Returns:
      uint8 `[k, H, W, C]`.
    """
    low, high = (
        tf.cast(reduce(images, axis=[1, 2]), tf.float64)[..., None]
        for reduce in (tf.reduce_min, tf.reduce_max)
    )
    scale = 255 / tf.maximum(high - low, 1)
    values = tf.range(256, dtype=tf.float64)
    table = tf.where(high > low, values * scale + -low * scale, values)
    return _look_up(_numbered(images), tf.cast(tf.clip_by_value(table, 0, 255), tf.uint8))


def equalize(images: tf.Tensor) -> tf.Tensor:
    """Each channel with a flat histogram, as Pillow's `ImageOps.equalize`.

        min((step div 2 + number of pixels below x) div step, 255)
        step = (pixels - pixels of the channel's largest value) div 255; unchanged where 0

    Args:
      images: uint8 `[k, H, W, C]`.

    Returns:
      uint8 `[k, H, W, C]`.
    """
    channels = images.shape[-1]
    numbered = _numbered(images)
    histogram = tf.math.bincount(
        tf.reshape(numbered, [-1]), minlength=tf.shape(images)[0] * channels * 256
    )
    histogram = tf.reshape(histogram, [-1, channels, 256])
    below = tf.cumsum(histogram, axis=2, exclusive=True)
    # All pixels but those of the largest value are below it.
    largest = tf.reduce_max(tf.where(histogram > 0, below, 0), axis=2, keepdims=True)
    step = largest // 255
    table = (step // 2 + below) // tf.maximum(step, 1)
    table = tf.where(step > 0, tf.minimum(table, 255), tf.range(256))
    return _look_up(numbered, tf.cast(table, tf.uint8))


def _numbered(images):
    """The place of each value in a table `[k, C, 256]` written as one list; int32."""
    height, width, channels = images.shape[1:]
    tables = tf.range(tf.shape(images)[0] * channels) * 256
    tables = tf.tile(tf.reshape(tables, [-1, 1, channels]), [1, 1, width])
    rows = tf.reshape(images, [-1, height, width * channels])
    return tf.reshape(tf.cast(rows, tf.int32) + tables, [-1, height, width, channels])


def _look_up(numbered, tables):
    return tf.gather(tf.reshape(tables, [-1]), numbered)
