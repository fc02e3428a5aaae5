"""What people read while a run goes on: a bar on a terminal, plain lines elsewhere. On stderr."""

import os
import sys
from typing import TextIO

from tqdm import tqdm

from resnet_tf.errors import plain

_hushed = False


def hush() -> None:
    """From now on nothing is said: of a process that trains beside the one that speaks."""
    global _hushed
    _hushed = True


def say(text: str) -> None:
    """Plain lines on stderr, harmless to a terminal."""
    if not _hushed:
        print(_harmless(text), file=sys.stderr, flush=True)


def _harmless(text: str) -> str:
    return "\n".join(map(plain, text.split("\n")))


def silence(stream: TextIO) -> None:
    """What is written to a stream from now on, and what it still holds, goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Unfailing:
    """stderr, but that nothing ends because a terminal has gone or the disk of a log is full.

    What is said then is lost; what matters is an exit code, and in the journal of a run.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        """As of the stream."""
        try:
            return self._stream.write(text)
        except OSError:
            silence(self._stream)
            return len(text)

    def flush(self) -> None:
        """As of the stream."""
        try:
            self._stream.flush()
        except OSError:
            silence(self._stream)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


class Console:
    """Progress towards a number of steps.

    On a terminal it is a bar with the time that is left; in a file or a pipe it is a line
    whenever `report` is called.

    Args:
      total: steps at the end.
      start: steps already done.
      unit: what a step is called.
    """

    def __init__(self, total: int, start: int = 0, unit: str = "step"):
        self._bar = tqdm(
            total=total,
            initial=start,
            unit=unit,
            file=sys.stderr,
            disable=_hushed or not sys.stderr.isatty(),
            dynamic_ncols=True,
        )
        self._total = total
        self._unit = unit

    def advance_to(self, done: int) -> None:
        """Moves the bar."""
        self._bar.update(done - self._bar.n)

    def report(self, done: int, seconds_left: float | None = None, **numbers: str) -> None:
        """Shows numbers, already formatted, beside the progress."""
        text = ", ".join(f"{name} {value}" for name, value in numbers.items())
        if self._bar.disable:
            left = "" if seconds_left is None else f", {clock(seconds_left)} left"
            say(f"{self._unit} {done}/{self._total}: {text}{left}")
        else:
            self._bar.set_postfix_str(text)

    def say(self, text: str) -> None:
        """A line of its own, above the bar."""
        if self._bar.disable:
            say(text)
        else:
            self._bar.write(_harmless(text), file=sys.stderr)

    def close(self) -> None:
        """Ends the bar, after it has shown the last step."""
        self._bar.refresh()
        self._bar.close()


def clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
