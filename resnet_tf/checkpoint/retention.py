"""Which commits stay: the newest, the best, and one every so many hours.

A commit that is to stay for the hours says so, and when, in its manifest (`kept_at`, seconds of
the epoch), and the evaluations of a run are in its journal: so a restart knows what stays.
"""

import json
import math
import pathlib
import time

from resnet_tf.checkpoint import commit
from resnet_tf.checkpoint.directory import commits, sweep
from resnet_tf.checkpoint.naming import step_of
from resnet_tf.errors import UserError

_BETTER = {"top1": max, "top5": max, "loss": min}
METRICS = tuple(_BETTER)


class Retention:
    """What is swept from a directory of commits, and what is not.

    Args:
      directory: of the commits.
      keep: number of the newest that stay.
      best: metric, one of `METRICS`, whose best commit stays; "" for none.
      every_hours: one commit of every so many hours stays; 0 for none.
      evaluations: `eval` events of the run so far, with `step` and the metric.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        keep: int,
        best: str = "",
        every_hours: float = 0.0,
        evaluations: tuple[dict, ...] | list[dict] = (),
    ):
        self._directory, self._keep = directory, keep
        self._metric, self._seconds = best, 3600 * every_hours
        times = {path.name: _kept_at(path) for path in commits(directory)}
        self._kept = {name: at for name, at in times.items() if at is not None}
        self._values: dict[int, float] = {}
        for event in evaluations:
            if isinstance(event.get("step"), int):
                self._note(event["step"], event)

    def _note(self, step: int, counts: dict) -> None:
        value = counts.get(self._metric)
        # A loss that is not finite is told as None; and a journal may be damaged.
        if isinstance(value, int | float) and math.isfinite(value):
            self._values[step] = value

    def evaluated(self, step: int, counts: dict) -> bool:
        """Notes an evaluation; whether it is the best so far, so that its state should stay."""
        self._note(step, counts)
        return self._best_of({step, *map(step_of, commits(self._directory))}) == step

    def forget_after(self, step: int) -> None:
        """Forgets evaluations and commits of later steps, which were undone."""
        self._values = {made: value for made, value in self._values.items() if made <= step}
        self._kept = {
            name: at for name, at in self._kept.items() if step_of(pathlib.Path(name)) <= step
        }

    @property
    def best(self) -> int | None:
        """The committed step with the best evaluation, of equal ones the first."""
        return self._best_of(set(map(step_of, commits(self._directory))))

    def _best_of(self, steps: set[int]) -> int | None:
        values = {step: value for step, value in self._values.items() if step in steps}
        if not values:
            return None
        value = _BETTER[self._metric](values.values())
        return min(step for step, found in values.items() if found == value)

    def fields(self) -> dict:
        """Manifest fields of a commit that is made now."""
        now = time.time()
        past = [at for at in self._kept.values() if at <= now]  # else a clock was ahead once
        due = self._seconds and now >= max(past, default=0) + self._seconds
        return {"kept_at": now} if due else {}

    def committed(self, made: commit.Commit) -> None:
        """A commit was made."""
        if "kept_at" in made.manifest:
            self._kept[made.path.name] = made.manifest["kept_at"]

    def sweep(self) -> None:
        """Those that need not stay go."""
        best = self.best
        sweep(
            self._directory,
            self._keep,
            lambda path: path.name in self._kept or step_of(path) == best,
        )


def _kept_at(path: pathlib.Path) -> float | None:
    try:
        at = json.loads(commit.read_manifest(path)).get("kept_at")
        return float(at) if isinstance(at, int | float) and math.isfinite(at) else None
    except (UserError, ValueError, AttributeError, OverflowError, RecursionError):
        return None
