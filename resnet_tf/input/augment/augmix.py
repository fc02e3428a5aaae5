"""AugMix: several chains of operations, mixed with the picture they came from."""

import numpy as np
import tensorflow as tf

from resnet_tf.input.augment import streams
from resnet_tf.input.augment.arguments import within
from resnet_tf.input.augment.distributions import beta, dirichlet
from resnet_tf.input.augment.operations import Operation, apply
from resnet_tf.input.noise import Noise

_DEPTH = 3
_PER_CHAIN = 10
_CHAINS = 8
_WEIGHTS = streams.AUGMIX + _PER_CHAIN * _CHAINS
_OPERATIONS = (
    Operation.AUTO_CONTRAST,
    Operation.EQUALIZE,
    Operation.POSTERIZE,
    Operation.ROTATE,
    Operation.SOLARIZE,
    Operation.SHEAR_X,
    Operation.SHEAR_Y,
    Operation.TRANSLATE_X,
    Operation.TRANSLATE_Y,
)
_SIGNED = tuple(Operation.SHEAR_X <= operation <= Operation.ROTATE for operation in Operation)


def augmix(
    images: tf.Tensor, noise: Noise, severity: float = 3.0, width: int = 3, alpha: float = 1.0
) -> tf.Tensor:
    """AugMix (Hendrycks et al., arXiv:1912.02781), the pictures without the paper's JSD loss.

        (1 - m) x + m Σ w_i chain_i(x)      m from Beta(α, α), w from Dirichlet(α, ..., α)

    A chain is 1, 2 or 3 operations out of nine: those that are no part of ImageNet-C. Each
    has a level l from 0.1..severity:

        shear ±0.03 l      translate ±trunc(l/30 of the side)      rotate ±trunc(3 l) degrees
        posterize to 4 - trunc(0.4 l) bits      solarize from 256 - trunc(25.6 l)
        auto contrast      equalize

    What is sheared, turned or moved is bilinear, with black from outside. The sum is rounded.

    Args:
      images: uint8 `[k, H, W, C]` with C = 1 or 3.
      noise: of the k records.
      severity: 0.1 to 10.
      width: number of chains, 1 to 8.
      alpha: above 0.

    Returns:
      uint8 `[k, H, W, C]`.

    Raises:
      ValueError: an argument out of range.
    """
    within("severity", severity, 0.1, 10)
    within("width", width, 1, _CHAINS)
    if alpha <= 0:
        raise ValueError(f"alpha must be above 0, found {alpha}")
    share = beta(noise, _WEIGHTS, alpha, alpha)
    weights = share[:, None] * dirichlet(noise, _WEIGHTS + 1, alpha, width)
    weights = tf.transpose(tf.concat([1 - share[:, None], weights], axis=1))
    parts = [images, *tf.split(_chains(images, noise, severity, width), width)]
    mixed = sum(
        weights[i][:, None, None, None] * tf.cast(part, tf.float32) for i, part in enumerate(parts)
    )
    return tf.cast(tf.clip_by_value(tf.round(mixed), 0, 255), tf.uint8)


def _chains(images, noise, severity, width):
    """uint8 `[width · k, H, W, C]`: all pictures through the first chain, then the second…"""

    def draw(step, number):
        """The same number for every chain, one below the other; float32 `[width · k]`."""
        first = streams.AUGMIX + 3 * step + number
        return tf.concat([noise.uniform(first + _PER_CHAIN * i) for i in range(width)], axis=0)

    depth = tf.cast(draw(_DEPTH, 0) * _DEPTH, tf.int32) + 1
    chains = tf.tile(images, [width, 1, 1, 1])
    for step in range(_DEPTH):
        drawn = tf.cast(draw(step, 0) * len(_OPERATIONS), tf.int32)
        operations = tf.gather(tf.constant(_OPERATIONS, tf.int32), drawn)
        operations = tf.where(step < depth, operations, Operation.IDENTITY)
        levels = 0.1 + (severity - 0.1) * draw(step, 1)
        magnitudes = _magnitudes(operations, levels, *images.shape[1:3])
        turned = tf.gather(tf.constant(_SIGNED), operations) & (draw(step, 2) < 0.5)
        chains = apply(
            chains, operations, tf.where(turned, -magnitudes, magnitudes), fill=0, bilinear=True
        )
    return chains


def _magnitudes(operations, levels, height, width):
    """start - slope · l, the product a whole number for all but the shears."""
    start = np.zeros(len(Operation), np.float32)
    slope = np.zeros(len(Operation), np.float32)
    slope[[Operation.SHEAR_X, Operation.SHEAR_Y]] = -0.03
    slope[Operation.TRANSLATE_X] = -width / 30
    slope[Operation.TRANSLATE_Y] = -height / 30
    slope[Operation.ROTATE] = -3
    start[Operation.POSTERIZE], slope[Operation.POSTERIZE] = 4, 0.4
    start[Operation.SOLARIZE], slope[Operation.SOLARIZE] = 256, 25.6
    product = tf.gather(tf.constant(slope), operations) * levels
    sheared = (operations == Operation.SHEAR_X) | (operations == Operation.SHEAR_Y)
    product = tf.where(sheared, product, tf.sign(product) * tf.floor(tf.abs(product)))
    return tf.gather(tf.constant(start), operations) - product
