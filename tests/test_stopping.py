"""Signals and the end of a run's time: what is asked, told, and which code it stands for."""

import ast
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from resnet_tf.stopping import Asked, Stop, Terminated, end_at_once


@pytest.fixture
def heeded():
    """SIGHUP as it is without `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def wait_for(stop):
    """Until the listener has heard, at most a minute."""
    heard = threading.Event()
    stop.tell(lambda code: heard.set())
    assert heard.wait(60)


@pytest.mark.parametrize(
    ("name", "code"), [("SIGTERM", 143), ("SIGHUP", 143), ("SIGINT", 130), ("SIGUSR1", 75)]
)
def test_a_signal_asks_with_its_code(name, code, capsys, heeded):
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


def test_under_nohup_the_end_of_a_session_ends_nothing(heeded):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Stop().listening() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGUSR1)
        wait_for(stop)
    assert stop.error("", "").code == 75
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_script_that_has_nothing_to_save_ends_at_once(name, heeded):
    before = signal.getsignal(signal.SIGTERM)
    try:
        end_at_once()
        with pytest.raises(Terminated, match=name):
            os.kill(os.getpid(), getattr(signal, name))
            time.sleep(60)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_first_cause_counts(capsys):
    told = []
    stop = Stop()
    stop.tell(lambda code: told.append(("before", code)))
    stop.ask("SIGTERM", 143)
    stop.ask("SIGINT", 130)
    stop.tell(lambda code: told.append(("after", code)))
    assert told == [("before", 143), ("after", 143)] and stop.error("", "").code == 143
    assert capsys.readouterr().err == "SIGTERM: stopping\n"


@pytest.mark.parametrize(("own", "agreed"), [(None, 143), (75, 143), (143, 143)])
def test_processes_end_with_the_code_that_they_agree_on(own, agreed):
    stop = Stop()
    if own:
        stop.ask("SIGTERM", own)
    stop.agree(agreed)
    error = stop.error("", "")
    assert error.code == agreed
    assert error.what.startswith("stopped by " + ("SIGTERM" if own == agreed else "another"))


def test_time_is_up():
    with Stop(max_runtime=100.0, elapsed=100.0).listening() as stop:
        wait_for(stop)
    assert stop.error("", "").code == 75


def test_time_that_is_not_up_asks_for_nothing():
    with Stop(max_runtime=1e9).listening() as stop:
        stop.check()
    stop.check()


@pytest.mark.parametrize("signalled", [True, False], ids=["signal", "time"])
def test_where_nothing_is_half_done_it_ends_at_once(signalled):
    limit = 0.0 if signalled else 0.5
    with Stop(max_runtime=limit).listening() as stop, pytest.raises(Asked), stop.at_once():
        if signalled:
            os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(60)
    assert stop.error("", "").code == 75


def test_asked_before_nothing_is_begun():
    stop = Stop()
    stop.ask("SIGTERM", 143)
    with pytest.raises(Asked), stop.at_once():
        raise AssertionError("begun")


def test_what_is_asked_afterwards_waits_for_a_check():
    with Stop().listening() as stop:
        with stop.at_once():
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for(stop)
        with pytest.raises(Asked):
            stop.check()


def test_one_that_cannot_be_told_hides_nothing(capsys):
    def fail(code):
        raise RuntimeError("gone")

    told, stop = [], Stop()
    stop.tell(fail)
    stop.tell(told.append)
    stop.ask("SIGTERM", 143)
    stop.tell(fail)
    assert told == [143]
    line = "SIGTERM: not told to all: gone\n"
    assert capsys.readouterr().err == f"{line}SIGTERM: stopping\n{line}"


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


@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_a_second_ctrl_c_ends_at_once_whatever_the_main_thread_does(first):
    """# fault B4"""
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(getattr(signal, first))
        assert process.stderr.readline() == f"{first}: stopping\n"
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        while first != "SIGINT" and process.poll() is None:  # two at once may come as one
            process.send_signal(signal.SIGINT)
            time.sleep(0.01)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 130 and said == "SIGINT again: nothing more is saved\n"
    finally:
        process.kill()
        process.wait()


def test_a_limit_beyond_what_a_clock_waits_for():
    with Stop(max_runtime=1e300).listening() as stop:
        stop.check()
    stop.check()


def test_sigusr1_while_a_script_is_still_loaded():
    code = "import os, signal, resnet_tf.early; os.kill(os.getpid(), signal.SIGUSR1)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 75
    assert process.stderr == (
        "ERROR 75: stopped by SIGUSR1 | before it had begun | the same command goes on\n"
    )


def test_train_answers_it_before_it_loads_anything_of_others():
    source = (pathlib.Path(__file__).resolve().parent.parent / "train.py").read_text()
    froms = [node for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)]
    assert froms[0].module == "resnet_tf" and froms[0].names[0].name == "early"
