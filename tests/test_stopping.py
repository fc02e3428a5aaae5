"""Signals and the end of a run's time: what is asked, told, and which code it stands for."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from resnet_tf.stopping import Asked, Stop


def wait_for(stop):
    """Until the listener has heard, at most a minute."""
    heard = threading.Event()
    stop.tell(heard.set)
    assert heard.wait(60)


@pytest.mark.parametrize(
    ("name", "code"), [("SIGTERM", 143), ("SIGHUP", 143), ("SIGINT", 130), ("SIGUSR1", 75)]
)
def test_a_signal_asks_with_its_code(name, code, capsys):
    """# fault B6"""
    with Stop().listening() as stop:
        stop.check()
        os.kill(os.getpid(), getattr(signal, name))
        wait_for(stop)
        with pytest.raises(Asked):
            stop.check()
    error = stop.error("at step 3", "here")
    assert error.code == code and capsys.readouterr().err == f"{name}: stopping\n"
    assert (
        str(error) == f"ERROR {code}: stopped by {name} at step 3 | here | the same command goes on"
    )


def test_the_first_cause_counts(capsys):
    told = []
    stop = Stop()
    stop.tell(lambda: told.append("before"))
    stop.ask("SIGTERM", 143)
    stop.ask("SIGINT", 130)
    stop.tell(lambda: told.append("after"))
    assert told == ["before", "after"] and stop.error("", "").code == 143
    assert capsys.readouterr().err == "SIGTERM: stopping\n"


def test_time_is_up():
    with Stop(max_runtime=100.0, elapsed=100.0).listening() as stop:
        wait_for(stop)
    assert stop.error("", "").code == 75


def test_time_that_is_not_up_asks_for_nothing():
    with Stop(max_runtime=1e9).listening() as stop:
        stop.check()
    stop.check()


def test_handlers_are_given_back():
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    with Stop().listening():
        assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] != before
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before


# The main thread is inside one call of C that takes hours, without Python's lock, as TensorFlow is.
BUSY = """
import hashlib
from resnet_tf.stopping import Stop
with Stop().listening() as stop:
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


def test_a_second_ctrl_c_ends_at_once_whatever_the_main_thread_does():
    """# fault B4"""
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "SIGINT: stopping\n"
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 130 and said == "SIGINT again: nothing more is saved\n"
    finally:
        process.kill()
        process.wait()
