"""A warning where the loss of a step stands out from those before.

Such a step is often one of wrong labels or damaged pictures, or the first sign that the rate is too
high. Nothing is changed by it.
"""

import collections
import math
from collections.abc import Sequence

import numpy as np

_WINDOW, _SIGMAS = 128, 6.0
# Losses that hardly differ from step to step would make every ripple stand out; and ln 0 is none.
_LEAST_DEVIATION, _LEAST_LOSS = 0.05, 1e-12


class Spikes:
    """Looks at the losses of steps, one after the other.

    A loss x is a spike where ln x > m + 6 max(s, 0.05), with mean m and standard deviation s of
    the logarithms of the 128 losses before it: near the end of a run most losses are small, and
    some are many times as large. After a spike, the next 128 are not looked at.
    """

    def __init__(self):
        self._logarithms: collections.deque[float] = collections.deque(maxlen=_WINDOW)

    def seen(self, losses: Sequence[float]) -> list[tuple[int, float]]:
        """The spikes among the losses that come next: place in `losses`, and e^m before it."""
        found = []
        for place, loss in enumerate(losses):
            logarithm = math.log(max(float(loss), _LEAST_LOSS))
            if len(self._logarithms) == _WINDOW:
                window = np.array(self._logarithms)  # `statistics` takes seven times as long
                mean, deviation = float(window.mean()), max(window.std(), _LEAST_DEVIATION)
                if logarithm > mean + _SIGMAS * deviation:
                    found.append((place, math.exp(mean)))
                    self._logarithms.clear()
                    continue
            self._logarithms.append(logarithm)
        return found

    def forget(self) -> None:
        """The steps that follow are not those after the last."""
        self._logarithms.clear()
