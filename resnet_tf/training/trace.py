"""What a profile has recorded: the time of each kind of op, and a trace that Perfetto opens.

TensorFlow records an `XSpace`: planes (the host, each GPU) of lines (threads, streams) of events.
An execution of an op is an event whose name, or on a GPU whose `tf_op`, is `node:Type`. All
others (executor, functions, iterators, waits) enclose ops or lie between them.
"""

import collections
import dataclasses
import gzip
import json
import pathlib
import re
from collections.abc import Iterator

from tensorflow.tsl.profiler.protobuf import xplane_pb2

_OP = re.compile(r"[\w.][\w./>-]*:([A-Z_]\w*)")
_GPU = re.compile(r"/device:GPU:\d+")
_PS_IN_MS, _PS_IN_US = 1e9, 1e6


@dataclasses.dataclass(frozen=True)
class OpTime:
    """The executions of one type of op.

    Args:
      type: of the op, such as `Conv2DBackpropFilter`; of a GPU's event without op, its name.
      example: the node that took most time.
      calls: executions a step; on a GPU, kernels a step.
      ms: milliseconds a step, summed over threads (or streams).
      share: of the time of all ops, 0 to 1.
    """

    type: str
    example: str
    calls: float
    ms: float
    share: float


def read(path: pathlib.Path) -> xplane_pb2.XSpace:
    """Reads an `.xplane.pb` file."""
    return xplane_pb2.XSpace.FromString(path.read_bytes())


def op_times(space: xplane_pb2.XSpace, steps: int) -> list[OpTime]:
    """Sums op executions by type, the costliest first.

    Where there are GPUs their streams are counted, not the host's threads: those only start
    kernels. An op's time is its own: what runs nested in it on the same thread is
    counted there and nowhere else, so the sum is at most threads times seconds.

    Args:
      space: what was recorded.
      steps: that were recorded.
    """
    on_gpu = any(_GPU.fullmatch(plane.name) and plane.lines for plane in space.planes)
    nodes = collections.defaultdict(lambda: [0, 0])  # (type, node): executions, picoseconds
    for plane in space.planes:
        if not on_gpu or _GPU.fullmatch(plane.name):
            for line in plane.lines:
                for node, own_ps in _own_times(plane, line, on_gpu):
                    nodes[node][0] += 1
                    nodes[node][1] += own_ps
    types = collections.defaultdict(list)
    for (kind, node), (calls, ps) in nodes.items():
        types[kind].append((ps, calls, node))
    total = sum(ps for _, ps in nodes.values()) or 1
    times = []
    for kind, found in types.items():
        ps, calls = sum(f[0] for f in found), sum(f[1] for f in found)
        times.append(OpTime(kind, max(found)[2], calls / steps, ps / steps / _PS_IN_MS, ps / total))
    return sorted(times, key=lambda op: (-op.ms, op.type))


def _own_times(plane, line, on_gpu: bool) -> Iterator[tuple[tuple[str, str], int]]:
    """((type, node), picoseconds without what is nested) of each op execution of a line."""
    if on_gpu and not line.name.startswith("Stream"):
        return  # summaries of streams
    ops = [
        (event.offset_ps, -event.duration_ps, op)
        for event in line.events
        if (op := _op_of(plane, event, on_gpu))
    ]
    running = []  # [end, own time, op] of the ops that enclose the present one, innermost last
    for start, minus_duration, op in sorted(ops):
        while running and running[-1][0] <= start:
            yield running[-1][2], running.pop()[1]
        if running:
            running[-1][1] += minus_duration
        running.append([start - minus_duration, -minus_duration, op])
    for _, own, op in running:
        yield op, own


def _op_of(plane, event, on_gpu: bool) -> tuple[str, str] | None:
    """(type, node) of an event; None where it is no execution of an op."""
    name = plane.event_metadata[event.metadata_id].name
    if not on_gpu:
        return _parsed(name)
    for stat in event.stats:
        if plane.stat_metadata[stat.metadata_id].name == "tf_op":
            text = stat.str_value or plane.stat_metadata[stat.ref_value].name
            return _parsed(text) or (name, text)
    return name, name  # a copy between host and GPU, say


def _parsed(name: str) -> tuple[str, str] | None:
    match = _OP.fullmatch(name)
    return (match[1], name.rpartition(":")[0]) if match else None


def write_chrome_trace(space: xplane_pb2.XSpace, path: pathlib.Path) -> None:
    """Writes a trace in Chrome's format, gzipped JSON: a process a plane, a thread a line.

    Events of no duration (thread pools tell each other of work) are left out. An op goes by its
    type, and its node stands in `args`; microseconds count from the start of the profile.
    """
    events = []
    for process, plane in enumerate((p for p in space.planes if p.lines), start=1):
        events.append(_naming("process_name", plane.name, pid=process))
        for thread, line in enumerate(plane.lines, start=1):
            events.append(_naming("thread_name", line.name, pid=process, tid=thread))
            for event in line.events:
                if event.duration_ps:
                    events.append(_slice(plane, line, event) | {"pid": process, "tid": thread})
    with gzip.open(path, "wt", encoding="utf-8") as file:
        json.dump({"displayTimeUnit": "ns", "traceEvents": events}, file)


def _naming(kind: str, name: str, **of: int) -> dict:
    return {"ph": "M", "name": kind, "args": {"name": name}, **of}


def _slice(plane, line, event) -> dict:
    name = plane.event_metadata[event.metadata_id].name
    op = _parsed(name)
    return {
        "ph": "X",
        "name": op[0] if op else name,
        "ts": (line.timestamp_ns * 1000 + event.offset_ps) / _PS_IN_US,
        "dur": event.duration_ps / _PS_IN_US,
        **({"args": {"node": op[1]}} if op else {}),
    }
