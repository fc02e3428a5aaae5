"""Pictures of a batch, encoded to be shown."""

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from resnet_tf.reporting.page import Picture

# Larger pictures are shown smaller, and as JPEG.
_SIDE = 128


def of_next(
    strategy: tf.distribute.Strategy, batches: Iterator, classes: Sequence[str], most: int = 24
) -> list[Picture]:
    """The first pictures of the next batch, see `of_batch`, on the first replica."""
    images, labels, _ = (strategy.experimental_local_results(part)[0] for part in next(batches))
    return of_batch(images, labels, classes, most)


def of_batch(
    images: tf.Tensor, labels: tf.Tensor, classes: Sequence[str], most: int = 24
) -> list[Picture]:
    """The first pictures of a training batch, as the network gets them.

    Args:
      images: `[N, H, W, C]` in pixel units.
      labels: int64 `[N]`, or soft ones float32 `[N, classes]`.
      classes: names by label.
      most: pictures.
    """
    return [
        Picture(encoded(image), _label(label, classes))
        for image, label in zip(images[:most], labels[:most].numpy())
    ]


def _label(label: np.ndarray, classes: Sequence[str]) -> list[str]:
    if label.ndim == 0:
        return [classes[int(label)]]
    parts = [c for c in np.argsort(-label)[:2] if label[c] > 0.005]
    return [f"{classes[c]} {label[c]:.0%}" for c in parts]


def encoded(image: tf.Tensor) -> bytes:
    """A PNG of a small picture, a JPEG of a larger one.

    Args:
      image: `[H, W, C]` in pixel units.
    """
    image = tf.cast(tf.clip_by_value(tf.round(tf.cast(image, tf.float32)), 0, 255), tf.uint8)
    longest = max(image.shape[:2])
    if longest <= _SIDE // 2:
        return tf.io.encode_png(image).numpy()
    sides = [max(1, round(side * min(1.0, _SIDE / longest))) for side in image.shape[:2]]
    smaller = tf.image.resize(image, sides, antialias=True)
    smaller = tf.cast(tf.clip_by_value(tf.round(smaller), 0, 255), tf.uint8)
    return tf.io.encode_jpeg(smaller, quality=85).numpy()
