"""Where the time of a run goes: each second has one name, so the parts add up to the whole."""

import collections
import contextlib
import time
from collections.abc import Iterator

START, STEPS, INPUT = "start-up", "steps", "input wait"
REPLAYED = "steps made before"  # by a command whose work was lost, or before a run went back
EVALUATION, SAVING, REPORT = "evaluation", "saving", "report"


class Goodput:
    """A clock that is always running for one part of a run, at first for its start-up.

    Args:
      elapsed: seconds that the start-up has taken already.
    """

    def __init__(self, elapsed: float = 0.0):
        self._seconds = collections.Counter()
        self._part, self._known = START, 0
        self._since = time.perf_counter() - elapsed

    def enter(self, part: str) -> None:
        """From now on, time is that of `part`."""
        now = time.perf_counter()
        self._seconds[self._part] += now - self._since
        self._part, self._since = part, now

    @contextlib.contextmanager
    def during(self, part: str) -> Iterator[None]:
        """Time inside the block is that of `part`."""
        before = self._part
        self.enter(part)
        try:
            yield
        finally:
            self.enter(before)

    def replays(self, step: int) -> None:
        """Steps up to `step` were made before: they are made again, and count apart."""
        self._known = max(self._known, step)

    def steps_made(self, first: int, waited: float) -> None:
        """Steps from `first` on were made, in which input was waited for so many seconds."""
        part = REPLAYED if first < self._known else STEPS
        if self._part != START:  # which the first call, that traces, ends
            self._part = part
        self.enter(part)
        self.move(waited, part, INPUT)

    def move(self, seconds: float, source: str, target: str) -> None:
        """Gives time that was counted as `source` to `target`, as far as there is any."""
        seconds = min(seconds, self._seconds[source])
        self._seconds[source] -= seconds
        self._seconds[target] += seconds

    def seconds(self) -> dict[str, float]:
        """Seconds by part until now, the longest first."""
        self.enter(self._part)
        return {part: round(seconds, 3) for part, seconds in self._seconds.most_common()}


def line(seconds: dict[str, float]) -> str:
    """The parts in one line of text."""
    whole = sum(seconds.values()) or 1.0
    parts = (f"{part} {number:,.1f} s" for part, number in seconds.items())
    share = seconds.get(STEPS, 0.0) / whole
    return f"time: {', '.join(parts)}; {share:.1%} of {whole:,.1f} s in steps"
