"""Faults that a test can ask for at named points: `RESNET_TF_FAULT=<point>[:<n>[:<kind>]]`.

The n-th time that the program comes to the point (the first by default) there happens, by kind,

    kill    SIGKILL, the default
    hang    nothing, for ever
    full    the disk has no room: OSError ENOSPC

and nothing at all unless `RESNET_TF_TESTING=1` is set too.
"""

import collections
import errno
import os
import signal
import sys
import time

from resnet_tf.errors import plain

_VARIABLE, _ALLOWED = "RESNET_TF_FAULT", "RESNET_TF_TESTING"
POINTS = (
    "save.begin", "save.data", "save.sync", "save.manifest", "save.rename", "save.renamed",
    "save.beside", "sweep.begin", "sweep.mid", "build", "restore", "step", "evaluation", "report",
)  # fmt: skip
_KINDS = ("", "kill", "hang", "full")
_seen: collections.Counter = collections.Counter()


def at(point: str) -> None:
    """The program is at `point`, one of `POINTS`."""
    asked = os.environ.get(_VARIABLE)
    if not asked:
        return
    _seen[point] += 1
    if os.environ.get(_ALLOWED) != "1":
        if _seen.total() == 1:
            print(f"{_VARIABLE}={plain(asked)} is for tests, and left alone", file=sys.stderr)
        return
    name, number, kind = (*asked.split(":"), "", "")[:3]
    if name not in POINTS or kind not in _KINDS:
        raise ValueError(f"{_VARIABLE}={asked} is no point of {', '.join(POINTS)}, or no kind")
    if name != point or _seen[point] != int(number or 1):
        return
    print(f"{_VARIABLE}: {kind or 'kill'} at {point}", file=sys.stderr, flush=True)
    if kind == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if kind == "hang":
        time.sleep(2**31)
    os.kill(os.getpid(), signal.SIGKILL)
