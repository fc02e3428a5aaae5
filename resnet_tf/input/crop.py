"""Random resized crop: a part of the picture, of random size, shape and place.

Szegedy et al. 2015, arXiv 1409.4842, section 6, as PyTorch's recipes have it.
"""

import tensorflow as tf

from resnet_tf.input.augment import streams
from resnet_tf.input.noise import Noise

_TRIES = 10


def draws(noise: Noise) -> tf.Tensor:
    """The random numbers that `box` takes, for a batch at once: float32 `[k, 22]` in [0, 1)."""
    return tf.stack([noise.uniform(streams.CROP + i) for i in range(2 * _TRIES + 2)], axis=1)


def box(
    size: tf.Tensor,
    numbers: tf.Tensor,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> tf.Tensor:
    """The part of one picture of height H and width W that is cut out.

    With a share s of the area, uniform in `scale`, and log r uniform in log `ratio`:

        w = round(sqrt(H · W · s · r))      h = round(sqrt(H · W · s / r))

    is tried until the box fits, at most 10 times, and laid anywhere with equal probability.
    Where none fits it is the middle: the whole picture, cut to the nearest ratio.

    Args:
      size: int64 `[2]`, H and W.
      numbers: float32 `[22]`, a row of `draws`.
      scale: lowest and highest share of the area.
      ratio: lowest and highest width / height.

    Returns:
      int32 `[4]`: top, left, height, width; at least 1x1 and inside the picture.
    """
    sides = tf.cast(size, tf.float32)
    low, high = tf.unstack(tf.math.log(tf.constant(ratio, tf.float32)))
    areas = tf.reduce_prod(sides) * (scale[0] + (scale[1] - scale[0]) * numbers[:_TRIES])
    ratios = tf.exp(low + (high - low) * numbers[_TRIES : 2 * _TRIES])
    widths, heights = tf.round(tf.sqrt(areas * ratios)), tf.round(tf.sqrt(areas / ratios))
    tried = tf.maximum(tf.stack([heights, widths], axis=1), 1)
    fits = tf.reduce_all(tried <= sides, axis=1)

    # The middle stands last, for when nothing fits.
    height, width = tf.unstack(sides)
    middle = tf.stack([tf.minimum(height, width / ratio[0]), tf.minimum(width, height * ratio[1])])
    candidates = tf.concat([tried, [tf.maximum(tf.round(middle), 1)]], axis=0)
    chosen = tf.argmax(tf.concat([fits, [True]], axis=0))
    part = candidates[chosen]
    free = sides - part
    place = tf.floor(numbers[2 * _TRIES :] * (free + 1))
    place = tf.where(chosen == _TRIES, tf.floor(free / 2), tf.minimum(place, free))
    return tf.cast(tf.concat([place, part], axis=0), tf.int32)
