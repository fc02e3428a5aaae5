"""Boxes of a picture that are painted over."""

import math
from collections.abc import Sequence

import tensorflow as tf

from resnet_tf.input.augment import boxes, streams
from resnet_tf.input.augment.arguments import within
from resnet_tf.input.augment.subset import only
from resnet_tf.input.noise import Noise

_AREA = (0.02, 0.33)
_RATIO = 0.3


def erasing(
    images: tf.Tensor,
    noise: Noise,
    probability: float = 0.5,
    fill: float | Sequence[float] | str = "noise",
) -> tf.Tensor:
    """Random erasing (Zhong et al., arXiv:1708.04896): paints a box of some pictures over.

        s from 0.02..0.33        r from 0.3..1/0.3, its logarithm uniform
        height = min(round(sqrt(s · H · W · r)), H)
        width  = min(round(sqrt(s · H · W / r)), W)
        top from 0..H - height, left from 0..W - width

    The paper draws again where a box does not fit; here its longer side is cut to the
    picture's, which with H = W happens to four boxes in a thousand. The paper's code draws r
    uniformly, which makes most boxes tall.

    Args:
      images: uint8 or float32 `[k, H, W, C]`.
      noise: of the k records.
      probability: of each picture, 0 to 1.
      fill: a number, one a channel (the data's mean), or "noise": for each pixel and channel
        a whole number from 0..255.

    Returns:
      The same shape and dtype.

    Raises:
      ValueError: a probability out of range, or a fill of another kind.
    """
    within("probability", probability, 0, 1)
    chosen = noise.coin(streams.ERASING, probability)
    box = _box(noise, *images.shape[1:3])

    def erased(part, numbers, *part_box):
        paint = _paint(part, Noise(numbers), fill)
        return tf.where(boxes.inside(part, *part_box), paint, part)

    return only(chosen, erased, images, noise.numbers, *box)


def _box(noise, height, width):
    """Top, left, bottom and right, int64 `[k]` each."""
    area = tf.cast(noise.uniform(streams.ERASING + 1, *_AREA), tf.float64) * (height * width)
    # In float64: the last bit of exp depends on where in a batch a number stands.
    turn = tf.cast(noise.uniform(streams.ERASING + 2, -1.0, 1.0), tf.float64)
    ratio = tf.exp(-math.log(_RATIO) * turn)
    tall = tf.minimum(tf.cast(tf.round(tf.sqrt(area * ratio)), tf.int64), height)
    wide = tf.minimum(tf.cast(tf.round(tf.sqrt(area / ratio)), tf.int64), width)
    top = _below(noise.uniform(streams.ERASING + 3), height - tall + 1)
    left = _below(noise.uniform(streams.ERASING + 4), width - wide + 1)
    return top, left, top + tall, left + wide


def cutout(
    images: tf.Tensor, noise: Noise, size: int, fill: float | Sequence[float] = 0
) -> tf.Tensor:
    """Cutout (DeVries and Taylor, arXiv:1708.04552): paints a square of each picture over.

    Its centre is any pixel; what lies outside of the picture is cut off:

        rows y - size div 2 .. y - size div 2 + size - 1, columns likewise

    (The paper's code takes 2 · (size div 2) rows, one less where the size is odd.) The paper
    uses size 16 for CIFAR-10, 8 for CIFAR-100, 20 for SVHN.

    Args:
      images: uint8 or float32 `[k, H, W, C]`.
      noise: of the k records.
      size: of the side in pixels, 1 or more.
      fill: a number, or one a channel.

    Returns:
      The same shape and dtype.

    Raises:
      ValueError: a size below 1, or a fill of another kind.
    """
    if size < 1:
        raise ValueError(f"size must be 1 or more, found {size}")
    if isinstance(fill, str):
        raise ValueError(f"fill must be a number, or one a channel, found {fill!r}")
    height, width = images.shape[1:3]
    top = noise.integer(streams.CUTOUT, height) - size // 2
    left = noise.integer(streams.CUTOUT + 1, width) - size // 2
    mask = boxes.inside(images, top, left, top + size, left + size)
    return tf.where(mask, _paint(images, noise, fill), images)


def _below(share, limits):
    """floor(share · limit), below the limit also where the product is rounded up to it."""
    product = tf.cast(share * tf.cast(limits, tf.float32), tf.int64)
    return tf.minimum(product, limits - 1)


def _paint(images, noise, fill):
    """What the pictures would be if they were painted over wholly."""
    height, width, channels = images.shape[1:]
    if isinstance(fill, str):
        if fill != "noise":
            raise ValueError(f"fill must be numbers or 'noise', found {fill!r}")
        octets = noise.octets(streams.ERASING + 5, height * width * channels)
        return tf.cast(tf.reshape(octets, tf.shape(images)), images.dtype)
    colour = tf.constant(fill, tf.float32)
    if colour.shape.rank > 1 or colour.shape.num_elements() not in (1, channels):
        raise ValueError(f"fill must be 1 number or {channels}, found {fill}")
    colour = tf.round(colour) if images.dtype == tf.uint8 else colour
    return tf.broadcast_to(tf.cast(colour, images.dtype), images.shape[1:])
