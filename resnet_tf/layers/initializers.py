"""Initialisers: functions from a shape to a float32 tensor.

Random ones are made from a seed and count their own calls, so the first weights of a
network are a function of its seed alone: equal in every process and on every replica.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import tensorflow as tf

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
