"""Several processes on one machine, started together, ended together, and started again.

What an engine such as Slurm or Kubernetes does for machines: each process is told who the others
are, the first that fails is named, the others are ended, and the whole is started again from its
last commit. Each process has a session of its own, and what it starts is ended with it. No process
outlives the launcher; only where that is killed (SIGKILL), what processes have started themselves
may, since the kernel then ends the processes alone.
"""

import contextlib
import ctypes
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from resnet_tf import errors
from resnet_tf.stopping import STOPS

# A user's mistake, which another start would only make again.
_FINAL = (
    errors.BAD_FLAGS, errors.BAD_DATA, errors.MISSING_INPUT, errors.CANNOT_CREATE,
    errors.NUMERICAL, errors.MISMATCH,
)  # fmt: skip
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
_PR_SET_PDEATHSIG = 1
_COMMITTING = 300.0  # seconds that all have at least, where they were asked to stop


@dataclasses.dataclass
class Ended:
    """How a group of processes ended.

    Attributes:
      code: exit code of the first that failed, minus a signal's number where that ended it; 0
        where none did.
      index: of that process.
    """

    code: int
    index: int


class Group:
    """The processes of one start.

    Args:
      command: of each.
      count: of processes.
      grace: seconds that the others have to end by themselves, once one has failed; where they
        were asked to stop, at least 300, and so has what a wrapper has started: it may commit.
      say: is told in a sentence what happens.
    """

    def __init__(
        self, command: Sequence[str], count: int, grace: float, say: Callable[[str], None]
    ):
        self._grace, self._say, self._asked = grace, say, False
        addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
        self._processes = [_start(command, addresses, index) for index in range(count)]
        self._threads = [_reader(index, each) for index, each in enumerate(self._processes)]

    def send(self, number: int) -> None:
        """Passes a signal on to all, and to what they have started."""
        self._asked = True
        for process in self._processes:
            _send(process, number)

    def wait(self) -> Ended:
        """Returns once all have ended, by themselves or by force."""
        while not (first := self._first_failure()) and self._left():
            time.sleep(0.05)
        if first and first.code not in STOPS:
            self._say(f"process {first.index} ended first, {_in_words(first.code)}")
        stops = self._asked or (first is not None and first.code in STOPS)
        grace = max(self._grace, _COMMITTING) if stops else self._grace
        end = time.monotonic() + grace
        if first:
            self._end_the_others(grace)
        if self._asked:
            self._let_finish(end - time.monotonic())
        if first and first.code in STOPS and (worse := self._first_failure(passing=STOPS)):
            self._say(f"process {worse.index} ended {_in_words(worse.code)}")
            first = worse
        self.kill()  # what they have started, which may hold their stderr
        for thread in self._threads:
            thread.join()
        return first or Ended(0, 0)

    def _left(self) -> list[subprocess.Popen]:
        return [process for process in self._processes if process.poll() is None]

    def _first_failure(self, passing: Sequence[int] = ()) -> Ended | None:
        codes = enumerate(process.poll() for process in self._processes)
        failed = (Ended(code, index) for index, code in codes if code and code not in passing)
        return next(failed, None)

    def _end_the_others(self, grace: float) -> None:
        for number, seconds in ((None, grace), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            left = self._left()
            if number and left:
                numbers = [i for i, process in enumerate(self._processes) if process in left]
                self._say(f"{number.name} to {', '.join(map(str, numbers))}, which go on")
                for process in left:
                    _send(process, signal.SIGCONT)
                    _send(process, number)
            _wait_while(self._left, seconds)

    def _let_finish(self, seconds: float) -> None:
        """A wrapper dies at once by the signal at which what it has started commits."""
        for process in self._processes:
            _send(process, signal.SIGTERM)  # to what hears no Ctrl-C; who was asked already goes on
        _wait_while(lambda: any(map(_is_busy, self._processes)), seconds)

    def kill(self) -> None:
        """Ends all at once, and what they have started."""
        for process in self._processes:
            _send(process, signal.SIGKILL)
            process.wait()


def launch(
    command: Sequence[str],
    count: int,
    restarts: int = 0,
    grace: float = 15.0,
    say: Callable[[str], None] = lambda sentence: print(sentence, file=sys.stderr, flush=True),
) -> int:
    """Runs a command in so many processes, each with a TF_CONFIG of its own.

    The chief's stdout is passed on as it is, that of the others is left out; lines of stderr have
    the number of their process before them.

    Args:
      command: of each.
      count: of processes.
      restarts: how often all are started again after one has failed, though not by a mistake that
        another start would make again.
      grace: as of `Group`.
      say: is told in a sentence what happens.

    Returns:
      The exit code: 0, or that of the first that failed; 128 + n where signal n ended it.
    """
    history = []
    while True:
        with _passing_on() as passing:
            group = Group(command, count, grace, say)
            try:
                passing.begin(group)
                ended = group.wait()
            finally:
                group.kill()
        if ended.code == 0:
            return 0
        history.append(f"process {ended.index} {_in_words(ended.code)}")
        stopped = ended.code in STOPS or passing.heard
        if stopped or ended.code in _FINAL or len(history) > restarts:
            if len(history) > 1:
                say(f"given up after {len(history)} starts: {'; '.join(history)}")
            return ended.code if ended.code > 0 else 128 - ended.code
        say(f"starting again, {len(history)} of {restarts}")


class _Passing:
    """Passes signals on to a group.

    Attributes:
      heard: those that came.
    """

    def __init__(self):
        self.heard: list[int] = []
        self._group: Group | None = None

    def begin(self, group: Group) -> None:
        """To this one, also what came while it was made."""
        self._group = group
        for number in list(self.heard):
            group.send(number)

    def hear(self, number, frame) -> None:
        self.heard.append(number)
        if self._group:
            self._group.send(number)


@contextlib.contextmanager
def _passing_on() -> Iterator[_Passing]:
    passing = _Passing()
    # Under `nohup` SIGHUP stays ignored, here and in the processes.
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    taken = [number for number in _PASSED_ON if number != signal.SIGHUP or not ignored]
    before = {number: signal.signal(number, passing.hear) for number in taken}
    try:
        yield passing
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(command: Sequence[str], addresses: Sequence[str], index: int) -> subprocess.Popen:
    config = {"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": index}}
    return subprocess.Popen(
        command,
        env={**os.environ, "TF_CONFIG": json.dumps(config), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=None if index == 0 else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C of the terminal comes once, from us
        preexec_fn=_die_with_parent,
    )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _send(process: subprocess.Popen, number: int) -> None:
    """To a process and what it has started in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _is_busy(process: subprocess.Popen) -> bool:
    """Whether anything is left of its session that has not ended: nobody may ask how it did."""
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    states = _states(process.pid)
    return not states or not states <= set("ZX")


def _states(group: int) -> set[str]:
    """Of the processes of a group, one letter each; none on systems without /proc."""
    found = set()
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group, *_ = path.read_text().rpartition(")")[2].split()
            found |= {state} if int(its_group) == group else set()
    return found


def _wait_while(busy: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while busy() and time.monotonic() < end:
        time.sleep(0.05)


def _reader(index: int, process: subprocess.Popen) -> threading.Thread:
    def read():
        for line in process.stderr:
            sys.stderr.write(f"[{index}] {line.decode(errors='replace')}")
            sys.stderr.flush()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _in_words(code: int) -> str:
    if code >= 0:
        return f"with code {code}"
    names = {number.value: number.name for number in signal.Signals}
    return f"by {names.get(-code, f'signal {-code}')}"
