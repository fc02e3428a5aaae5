"""Normal, beta and Dirichlet numbers from uniform ones, always as many from a stream."""

import math

import tensorflow as tf

from resnet_tf.input.noise import Noise

_HALVINGS = 26  # below the distance of float32 numbers near 1


def normal(noise: Noise, stream: int) -> tf.Tensor:
    """Standard normal numbers by Box and Muller (1958), from `stream` and the one after it.

        sqrt(-2 ln(1 - u)) · cos(2π v)

    Returns:
      float32 `[k]`.
    """
    # In float64: the last bit of log and cos depends on where in a batch a number stands.
    u, v = (tf.cast(noise.uniform(stream + i), tf.float64) for i in (0, 1))
    return tf.cast(tf.sqrt(-2 * tf.math.log1p(-u)) * tf.cos(2 * math.pi * v), tf.float32)


def beta(noise: Noise, stream: int, a: float, b: float) -> tf.Tensor:
    """Numbers of the distribution Beta(a, b), by turning its distribution function round.

        x with I_x(a, b) = u        I = regularised incomplete beta function

    found by halving [0, 1] 26 times, so the error is below 2^-26 plus that of
    `tf.math.betainc`. Beta(1, 1) is u itself.

    Args:
      noise: of the k records.
      stream: one is used.
      a: above 0.
      b: above 0.

    Returns:
      float32 `[k]` in [0, 1].
    """
    share = noise.uniform(stream)
    if a == b == 1:
        return share
    low, high = tf.zeros_like(share), tf.ones_like(share)
    a, b = tf.fill(tf.shape(share), float(a)), tf.fill(tf.shape(share), float(b))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = tf.math.betainc(a, b, middle) < share
        low, high = tf.where(above, middle, low), tf.where(above, high, middle)
    return (low + high) / 2


def dirichlet(noise: Noise, stream: int, alpha: float, width: int) -> tf.Tensor:
    """Weights of the symmetric distribution Dirichlet(alpha), by breaking a stick:

        w_i = s_i · (1 - w_1 - ... - w_(i-1))        s_i from Beta(alpha, (width - i) · alpha)

    Args:
      noise: of the k records.
      stream: width - 1 are used, from this one on.
      alpha: above 0.
      width: how many weights, 1 or more.

    Returns:
      float32 `[k, width]`; each row sums to 1.
    """
    weights = []
    rest = tf.ones_like(noise.uniform(stream))
    for i in range(1, width):
        weights.append(rest * beta(noise, stream + i - 1, alpha, (width - i) * alpha))
        rest -= weights[-1]
    return tf.stack([*weights, rest], axis=1)
