"""Averages over steps: loss, accuracy, speed, and the share of time spent waiting for input."""

import time

import numpy as np


class Meter:
    """Collects what `make_train_step` returns.

    Speed is counted from the second call on: the first one traces. What lies between calls
    (saving, evaluation) is in neither.

    Args:
      batch_size: examples a step.
    """

    def __init__(self, batch_size: int):
        self._batch_size = batch_size
        self._calls = 0
        self._steps_timed = self._seconds = 0.0
        self._last_loss = None
        self._reset()

    def _reset(self) -> None:
        self._health: list[dict[str, np.ndarray]] = []
        self._interval_steps = self._interval_seconds = self._interval_wait = 0.0

    def start_call(self) -> None:
        """Starts the clock of a call."""
        self._begin = time.perf_counter()

    def end_call(self, health: dict[str, np.ndarray]) -> float:
        """Takes in the vectors that a call returned, of its sound steps.

        Returns:
          Seconds of it that were spent waiting for input; 0 of the first call, not timed.
        """
        seconds = time.perf_counter() - self._begin
        self._calls += 1
        if not len(health["loss"]):
            return 0.0
        self._health.append(health)
        self._last_loss = float(health["loss"][-1])
        # A coarse clock (see `clock`) may say more than the call took.
        wait = min(float(health["input_wait"].sum()), seconds) if self._calls > 1 else 0.0
        if self._calls > 1:
            steps = len(health["loss"])
            self._steps_timed += steps
            self._seconds += seconds
            self._interval_steps += steps
            self._interval_seconds += seconds
            self._interval_wait += wait
        return wait

    def forget(self) -> None:
        """Leaves out of the next interval what was collected, since it will be done again."""
        self._reset()

    @property
    def steps(self) -> int:
        """Sound steps since the last call of `interval`."""
        return sum(len(health["loss"]) for health in self._health)

    def interval(self) -> dict:
        """Means since the last call of `interval`, as numbers for the journal."""
        joined = {k: np.concatenate([h[k] for h in self._health]) for k in self._health[0]}
        steps = len(joined["loss"])
        numbers = {
            "loss": float(joined["loss"].astype(np.float64).mean()),
            "top1": joined["correct"].sum().item() / (steps * self._batch_size),
            "gradient_norm": _last(joined["gradient_norm"][joined["finite"]]),
            "learning_rate": float(joined["learning_rate"][-1]),
            "loss_scale": float(joined["loss_scale"][-1]),
            "overflows": joined["overflowed"].sum().item(),
            "images_per_second": self._speed(self._interval_steps, self._interval_seconds),
            "input_wait_share": self._interval_wait / max(self._interval_seconds, 1e-9),
        }
        self._last_loss = numbers["loss"]
        self._reset()
        return numbers

    def total(self) -> dict:
        """Speed over the whole run, and the loss of its last interval."""
        return {
            "images_per_second": self._speed(self._steps_timed, self._seconds),
            "train_loss": self._last_loss,
        }

    def _speed(self, steps: float, seconds: float) -> float:
        return round(steps * self._batch_size / seconds, 1) if seconds else 0.0


def _last(values: np.ndarray) -> float | None:
    return float(values[-1]) if len(values) else None
