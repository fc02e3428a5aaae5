"""`tools/launch.py` with small commands: what is passed on, who is ended, what is started again."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import types

import pytest

from resnet_tf.distribution import launcher

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What each process has, and what it may do.
BEGIN = """
import json, os, pathlib, signal, sys, time
told = json.loads(os.environ["TF_CONFIG"])
index, count = told["task"]["index"], len(told["cluster"]["worker"])
here = pathlib.Path(sys.argv[1])
def there(name):
    while not (here / name).exists():
        time.sleep(0.01)
(here / f"pid{index}").write_text(str(os.getpid()))
"""


def launch(tmp_path, code, *flags):
    return subprocess.Popen(
        [sys.executable, ROOT / "tools/launch.py", *flags, "--", sys.executable, "-c",
         BEGIN + code, str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # The tests themselves may run under nohup.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )  # fmt: skip


def ended(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def pids(tmp_path):
    return [int(path.read_text()) for path in sorted(tmp_path.glob("pid*"))]


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # Nobody may have asked yet how it ended.
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_output_and_environment(tmp_path):
    code = "print(json.dumps(told)); print(f'a line of {index}', file=sys.stderr)"
    returncode, out, err = ended(launch(tmp_path, code, "--workers=3"))
    assert returncode == 0
    told = json.loads(out)  # the chief's, and nothing else
    assert told["task"] == {"type": "worker", "index": 0}
    assert len(set(told["cluster"]["worker"])) == 3
    assert all(address.startswith("127.0.0.1:") for address in told["cluster"]["worker"])
    assert sorted(err.splitlines()) == [f"[{i}] a line of {i}" for i in range(3)]


@pytest.mark.parametrize(
    ("code", "expected", "said"),
    [
        ("sys.exit(70)", 70, "process 1 ended first, with code 70"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, "process 1 ended first, by SIGKILL"),
    ],
)
def test_the_first_that_fails_is_named_and_the_others_are_ended(tmp_path, code, expected, said):
    """# fault F1"""
    code = f"there(f'pid{{1 - index}}')\nif index: {code}\ntime.sleep(1000)"
    returncode, _, err = ended(launch(tmp_path, code, "--workers=2", "--grace=0.1"))
    assert returncode == expected
    assert err.splitlines() == [said, "SIGTERM to 0, which go on"]
    assert all(is_gone(pid) for pid in pids(tmp_path))


def test_one_that_is_stopped_or_deaf_is_ended_too(tmp_path):
    """# fault F6"""
    code = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if index == 2: there('pid0'), there('pid1'), sys.exit(70)\n"
        "if index == 1: os.kill(os.getpid(), signal.SIGSTOP)\n"
        "time.sleep(1000)"
    )
    returncode, _, err = ended(launch(tmp_path, code, "--workers=3", "--grace=0.1"))
    assert returncode == 70 and "SIGKILL to 0, 1, which go on" in err
    assert all(is_gone(pid) for pid in pids(tmp_path))


FAILS = """
tries = here / f"tries{index}"
number = len(tries.read_text()) if tries.exists() else 0
tries.write_text("x" * (number + 1))
if index == 1 and number < FAILURES:
    sys.exit(CODE)
"""


@pytest.mark.parametrize(
    ("failures", "code", "restarts", "expected", "starts"),
    [
        (2, 70, 2, 0, 3),
        (2, 134, 3, 0, 3),
        (3, 70, 2, 70, 3),  # given up
        (9, 64, 2, 64, 1),  # a user's mistake is made once
        (9, 78, 2, 78, 1),
        (9, 143, 2, 143, 1),  # somebody wanted it to end
        (9, 75, 2, 75, 1),
    ],
)
def test_restarts(tmp_path, failures, code, restarts, expected, starts):
    """# fault F8"""
    text = FAILS.replace("FAILURES", str(failures)).replace("CODE", str(code))
    returncode, _, err = ended(
        launch(tmp_path, text, "--workers=2", "--grace=5", f"--max_restarts={restarts}")
    )
    assert returncode == expected, err
    assert len((tmp_path / "tries1").read_text()) == starts
    if starts > restarts and expected:
        assert f"given up after {starts} starts: process 1 with code {code}; " in err


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"])
def test_signals_are_passed_on_and_nothing_is_started_again(tmp_path, name):
    code = (
        f"signal.signal(signal.{name}, lambda *_: sys.exit(143))\n"
        "(here / f'ready{index}').touch()\ntime.sleep(1000)"
    )
    process = launch(tmp_path, code, "--workers=2", "--max_restarts=3")
    wait_for(tmp_path, "ready0", "ready1")
    process.send_signal(getattr(signal, name))
    returncode, _, err = ended(process)
    assert returncode == 143 and "starting again" not in err
    assert all(is_gone(pid) for pid in pids(tmp_path))


def wait_for(tmp_path, *names):
    end = time.monotonic() + 60
    while not all((tmp_path / name).exists() for name in names):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_launcher_that_is_killed_leaves_no_orphan(tmp_path):
    process = launch(tmp_path, "(here / f'ready{index}').touch()\ntime.sleep(1000)", "--workers=2")
    wait_for(tmp_path, "ready0", "ready1")
    process.kill()
    ended(process)
    end = time.monotonic() + 60
    while not all(is_gone(pid) for pid in pids(tmp_path)):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_a_wrapper_has_started_is_ended_with_it(tmp_path):
    """It holds the stderr of the process, too."""
    process = subprocess.Popen(
        [sys.executable, ROOT / "tools/launch.py", "--workers=1", "--grace=0.1", "--", "bash", "-c",
         f"sleep 1000 & echo $! > {tmp_path}/pid0; exit 3"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    returncode, _, err = ended(process)
    assert returncode == 3 and "process 0 ended first, with code 3" in err
    assert all(is_gone(pid) for pid in pids(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_what_a_wrapper_has_started(tmp_path, number):
    """Jobs of a shell ignore SIGINT; they are sent SIGTERM then."""
    process = subprocess.Popen(
        [sys.executable, ROOT / "tools/launch.py", "--workers=1", "--", "bash", "-c",
         f"sleep 1000 & echo $! > {tmp_path}/pid0; touch {tmp_path}/ready; wait; true"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(tmp_path, "ready")
    process.send_signal(number)
    assert ended(process)[0] == 128 + number
    assert all(is_gone(pid) for pid in pids(tmp_path))


@pytest.mark.parametrize(("wrapper", "code"), [
    ('"$0" -c "$1" "$2"; true', 143),  # bash dies by the signal at once
    ('trap "exit 0" TERM; "$0" -c "$1" "$2" & wait', 0),
])  # fmt: skip
def test_what_a_wrapper_has_started_may_finish_what_it_does(tmp_path, wrapper, code):
    child = (
        "import pathlib, signal, sys, time; here = pathlib.Path(sys.argv[1])\n"
        "def commit(*_):\n    time.sleep(1), (here / 'committed').touch(), sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, commit); (here / 'ready').touch(); time.sleep(1000)"
    )
    process = subprocess.Popen(
        [sys.executable, ROOT / "tools/launch.py", "--workers=1", "--grace=0.1", "--", "bash", "-c",
         wrapper, sys.executable, child, str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(tmp_path, "ready")
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == code
    assert (tmp_path / "committed").exists()


def test_what_has_ended_and_is_asked_by_nobody_is_not_waited_for():
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as process:
        assert launcher._is_busy(process)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays as a zombie
        assert not launcher._is_busy(process)
    assert not launcher._is_busy(process)


def test_where_all_were_asked_to_stop_another_code_is_the_one_that_counts(tmp_path):
    """And the others have time: a commit may take it."""
    code = (
        "def stop(*_):\n"
        "    if index: sys.exit(143)\n"
        "    time.sleep(2), sys.exit(74)\n"
        "signal.signal(signal.SIGTERM, stop)\n(here / f'ready{index}').touch()\ntime.sleep(1000)"
    )
    process = launch(tmp_path, code, "--workers=2", "--grace=0.1", "--max_restarts=3")
    wait_for(tmp_path, "ready0", "ready1")
    process.send_signal(signal.SIGTERM)
    returncode, _, err = ended(process)
    assert returncode == 74 and err == "process 0 ended with code 74\n"


def test_under_nohup_the_end_of_a_session_ends_nothing(tmp_path):
    """Neither here nor in the processes."""
    code = (
        "(here / f'ignored{index}').write_text(str(signal.getsignal(signal.SIGHUP)))\n"
        "(here / f'ready{index}').touch()\nthere('go')"
    )
    process = subprocess.Popen(
        ["nohup", sys.executable, ROOT / "tools/launch.py", "--workers=2", "--", sys.executable,
         "-c", BEGIN + code, str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    wait_for(tmp_path, "ready0", "ready1")
    process.send_signal(signal.SIGHUP)
    (tmp_path / "go").touch()
    assert ended(process)[0] == 0
    assert (tmp_path / "ignored1").read_text() == str(signal.SIG_IGN)


def test_a_signal_without_a_name(tmp_path):
    number = signal.SIGRTMIN + 1
    returncode, _, err = ended(launch(tmp_path, f"os.kill(os.getpid(), {number})", "--workers=1"))
    assert returncode == 128 + number and f"process 0 ended first, by signal {number}\n" in err


def test_a_signal_that_comes_while_processes_are_started_is_passed_on():
    sent = []
    with launcher._passing_on() as passing:
        os.kill(os.getpid(), signal.SIGUSR1)
        passing.begin(types.SimpleNamespace(send=sent.append))
        os.kill(os.getpid(), signal.SIGUSR1)
    assert sent == [signal.SIGUSR1] * 2 == passing.heard


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--workers=2"], 64, "no command is given"),
        (["--workers=0", "--", "true"], 64, "workers must be 1 or more, got 0"),
        (["--max_restarts=-1", "--", "true"], 64, "max_restarts must be 0 or more, got -1"),
        (["--grace=nan", "--", "true"], 64, "grace must be 0 or more, and finite, got nan"),
        (["--", "/nosuch"], 66, "the command cannot be started: No such file"),
    ],
)
def test_mistakes(arguments, code, message):
    process = subprocess.run(
        [sys.executable, ROOT / "tools/launch.py", *arguments], capture_output=True, text=True
    )
    assert process.returncode == code
    assert process.stderr.startswith(f"ERROR {code}: {message}")
