"""The watchdog, in threads of this process and in runs of their own."""

import subprocess
import sys
import threading
import types

import pytest

from resnet_tf import watchdog
from resnet_tf.watchdog import Watchdog


@pytest.fixture
def clock(monkeypatch):
    """Seconds by hand: `tick` waits for nobody, and the process does not end but stops to watch."""
    now = types.SimpleNamespace(seconds=0.0, ended=[], steps=[])
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: now.seconds)
    monkeypatch.setattr(watchdog.os, "_exit", now.ended.append)
    return now


def watched(dog, clock, steps):
    """Runs the watchdog's own loop in this thread: a step is (seconds that pass, beat or None)."""
    left = iter(steps)

    def wait(seconds):
        if clock.ended or (step := next(left, None)) is None:
            return True
        clock.seconds += step[0]
        if step[1] == "made":
            dog.step_made()
        elif step[1]:
            dog.beat(step[1])
        return False

    dog._ended = types.SimpleNamespace(wait=wait)
    dog._watch()


def heard(timeout=0.0):
    told = []
    return Watchdog(timeout, lambda *what: told.append(what)), told


def seconds(number, beat_at=(), made_at=None):
    """So many ticks of a second, with a beat at some of them, and the first step at one."""
    what = {i: f"beat {i}" for i in beat_at} | {made_at: "made"}
    return [(1.0, what.get(i)) for i in range(1, number + 1)]


def test_no_beat_for_longer_than_the_timeout(clock):
    dog, told = heard(timeout=40.0)
    watched(dog, clock, seconds(100, beat_at=(10, 30)))
    ((after, waited, stacks),) = told
    assert (after, waited, clock.ended) == ("beat 30", 41.0, [70])
    assert "test_watchdog.py" not in stacks  # of its own thread it says nothing


def test_beats_in_time(clock):
    dog, told = heard(timeout=40.0)
    watched(dog, clock, seconds(1000, beat_at=range(39, 1000, 39)))
    assert not told and not clock.ended


def test_by_its_own_speed_half_an_hour_to_compile_then_ten_minutes(clock):
    dog, told = heard()
    watched(dog, clock, seconds(1702, beat_at=(1, 2, 3), made_at=1701))  # an evaluation is first
    assert dog.limit == 600 and not told
    watched(dog, clock, seconds(700))
    assert told[0][0] == "the first step" and told[0][1] == 601


def test_by_its_own_speed_hanging_before_the_first_step(clock):
    dog, told = heard()
    watched(dog, clock, seconds(1900, beat_at=(10,)))
    assert told[0][0] == "beat 10" and told[0][1] == 1801


def test_by_its_own_speed_twenty_times_the_longest_period(clock):
    dog, told = heard()
    watched(dog, clock, seconds(2000, beat_at=(1, 110, 200, 205), made_at=100))
    assert dog.limit == 20 * 90 and not told
    watched(dog, clock, seconds(200))
    assert len(told) == 1


def test_a_process_that_was_stopped_or_gets_no_time_is_not_accused(clock):
    """# fault P2: of an hour that passed between two ticks two seconds count."""
    dog, told = heard()
    watched(dog, clock, [(1.0, "step 0"), (1.0, "made"), *[(3600.0, None)] * 298])
    assert not told
    watched(dog, clock, [(3600.0, None)] * 3)
    assert told and told[0][1] > 600


def test_it_ends_the_process_even_where_telling_fails(clock):
    def refuse(*_):
        raise OSError("no room")

    dog = Watchdog(1.0, refuse)
    with pytest.raises(OSError, match="no room"):
        watched(dog, clock, [(2.0, None)] * 4)
    assert clock.ended == [70]


# The main thread holds the lock of a stream whose reader never reads, which telling needs, too.
STUCK = """
import sys, threading
from resnet_tf import watchdog
watchdog._TELLING = 0.2
held = threading.Lock()
held.acquire()
dog = watchdog.Watchdog(0.2, lambda *_: held.acquire())
dog.start()
dog.beat("begun")
while True:
    sys.stdout.write("x" * 10**6)
"""


def test_it_ends_the_process_even_where_telling_hangs():
    with subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE) as process:
        try:
            assert process.wait(timeout=60) == 70
        finally:
            process.kill()


def test_stop_ends_its_thread():
    dog = Watchdog(0.0, lambda *_: None)
    dog.start()
    dog.beat("begun")
    dog.stop()
    assert not any(thread.name == "watchdog" for thread in threading.enumerate())
    Watchdog(0.0, lambda *_: None).stop()  # one that was not started


def test_stacks_name_the_threads_and_where_they_are():
    held, begun = threading.Event(), threading.Event()

    def wait_for_the_end():
        begun.set()
        held.wait()

    thread = threading.Thread(target=wait_for_the_end, name="a thread that waits")
    thread.start()
    begun.wait()
    text = watchdog.stacks()
    held.set()
    thread.join()
    assert "thread a thread that waits:\n" in text and "in wait_for_the_end" in text


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("evaluation", "save.rename")]


@pytest.mark.parametrize("point", ["step:2", *SLOW])
def test_a_run_that_hangs_ends_with_70_and_goes_on(script, tmp_path, point):
    """# fault B9"""
    name, _, number = point.partition(":")
    fault = {"RESNET_TF_FAULT": f"{name}:{number or 1}:hang", "RESNET_TF_TESTING": "1"}
    flags = ("train.py", f"--model_dir={tmp_path}/run", "--steps=40", "--save_every_steps=10",
             "--eval_every_steps=20", "--model_options=depth=8,width_multiplier=0.25")  # fmt: skip
    hung = script(*flags, "--step_timeout=20", **fault)
    assert hung.returncode == 70
    assert "thread MainThread:" in hung.stderr and "faults.py" in hung.stderr
    last = hung.stderr.splitlines()[-1]
    assert (
        last.startswith("ERROR 70: no progress for ") and "; what its threads do is above" in last
    )
    journal = (tmp_path / "run/journal.jsonl").read_text()
    assert '"event": "hung"' in journal
    assert script(*flags).returncode == 0
