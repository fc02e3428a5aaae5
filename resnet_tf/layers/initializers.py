"""Initialisers: functions from a shape to a float32 tensor.

Random ones are made from a seed and count their own calls, so the first weights of a
network are a function of its seed alone: equal in every process and on every replica.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import tensorflow as tf

# Standard deviation of a standard normal that is cut off at -2 and 2.
_STDDEV_WITHIN_TWO = 0.87962566103423978

Initializer = Callable[[Sequence[int]], tf.Tensor]


def zeros(shape: Sequence[int]) -> tf.Tensor:
    """All zeros."""
    return tf.zeros(shape)


def ones(shape: Sequence[int]) -> tf.Tensor:
    """All ones."""
    return tf.ones(shape)


def he_normal(seed: int, mode: str = "fan_in") -> Initializer:
    """Normal with mean 0 and variance 2 / fan (He et al. 2015, arXiv 1502.01852).

    fan_in = height · width · channels in and fan_out = height · width · channels out of a
    kernel `[height, width, in, out]`; a dense kernel `[in, out]` has height = width = 1.

    Args:
      seed: of the sequence of kernels that this initialiser will make.
      mode: "fan_in" keeps the variance of activations, "fan_out" that of gradients.

    Raises:
      ValueError: for any other mode.
    """
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    calls = itertools.count()

    def initialize(shape: Sequence[int]) -> tf.Tensor:
        fan = math.prod(shape[:-2]) * (shape[-2] if mode == "fan_in" else shape[-1])
        return tf.random.stateless_normal(shape, [seed, next(calls)], stddev=math.sqrt(2 / fan))

    return initialize


def truncated_normal(seed: int) -> Initializer:
    """Normal with variance 2 / fan_in, cut off two standard deviations from 0.

    The normal that is cut has standard deviation √(2 / fan_in) / 0.8796…, so that what is
    left has variance 2 / fan_in. (TF1's `variance_scaling_initializer(factor=2.0)` widens by
    √1.3, the same to half a percent.)

    Args:
      seed: of the sequence of kernels that this initialiser will make.
    """
    calls = itertools.count()

    def initialize(shape: Sequence[int]) -> tf.Tensor:
        stddev = math.sqrt(2 / math.prod(shape[:-1])) / _STDDEV_WITHIN_TWO
        return tf.random.stateless_truncated_normal(shape, [seed, next(calls)], stddev=stddev)

    return initialize
