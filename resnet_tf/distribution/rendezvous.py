"""The processes of a cluster meet before TensorFlow joins them.

While TensorFlow waits for other processes it says nothing, answers to no signal, and does so for an
hour. So each process first listens at its own address, and waits until it has reached all others.
"""

import contextlib
import faulthandler
import functools
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from resnet_tf import errors
from resnet_tf.distribution.cluster import Cluster, bound
from resnet_tf.errors import UserError

_CONNECT, _PAUSE, _SILENT = 2.0, 0.2, 5.0  # seconds: to try, between tries, before a word
_TELLING = 1.0  # seconds
_SHOWN, _GREETERS = 8, 32


def meet(cluster: Cluster, say: Callable[[str], None]) -> None:
    """Returns once this process has reached every one, and every one has reached this.

    Args:
      cluster: with the seconds to wait, `start_timeout`.
      say: is told in a sentence for whom it waits, where that takes long.

    Raises:
      UserError: 70 after that time, naming those that have not come.
    """
    begin, told = time.monotonic(), False
    everyone = set(range(len(cluster.addresses)))
    reached, came = set(), set()
    with _listening(cluster) as listener, ThreadPoolExecutor(_GREETERS) as threads:
        while True:
            # Beside each other: a host that lets packets fall takes its time.
            left = sorted(everyone - reached)
            there = threads.map(functools.partial(_greet, cluster), left)
            reached |= {i for i, answered in zip(left, there) if answered}
            came |= _greeted_by(listener)
            missing = sorted((everyone - reached) | (everyone - came))
            waited = time.monotonic() - begin
            if not missing:
                return
            if waited > cluster.start_timeout:
                raise _not_come(cluster, missing)
            if waited > _SILENT and not told:
                say(f"waiting for {_named(cluster, missing)}")
                told = True
            time.sleep(_PAUSE)


@contextlib.contextmanager
def _listening(cluster: Cluster) -> Iterator[socket.socket]:
    with bound(cluster) as listener:
        listener.listen(socket.SOMAXCONN)
        listener.setblocking(False)
        yield listener


def _greet(cluster: Cluster, other: int) -> bool:
    """Tells another process the number of this one; whether it was there."""
    host, _, port = cluster.addresses[other].rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _CONNECT) as connection:
            connection.sendall(b"%d\n" % cluster.index)
    except (OSError, UnicodeError):
        return False
    return True


def _greeted_by(listener: socket.socket) -> set[int]:
    """The numbers of those that have come since."""
    numbers = set()
    while True:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return numbers
        # A stranger may say nothing, or anything.
        with connection, contextlib.suppress(OSError, ValueError):
            connection.settimeout(_CONNECT)
            numbers.add(int(connection.recv(16)))


def _not_come(cluster: Cluster, missing: list[int]) -> UserError:
    return UserError(
        errors.INTERNAL,
        f"not reached within {cluster.start_timeout:g} s: {_named(cluster, missing)}",
        cluster.source,
        "start all of them; --start_timeout gives them longer",
    )


def _named(cluster: Cluster, numbers: list[int]) -> str:
    shown = ", ".join(f"process {i} ({cluster.addresses[i]})" for i in numbers[:_SHOWN])
    more = len(numbers) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


@contextlib.contextmanager
def joining(seconds: float) -> Iterator[None]:
    """Ends the process by SIGALRM, and a word where it hangs, if the block takes so long.

    TensorFlow holds Python's lock meanwhile, so no thread of ours could; its own limits do not hold
    where a process goes away between the meeting and the joining. To be called in the main thread.
    """
    faulthandler.dump_traceback_later(seconds, file=2)
    before = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds + _TELLING)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()
