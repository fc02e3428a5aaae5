"""Stops that come from outside: signals, and the end of the time that a run was given.

    SIGTERM, SIGHUP          commit at the step that is reached, exit code 143
    SIGINT (Ctrl-C)          the same, 130; a second one ends the process at once
    SIGUSR1, --max_runtime   the same, 75: the same command goes on

A thread of its own reads the signals, so they are noticed while the main thread is deep in
TensorFlow, or still loading it. Under `nohup` SIGHUP stays ignored.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

from resnet_tf import errors
from resnet_tf.errors import UserError

_CODES = {
    signal.SIGTERM: errors.TERMINATED,
    signal.SIGHUP: errors.TERMINATED,
    signal.SIGINT: errors.INTERRUPTED,
    signal.SIGUSR1: errors.RESUMABLE,
}


# By rising weight: where processes are asked different things, the largest number counts.
STOPS = (0, errors.RESUMABLE, errors.INTERRUPTED, errors.TERMINATED)


class Asked(Exception):
    """A run was asked to stop."""


class Stop:
    """Whether a run was asked to stop, and by what.

    Args:
      max_runtime: seconds after which it asks by itself; 0, the default: never.
      elapsed: seconds of them that are over.
    """

    def __init__(self, max_runtime: float = 0.0, elapsed: float = 0.0):
        self._cause: tuple[str, int] | None = None
        self._ends = time.monotonic() + max_runtime - elapsed if max_runtime else None
        self._ended, self._listens = threading.Event(), False
        self._lock = threading.Lock()
        self._told: list[Callable[[int], None]] = []

    def check(self) -> None:
        """Raises `Asked` where it was asked."""
        if self._cause:
            raise Asked

    def tell(self, function: Callable[[int], None]) -> None:
        """Calls `function` with the code, in any thread, as soon as it is asked, or was."""
        with self._lock:
            self._told.append(function)
            if self._cause:
                function(self._cause[1])

    def ask(self, name: str, code: int) -> None:
        """Asks the run to stop because of `name`, with exit code `code`; the first one counts."""
        with self._lock:
            if self._cause:
                return
            self._cause = name, code
            for function in self._told:
                function(code)
        print(f"{name}: stopping", file=sys.stderr, flush=True)

    def error(self, what: str, where: object) -> UserError:
        """The error that ends the command: by what, and `what` was reached, `where`."""
        name, code = self._cause
        return UserError(code, f"stopped by {name} {what}", where, "the same command goes on")

    @contextlib.contextmanager
    def listening(self) -> Iterator["Stop"]:
        """Takes the signals while the block runs, in the main thread."""
        read, write = os.pipe()
        os.set_blocking(write, False)
        before = {number: signal.signal(number, _leave_to_the_thread) for number in _taken()}
        previous = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        threads = [
            threading.Thread(target=self._listen, args=(read,), daemon=True),
            threading.Thread(target=self._watch_the_time, daemon=True),
        ]
        for thread in threads:
            thread.start()
        self._listens = True
        try:
            yield self
        finally:
            self._listens = False
            signal.set_wakeup_fd(previous)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._ended.set()
            os.close(write)  # ends the listener
            for thread in threads:
                thread.join()
            os.close(read)

    def listen_again(self) -> None:
        """Takes the signals once more, in the main thread: TensorFlow's coordination of several
        processes puts a handler of its own in the place of ours for SIGTERM."""
        if self._listens:
            for number in _taken():
                signal.signal(number, _leave_to_the_thread)

    def _listen(self, read: int) -> None:
        interrupts = 0
        while numbers := os.read(read, 64):
            for number in filter(_CODES.get, numbers):
                interrupts += number == signal.SIGINT
                if interrupts == 2:
                    print("SIGINT again: nothing more is saved", file=sys.stderr, flush=True)
                    os._exit(errors.INTERRUPTED)
                self.ask(signal.Signals(number).name, _CODES[number])

    def _watch_the_time(self) -> None:
        if self._ends is not None and not self._ended.wait(max(0.0, self._ends - time.monotonic())):
            self.ask("--max_runtime", errors.RESUMABLE)


def _taken() -> list[signal.Signals]:
    """All, but SIGHUP where `nohup` had it ignored."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in _CODES if number != signal.SIGHUP or not ignored]


def end_at_once() -> None:
    """Lets SIGTERM and SIGHUP end a script that has nothing to save, by `Terminated`."""
    for number in _taken():
        if _CODES[number] == errors.TERMINATED:
            signal.signal(number, _raise)


class Terminated(BaseException):
    """The process was asked to end; as KeyboardInterrupt is, for SIGTERM and SIGHUP."""


def _raise(number, frame) -> None:
    raise Terminated(signal.Signals(number).name)


def _leave_to_the_thread(number, frame) -> None:
    """Does nothing, but that Python passes the signal on and does not end the process."""
