"""A warning where the loss of a step stands out from those before.

Such a step is often one of wrong labels or damaged pictures, or the first sign that the rate is too
high. Nothing is changed by it.
"""

import collections
import statistics
from collections.abc import Sequence

_WINDOW, _SIGMAS = 128, 6.0
# Of the mean: losses that hardly differ from step to step would make every ripple stand out.
_LEAST_DEVIATION = 0.05


class Spikes:
    """Looks at the losses of steps, one after the other.

    A loss x is a spike where x > m + 6 max(s, 0.05 |m|), with mean m and standard deviation s of
    the 128 losses before it. After one, the next 128 are not looked at.
    """

    def __init__(self):
        self._losses: collections.deque[float] = collections.deque(maxlen=_WINDOW)

    def seen(self, losses: Sequence[float]) -> list[tuple[int, float]]:
        """The spikes among the losses that come next: place in `losses`, and mean before it."""
        found = []
        for place, loss in enumerate(map(float, losses)):
            if len(self._losses) == _WINDOW:
                mean = statistics.fmean(self._losses)
                deviation = max(statistics.pstdev(self._losses, mean), _LEAST_DEVIATION * abs(mean))
                if loss > mean + _SIGMAS * deviation:
                    found.append((place, mean))
                    self._losses.clear()
                    continue
            self._losses.append(loss)
        return found

    def forget(self) -> None:
        """The steps that follow are not those after the last."""
        self._losses.clear()
