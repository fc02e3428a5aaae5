"""What every training contender does and reports, the same for all. Needs nothing but Python."""

import contextlib
import fcntl
import json
import resource
import statistics
import time
from collections.abc import Callable, Iterator

AGREEING, WITHIN = 3, 0.02


def settled(seconds: list[float]) -> bool:
    """Whether the last three agree: the longest is at most 2 % above the shortest."""
    last = seconds[-AGREEING:]
    return len(last) == AGREEING and max(last) <= (1 + WITHIN) * min(last)


def measure(advance: Callable[[int], tuple[float, float]], case, steps_a_call: int = 1) -> dict:
    """Steps that are compared, then warm-up until settled, then timed ones.

    Args:
      advance: makes so many steps, a multiple of `steps_a_call`, reads one loss when they are
        done (the last one's, or the mean of all where the contender has only that) and
        returns it with the seconds that the steps took.
      case: a `cases.Case`, which tells the numbers of steps.
      steps_a_call: steps that the contender makes before it can be asked anything.

    Returns:
      losses (a number a call), first_call_s, warm_up_steps, settled, step_s,
      images_per_second, peak_memory_mb (of this process, libraries included).
    """
    begin = time.perf_counter()
    losses = [advance(steps_a_call)[0]]
    first_call = time.perf_counter() - begin
    warm: list[float] = []
    for _ in range(case.compared // steps_a_call - 1):
        loss, seconds = advance(steps_a_call)
        losses.append(loss)
        warm.append(seconds)
    most = case.compared + case.warm_up
    while not settled(warm) and (1 + len(warm)) * steps_a_call < most:
        warm.append(advance(steps_a_call)[1])
    timed = -(-case.timed // steps_a_call) * steps_a_call
    step = advance(timed)[1] / timed
    return {
        "losses": losses,
        "first_call_s": first_call,
        "warm_up_steps": (1 + len(warm)) * steps_a_call,
        "settled": settled(warm),
        "step_s": step,
        "images_per_second": case.batch / step,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def windows(advance: Callable[[int], float], batch: int, multiple: int, number: int) -> dict:
    """Pictures a second in so many windows of about two seconds, after one that is not counted.

    Args:
      advance: makes so many steps, waits until they are done, and returns the seconds they took.
      batch: pictures a step.
      multiple: of which the number of steps must be one.
      number: of windows.
    """
    second = multiple / advance(multiple)  # steps
    steps = max(1, round(2 * second / multiple)) * multiple
    advance(steps)
    speeds = [batch * steps / advance(steps) for _ in range(number)]
    return {
        "images_per_second": statistics.median(speeds),
        "least": min(speeds),
        "most": max(speeds),
        "steps_a_window": steps,
    }


@contextlib.contextmanager
def alone(lock: str | None) -> Iterator[None]:
    """While no other process is between the same lock's begin and end; None: at once."""
    if not lock:
        yield
        return
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def report(**figures) -> None:
    """One JSON line."""
    print(json.dumps(figures), flush=True)
