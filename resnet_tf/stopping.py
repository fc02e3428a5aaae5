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


class Asked(BaseException):
    """A run was asked to stop; as KeyboardInterrupt is, nothing that handles errors takes it."""


class Stop:
    """Whether a run was asked to stop, and by what.

    Args:
      max_runtime: seconds after which it asks by itself; 0, the default: never.
      elapsed: seconds of them that are over.
    """

    def __init__(self, max_runtime: float = 0.0, elapsed: float = 0.0):
        self._cause: tuple[str, int] | None = None
        self._ends = time.monotonic() + max_runtime - elapsed if max_runtime else None
        self._asked, self._ended = threading.Event(), threading.Event()
        self._listens, self._raises = False, False
        self._lock = threading.Lock()
        self._told: list[Callable[[int], None]] = []

    def check(self) -> None:
        """Raises `Asked` where it was asked."""
        if self._cause:
            raise Asked

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """While the block runs, in the main thread, being asked raises `Asked` wherever that is.

        For what may take long, as reading data does, and leaves nothing half done.
        """
        self._raises = True
        try:
            self.check()
            yield
        finally:
            self._raises = False

    def tell(self, function: Callable[[int], None]) -> None:
        """Calls `function` with the code, in any thread, as soon as it is asked, or was."""
        with self._lock:
            self._told.append(function)
            if self._cause:
                _call(function, *self._cause)

    def ask(self, name: str, code: int) -> None:
        """Asks the run to stop because of `name`, with exit code `code`; the first one counts."""
        with self._lock:
            if self._cause:
                return
            self._cause = name, code
            for function in self._told:
                _call(function, name, code)
        self._asked.set()
        print(f"{name}: stopping", file=sys.stderr, flush=True)

    def agree(self, code: int) -> None:
        """All processes of a run end with `code`, whatever this one was asked before."""
        with self._lock:
            if self._cause and self._cause[1] != code:
                self._cause = "another process", code
        self.ask("another process", code)

    def error(self, what: str, where: object) -> UserError:
        """The error that ends the command: by what, and `what` was reached, `where`."""
        self._asked.wait()  # `Asked` may be raised before the listener has read by what
        name, code = self._cause
        return UserError(code, f"stopped by {name} {what}", where, "the same command goes on")

    @contextlib.contextmanager
    def listening(self) -> Iterator["Stop"]:
        """Takes the signals while the block runs, in the main thread."""
        read, write = os.pipe()
        os.set_blocking(write, False)
        previous = signal.set_wakeup_fd(write, warn_on_full_buffer=False)  # first: it is who asks
        before = {number: signal.signal(number, self._heard) for number in _taken()}
        listener = threading.Thread(target=self._listen, args=(read,), daemon=True)
        clock = threading.Thread(target=self._watch_the_time, daemon=True)
        listener.start()
        clock.start()
        self._listens = True
        try:
            yield self
        finally:
            self._listens = False
            self._ended.set()
            clock.join()  # before the handlers go: it may be about to send a signal
            signal.set_wakeup_fd(previous)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(write)  # ends the listener
            listener.join()
            os.close(read)

    def listen_again(self) -> None:
        """Takes the signals once more, in the main thread: TensorFlow's coordination of several
        processes puts a handler of its own in the place of ours for SIGTERM."""
        if self._listens:
            for number in _taken():
                signal.signal(number, self._heard)

    def _heard(self, number, frame) -> None:
        """In the main thread, after the listener was woken, which does the asking."""
        if self._raises:
            self._raises = False  # what is left of the block is to end in peace
            raise Asked

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
        if self._ends is None:
            return
        left = max(0.0, self._ends - time.monotonic())
        if not self._ended.wait(min(left, threading.TIMEOUT_MAX)):
            self.ask("--max_runtime", errors.RESUMABLE)
            os.kill(os.getpid(), signal.SIGUSR1)  # for a main thread that is to stop at once


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


def _call(function: Callable[[int], None], name: str, code: int) -> None:
    """Tells one of those that want to know; no error of theirs ends the thread that listens."""
    try:
        function(code)
    except Exception as error:
        print(f"{name}: not told to all: {errors.plain(error)}", file=sys.stderr, flush=True)
