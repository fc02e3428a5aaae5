"""How far the preparation is: nothing, or a bar on a terminal and plain lines elsewhere."""

import sys
import threading
import time

from tqdm import tqdm

from resnet_tf.reporting import say

_SECONDS_BETWEEN_LINES = 10


class Progress:
    """Shows nothing; what a caller who asks for no bar gets.

    `start` is called once, then `advance` after each picture and `say` from several threads,
    then `close`.
    """

    def start(self, pictures: int, size: int) -> None:
        """So many pictures of so many bytes are to be written."""

    def advance(self, size: int) -> None:
        """One more picture of so many bytes is done."""

    def say(self, text: str) -> None:
        """A line that the user should read."""

    def close(self) -> None:
        """The end, good or bad."""


class Bar(Progress):
    """Bytes, pictures and the time that is left, on stderr.

    Args:
      terminal: draw a bar; else a line every ten seconds. Default: whether stderr is one.
    """

    def __init__(self, terminal: bool | None = None):
        self._terminal = sys.stderr.isatty() if terminal is None else terminal
        self._lock = threading.Lock()
        self._bar = None

    def start(self, pictures: int, size: int) -> None:
        self._pictures, self._size = pictures, size
        self._done = self._done_bytes = 0
        self._started = self._said = time.monotonic()
        if self._terminal:
            self._bar = tqdm(
                total=size, unit="B", unit_scale=True, file=sys.stderr, dynamic_ncols=True
            )

    def advance(self, size: int) -> None:
        with self._lock:
            self._done += 1
            self._done_bytes += size
            if self._bar is not None:
                self._bar.set_postfix_str(f"{self._done:,} pictures", refresh=False)
                self._bar.update(size)
            elif time.monotonic() - self._said > _SECONDS_BETWEEN_LINES:
                self._said = time.monotonic()
                say(self._line(self._said - self._started))

    def _line(self, seconds: float) -> str:
        left = seconds * (self._size / max(1, self._done_bytes) - 1)
        return (
            f"{self._done:,} of {self._pictures:,} pictures,"
            f" {self._done_bytes / seconds / 1e6:.0f} MB/s, {max(0, left):.0f} s left"
        )

    def say(self, text: str) -> None:
        with self._lock:
            if self._bar is None:
                say(text)
            else:
                self._bar.write(text, file=sys.stderr)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
