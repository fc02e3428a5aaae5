"""Learning rates as pure functions of the step, so that a resumed run needs no state for them.

A schedule takes steps, int64 of any shape, and gives rates, float32 of that shape. What depends
on the step is computed in float64, in which every step is exact.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

Schedule = Callable[[tf.Tensor], tf.Tensor]


def constant(rate: float) -> Schedule:
    """rate(s) = rate."""
    return lambda step: tf.fill(tf.shape(step), tf.constant(rate, tf.float32))


def steps(rate: float, boundaries: Sequence[int], factors: Sequence[float]) -> Schedule:
    """rate(s) = rate · factors[number of boundaries ≤ s].

    Raises:
      ValueError: unless boundaries rise and there is one factor more.
    """
    _refuse_unfit(boundaries, factors)
    rates = [rate * factor for factor in factors]
    return lambda step: tf.gather(tf.constant(rates, tf.float32), _passed(step, boundaries))


def piecewise(rate: float, boundaries: Sequence[int], factors: Sequence[float]) -> Schedule:
    """Straight lines: rate · factors[0] at step 0, rate · factors[i] at boundaries[i - 1].

    rate(s) = rate · (factors[i] + (factors[i + 1] - factors[i]) · (s - from) / (to - from))
    between the boundaries from ≤ s < to, and rate · factors[-1] after the last.

    Raises:
      ValueError: unless boundaries rise, the first from above 0, and there is one factor more.
    """
    _refuse_unfit(boundaries, factors)
    if min(boundaries, default=1) < 1:
        raise ValueError(f"boundaries must be 1 or more, got {list(boundaries)} steps")
    starts = [0, *boundaries]
    slopes = [*(np.diff(factors) / np.diff(starts)), 0.0]

    def schedule(step):
        piece = _passed(step, boundaries)
        since = tf.cast(step - tf.gather(tf.constant(starts, tf.int64), piece), tf.float64)
        slope = tf.gather(tf.constant(slopes, tf.float64), piece)
        factor = tf.gather(tf.constant(factors, tf.float64), piece) + slope * since
        return tf.cast(rate * factor, tf.float32)

    return schedule


def exponential(rate: float, factor: float, every: int, staircase: bool = False) -> Schedule:
    """rate(s) = rate · factor^(s / every); with `staircase` the exponent is rounded down.

    Raises:
      ValueError: for a factor of 0 or less, or `every` below 1.
    """
    if factor <= 0:
        raise ValueError(f"factor must be above 0, got {factor}")
    if every < 1:
        raise ValueError(f"every must be 1 step or more, got {every}")

    def schedule(step):
        exponent = tf.cast(step // every, tf.float64) if staircase else step / every
        return tf.cast(rate * tf.pow(tf.constant(factor, tf.float64), exponent), tf.float32)

    return schedule


def polynomial(
    rate: float, start: int, end: int, power: float = 1.0, end_factor: float = 0.0
) -> Schedule:
    """rate(s) = rate · ((1 - end_factor) · (1 - p)^power + end_factor).

    p = (s - start) / (end - start), clipped to [0, 1]; a power of 1 is a straight line.

    Raises:
      ValueError: for a power of 0 or less.
    """
    if power <= 0:
        raise ValueError(f"power must be above 0, got {power}")
    return lambda step: _down(rate, end_factor, (1 - _progress(step, start, end)) ** power)


def cosine(rate: float, start: int, end: int, end_factor: float = 0.0) -> Schedule:
    """rate(s) = rate · ((1 - end_factor) · (1 + cos(π · p)) / 2 + end_factor).

    p = (s - start) / (end - start), clipped to [0, 1] (Loshchilov and Hutter 2016, arXiv
    1608.03983, without restarts).
    """
    return lambda step: _down(rate, end_factor, _half_cosine(_progress(step, start, end)))


def one_cycle(
    rate: float, end: int, peak: float = 0.3, start_factor: float = 1 / 25, end_factor: float = 1e-5
) -> Schedule:
    """Up to the rate and down again (Smith and Topin 2017, arXiv 1708.07120).

    With top = peak · end and h(p) = (1 + cos(π · p)) / 2:

    rate(s) = rate · (1 - (1 - start_factor) · h(s / top)) for s < top,
    rate · (end_factor + (1 - end_factor) · h((s - top) / (end - top))) from there to `end`,
    and rate · end_factor after it. The paper goes up and down by straight lines.

    Raises:
      ValueError: for an end below 1, or a peak outside (0, 1).
    """
    if end < 1:
        raise ValueError(f"end must be 1 step or more, got {end}")
    if not 0 < peak < 1:
        raise ValueError(f"peak must be in (0, 1), got {peak}")
    top = peak * end

    def schedule(step):
        step = tf.cast(step, tf.float64)
        rising = 1 - (1 - start_factor) * _half_cosine(step / top)
        progress = tf.clip_by_value((step - top) / (end - top), 0.0, 1.0)
        return tf.where(
            step < top,
            tf.cast(rate * rising, tf.float32),
            _down(rate, end_factor, _half_cosine(progress)),
        )

    return schedule


def inverse_sqrt(rate: float, start: int) -> Schedule:
    """rate(s) = rate · √(max(start, 1) / max(s, start, 1)): the rate up to `start`, then falling.

    Vaswani et al. 2017, arXiv 1706.03762, section 5.3, without their warm-up.
    """
    first = max(start, 1)
    return lambda step: tf.cast(rate * tf.sqrt(first / tf.maximum(step, first)), tf.float32)


def with_warmup(schedule: Schedule, steps: int) -> Schedule:
    """rate(s) = schedule(steps) · (s + 1) / (steps + 1) for s < steps, then the schedule's own."""

    def warmed(step):
        target = schedule(tf.fill(tf.shape(step), tf.constant(steps, tf.int64)))
        ramp = tf.cast((step + 1) / (steps + 1), tf.float32)
        return tf.where(step < steps, target * ramp, schedule(step))

    return warmed if steps else schedule


def scaled_rate(rate: float, rule: str, batch_size: int, per: int) -> float:
    """The rate of a batch size, from a rate that is given for `per` examples.

    none: rate
    linear: rate · batch_size / per (Goyal et al. 2017, arXiv 1706.02677)
    sqrt: rate · √(batch_size / per) (Krizhevsky 2014, arXiv 1404.5997)

    Raises:
      ValueError: for another rule.
    """
    if rule == "none":
        return rate
    if rule == "linear":
        return rate * batch_size / per
    if rule == "sqrt":
        return rate * math.sqrt(batch_size / per)
    raise ValueError(f"rule must be none, linear or sqrt, got {rule!r}")


def _refuse_unfit(boundaries: Sequence[int], factors: Sequence[float]) -> None:
    if list(boundaries) != sorted(set(boundaries)):
        raise ValueError(f"boundaries must rise, got {list(boundaries)} steps")
    if len(factors) != len(boundaries) + 1:
        raise ValueError(f"{len(boundaries)} boundaries need one factor more, got {len(factors)}")


def _passed(step: tf.Tensor, boundaries: Sequence[int]) -> tf.Tensor:
    """Number of boundaries ≤ step, int32."""
    reached = step[..., None] >= tf.constant(boundaries, tf.int64)
    return tf.reduce_sum(tf.cast(reached, tf.int32), axis=-1)


def _progress(step: tf.Tensor, start: int, end: int) -> tf.Tensor:
    """From 0 at `start` to 1 at `end` and beyond, float64."""
    progress = tf.cast(step - start, tf.float64) / max(end - start, 1)
    return tf.clip_by_value(progress, 0.0, 1.0)


def _down(rate: float, end_factor: float, left: tf.Tensor) -> tf.Tensor:
    """From rate where 1 is left to rate · end_factor where 0 is, float32."""
    return tf.cast(rate * ((1 - end_factor) * left + end_factor), tf.float32)


def _half_cosine(progress: tf.Tensor) -> tf.Tensor:
    """From 1 at progress 0 to 0 at 1."""
    return (1 + tf.cos(math.pi * progress)) / 2
