"""Augmentation of small images, a whole batch at a time."""

import tensorflow as tf


def pad_crop_flip(images: tf.Tensor, noise: tf.Tensor, pad: int, flip: bool) -> tf.Tensor:
    """Shifts each image by up to `pad` pixels either way, and mirrors half of them.

    The same as to pad with `pad` black pixels on each side and to crop the old size again.
    With r an image's noise and w = 2 · pad + 1, in integers:

        dy = r mod w - pad      dx = (r div w) mod w - pad      mirrored = (r div w²) odd

    Args:
      images: uint8 or float32 `[k, H, W, C]`.
      noise: int64 `[k]`, from `order.noise_for`.
      pad: 0 leaves the position as it is.
      flip: mirror left to right; wrong for digits and letters.

    Returns:
      `[k, H, W, C]`, of the same dtype.
    """
    _, height, width, _ = images.shape
    window = 2 * pad + 1
    rows = tf.range(height, dtype=tf.int64) + (noise % window - pad)[:, None]
    columns = tf.range(width, dtype=tf.int64) + (noise // window % window - pad)[:, None]
    if flip:
        mirrored = noise // window**2 % 2 == 1
        columns = tf.where(mirrored[:, None], columns[:, ::-1], columns)
    shifted = _take(_take(images, rows, axis=1), columns, axis=2)
    inside = _inside(rows, height)[:, :, None] & _inside(columns, width)[:, None, :]
    return shifted * tf.cast(inside, images.dtype)[..., None] if pad else shifted


def _take(images, indices, axis):
    size = images.shape[axis]
    return tf.gather(images, tf.clip_by_value(indices, 0, size - 1), axis=axis, batch_dims=1)


def _inside(indices, size):
    return (indices >= 0) & (indices < size)
