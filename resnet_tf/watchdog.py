"""A watchdog: a run that makes no progress is ended, and says where it hangs.

A step that waits for a dead disk, or for another machine, waits for ever and answers to no signal.
So each sign of progress (a call of the step, a batch of an evaluation, a commit) begins a period,
and where one is too long the stacks of all threads are told and the process ends with code 70.

How long is too long: `timeout` seconds, compilation included. By default 20 times the longest
period so far, at least 10 minutes, and half an hour until the first step, that is compiled, has
been made. Time is counted in the watchdog's own seconds, of which a process that was stopped
(Ctrl-Z) or that gets little of an overloaded machine has fewer.
"""

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable

_TELLING = 10.0  # seconds that it may take to say what hangs
_TICK = 1.0
_FIRST, _LEAST, _TIMES = 1800.0, 600.0, 20


class Watchdog:
    """Ends the process where `beat` is not called for too long; between `start` and `stop`.

    Args:
      timeout: seconds from one beat to the next; 0: as said above.
      hung: is told, in the watchdog's thread, after what there was nothing, for how many seconds,
        and the stacks; then the process ends.
    """

    def __init__(self, timeout: float, hung: Callable[[str, float, str], None]):
        self._timeout, self._hung = timeout, hung
        self._waited, self._longest, self._compiled, self._last = 0.0, 0.0, False, "the start"
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begins to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watches no more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def beat(self, what: str) -> None:
        """There was progress: `what`."""
        with self._lock:
            self._last = what
            if self._compiled:
                self._longest = max(self._longest, self._waited)
            self._waited = 0.0

    def step_made(self) -> None:
        """A step was made, so it is compiled: from now on periods are short, and measured."""
        if not self._compiled:
            self.beat("the first step")
            self._compiled = True

    @property
    def limit(self) -> float:
        """Seconds that the present period may last."""
        if self._timeout:
            return self._timeout
        return max(_LEAST, _TIMES * self._longest) if self._compiled else _FIRST

    def _watch(self) -> None:
        tick = min(_TICK, self._timeout / 4) if self._timeout else _TICK
        before = time.monotonic()
        while not self._ended.wait(tick):
            now = time.monotonic()
            with self._lock:
                self._waited += min(now - before, 2 * tick)
                before, waited, over = now, self._waited, self._waited > self.limit
            if over:
                self._end(waited)

    def _end(self, waited: float) -> None:
        # What hangs may hold what telling needs: a full pipe, a dead disk under the journal.
        last = threading.Timer(_TELLING, os._exit, (70,))
        last.daemon = True
        last.start()
        try:
            self._hung(self._last, waited, stacks())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(70)


def stacks() -> str:
    """Where each thread of Python is, as text."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for number, frame in sys._current_frames().items():
        if number != threading.get_ident():
            where = "".join(traceback.format_stack(frame))
            parts.append(f"thread {names.get(number, number)}:\n{where}")
    return "\n".join(parts)
