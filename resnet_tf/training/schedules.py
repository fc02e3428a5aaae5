"""Learning rates as pure functions of the step, so that a resumed run needs no state for them."""

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

Schedule = Callable[[tf.Tensor], tf.Tensor]


def constant(rate: float) -> Schedule:
    """rate(s) = rate."""
    return lambda step: tf.fill(tf.shape(step), tf.constant(rate, tf.float32))


def piecewise(rate: float, boundaries: Sequence[int], factors: Sequence[float]) -> Schedule:
    """rate(s) = rate · factors[number of boundaries ≤ s].

    Raises:
      ValueError: unless boundaries rise and there is one factor more.
    """
    if list(boundaries) != sorted(set(boundaries)):
        raise ValueError(f"boundaries must rise, got {list(boundaries)} steps")
    if len(factors) != len(boundaries) + 1:
        raise ValueError(f"{len(boundaries)} boundaries need one factor more, got {len(factors)}")

    def schedule(step):
        passed = tf.reduce_sum(
            tf.cast(step[..., None] >= tf.constant(boundaries, tf.int64), tf.int32), axis=-1
        )
        return tf.gather(tf.constant([rate * f for f in factors], tf.float32), passed)

    return schedule


def cosine(rate: float, start: int, end: int) -> Schedule:
    """rate(s) = rate / 2 · (1 + cos(π · (s - start) / (end - start))), then 0 from `end` on."""

    def schedule(step):
        progress = tf.cast(step - start, tf.float64) / max(end - start, 1)
        cos = tf.cos(math.pi * tf.clip_by_value(progress, 0.0, 1.0))
        return tf.cast(rate / 2 * (1 + cos), tf.float32)

    return schedule


def with_warmup(schedule: Schedule, steps: int) -> Schedule:
    """rate(s) = schedule(steps) · (s + 1) / (steps + 1) for s < steps, then the schedule's own."""

    def warmed(step):
        target = schedule(tf.fill(tf.shape(step), tf.constant(steps, tf.int64)))
        ramp = tf.cast((step + 1) / (steps + 1), tf.float32)
        return tf.where(step < steps, target * ramp, schedule(step))

    return warmed if steps else schedule
