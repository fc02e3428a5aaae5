"""Policies: which operations of `operations` a picture goes through, and how strongly.

All take and give uint8 `[k, H, W, C]` with C = 1 or 3, and round after each operation.
Magnitudes lie in evenly spaced bins 0..n-1, as in torchvision. With t = bin / (n - 1):

    shear        ±S t            S = 0.3, or 0.99 in TrivialAugment
    translate    ±T t pixels     T = 150/331 of the side, or 32 pixels
    rotate       ±R t degrees    R = 30, or 135
    brightness, colour, contrast, sharpness
                 ±E t            E = 0.9, or 0.99
    posterize    8 - round(P t)  P = 4, or 6 bits
    solarize     255 (1 - t)

Signs are thrown by coin. (AutoAugment's own code lets the factor of the enhancements grow
from 0.1 to 1.9 instead, and has bins whose factor is 1.)
"""

import dataclasses

import numpy as np
import tensorflow as tf

from resnet_tf.input.augment import streams
from resnet_tf.input.augment.arguments import within
from resnet_tf.input.augment.operations import Operation, apply
from resnet_tf.input.augment.published import POLICIES
from resnet_tf.input.noise import Noise

_BINS = 31

# RandAugment and TrivialAugment leave Invert out.
_OPERATIONS = tuple(operation for operation in Operation if operation != Operation.INVERT)
_SIGNED = tuple(Operation.SHEAR_X <= operation <= Operation.SHARPNESS for operation in Operation)


@dataclasses.dataclass(frozen=True)
class _Largest:
    """S, T, R, E and P of the module's table; T a share of the side, unless pixels are given."""

    shear: float = 0.3
    translate_pixels: float | None = None
    rotate: float = 30.0
    enhance: float = 0.9
    posterize: int = 4

    def magnitudes(self, bins: int, height: int, width: int) -> np.ndarray:
        """float32 `[operations, bins]`, without signs."""
        t = np.linspace(0, 1, bins)
        x, y = (
            150 / 331 * side if self.translate_pixels is None else self.translate_pixels
            for side in (width, height)
        )
        table = np.zeros([len(Operation), bins])
        table[[Operation.SHEAR_X, Operation.SHEAR_Y]] = self.shear * t
        table[Operation.TRANSLATE_X] = x * t
        table[Operation.TRANSLATE_Y] = y * t
        table[Operation.ROTATE] = self.rotate * t
        table[Operation.BRIGHTNESS : Operation.SHARPNESS + 1] = self.enhance * t
        table[Operation.POSTERIZE] = 8 - np.round(self.posterize * t)
        table[Operation.SOLARIZE] = 255 * (1 - t)
        return table.astype(np.float32)


_STANDARD = _Largest()
_WIDE = _Largest(shear=0.99, translate_pixels=32, rotate=135, enhance=0.99, posterize=6)


def autoaugment(images: tf.Tensor, noise: Noise, policy: str, fill: int = 128) -> tf.Tensor:
    """AutoAugment (Cubuk et al., arXiv:1805.09501): one of 25 pairs of operations a picture.

    Each of the two is done with its own probability.

    Args:
      images: uint8 `[k, H, W, C]`.
      noise: of the k records.
      policy: "imagenet", "cifar10" or "svhn".
      fill: 0 to 255, for what comes from outside; the authors' code for ImageNet takes 128.

    Returns:
      uint8 `[k, H, W, C]`.

    Raises:
      ValueError: an unknown policy.
    """
    if policy not in POLICIES:
        raise ValueError(f"policy must be one of {', '.join(POLICIES)}, found {policy!r}")
    table = np.array(POLICIES[policy])  # [25, 2, (operation, probability, bin)]
    magnitudes = _STANDARD.magnitudes(10, *images.shape[1:3])
    chosen = noise.integer(streams.AUTOAUGMENT, len(table))
    for i in range(2):
        stream = streams.AUTOAUGMENT + 1 + 2 * i
        operations = tf.gather(tf.constant(table[:, i, 0], tf.int32), chosen)
        probabilities = tf.gather(tf.constant(table[:, i, 1], tf.float32), chosen)
        bins = tf.gather(tf.constant(table[:, i, 2], tf.int32), chosen)
        operations = tf.where(noise.coin(stream, probabilities), operations, 0)
        signed = _signed(magnitudes, operations, bins, noise, stream + 1)
        images = apply(images, operations, signed, fill)
    return images


def randaugment(
    images: tf.Tensor, noise: Noise, layers: int = 2, magnitude: int = 9, fill: int = 128
) -> tf.Tensor:
    """RandAugment (Cubuk et al., arXiv:1909.13719): `layers` operations, equally strong.

    Each is one of 14, the identity among them. The magnitude counts bins of 0..30, as in
    torchvision; the authors' code counts the same ranges to 10, three of ours to one of theirs.

    Args:
      images: uint8 `[k, H, W, C]`.
      noise: of the k records.
      layers: N of the paper, 1 to 30.
      magnitude: M, a whole number from 0 to 30.
      fill: 0 to 255, for what comes from outside.

    Returns:
      uint8 `[k, H, W, C]`.

    Raises:
      ValueError: layers or magnitude out of range.
    """
    within("layers", layers, 1, 30)
    within("magnitude", magnitude, 0, _BINS - 1)
    magnitudes = _STANDARD.magnitudes(_BINS, *images.shape[1:3])
    for i in range(layers):
        stream = streams.RANDAUGMENT + 2 * i
        operations = _any(noise, stream)
        bins = tf.fill(tf.shape(operations), magnitude)
        signed = _signed(magnitudes, operations, bins, noise, stream + 1)
        images = apply(images, operations, signed, fill)
    return images


def trivialaugment(images: tf.Tensor, noise: Noise, fill: int = 0) -> tf.Tensor:
    """TrivialAugment, wide (Müller and Hutter, arXiv:2103.10158): one operation a picture.

    One of RandAugment's 14, and one of 31 bins of the wider ranges, both drawn evenly.

    Args:
      images: uint8 `[k, H, W, C]`.
      noise: of the k records.
      fill: 0 to 255, for what comes from outside; black in the authors' code.

    Returns:
      uint8 `[k, H, W, C]`.
    """
    magnitudes = _WIDE.magnitudes(_BINS, *images.shape[1:3])
    operations = _any(noise, streams.TRIVIALAUGMENT)
    bins = tf.cast(noise.integer(streams.TRIVIALAUGMENT + 1, _BINS), tf.int32)
    signed = _signed(magnitudes, operations, bins, noise, streams.TRIVIALAUGMENT + 2)
    return apply(images, operations, signed, fill)


def _any(noise, stream):
    drawn = noise.integer(stream, len(_OPERATIONS))
    return tf.gather(tf.constant(_OPERATIONS, tf.int32), drawn)


def _signed(magnitudes, operations, bins, noise, stream):
    """The magnitude of each operation's bin, turned round by coin where it has a sign."""
    values = tf.gather_nd(tf.constant(magnitudes), tf.stack([operations, bins], axis=1))
    turned = noise.coin(stream) & tf.gather(tf.constant(_SIGNED), operations)
    return tf.where(turned, -values, values)
