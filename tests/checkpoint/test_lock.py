"""One writer a directory: who is let in, who is told by whom it is held, what is left."""

import errno
import fcntl
import json
import os
import pathlib
import socket
import subprocess
import sys

import pytest

from resnet_tf.checkpoint import Lock, lock
from resnet_tf.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Waits for a line on stdin while it holds the lock; does not load TensorFlow.
HOLD = """
import importlib.util, pathlib, sys, types
package = types.ModuleType("resnet_tf.checkpoint")
package.__path__ = ["resnet_tf/checkpoint"]
sys.modules["resnet_tf.checkpoint"] = package
from resnet_tf.checkpoint.lock import Lock
from resnet_tf.errors import UserError
try:
    held = Lock(pathlib.Path(sys.argv[1]))
except UserError as error:
    sys.exit(str(error.code))
print("held", flush=True)
sys.stdin.readline()
held.release()
"""


def hold(directory):
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory)], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def refused(directory, call=Lock):
    with pytest.raises(UserError) as caught:
        call(directory)
    assert caught.value.code == 77 and caught.value.where == directory / "lock"
    return caught.value.what


def test_a_second_one_is_told_who_has_it_and_changes_nothing(tmp_path):
    first = Lock(tmp_path)
    before = (tmp_path / "lock").read_bytes()
    expected = (
        f"the model directory is locked by host {socket.gethostname()}, pid {os.getpid()}, since "
    )
    for call in (Lock, Lock.refuse_held):
        assert refused(tmp_path, call).startswith(expected + json.loads(before)["since"])
    assert (tmp_path / "lock").read_bytes() == before
    first.release()
    assert list(tmp_path.iterdir()) == []
    Lock.refuse_held(tmp_path)
    Lock(tmp_path).release()


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path):
    process = hold(tmp_path)
    with process:
        assert process.stdout.readline() == "held\n"
        assert f"pid {process.pid}" in refused(tmp_path)
        process.kill()
    assert (tmp_path / "lock").exists()
    Lock.refuse_held(tmp_path)
    Lock(tmp_path).release()


def test_of_many_at_once_one_has_it(tmp_path):
    """# fault: simultaneous starts"""
    processes = [hold(tmp_path) for _ in range(12)]
    said = [process.stdout.readline() for process in processes]
    assert sorted(said) == [""] * 11 + ["held\n"]
    for process in processes:
        process.communicate("\n", timeout=60)
    assert sorted(process.returncode for process in processes) == [0] + [1] * 11
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_held_where_there_is_nothing(tmp_path):
    Lock.refuse_held(tmp_path / "none")
    (tmp_path / "file").touch()
    Lock.refuse_held(tmp_path / "file")
    with pytest.raises(OSError):
        Lock(tmp_path / "none")


def test_a_file_that_says_nothing(tmp_path):
    with open(tmp_path / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert (
            refused(tmp_path)
            == "the model directory is locked by a process that has not said which"
        )


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(lock.fcntl, "flock", unsupported)
    first = Lock(tmp_path)
    with pytest.raises(UserError) as caught:
        Lock(tmp_path)
    assert caught.value.code == 77 and "if that is gone, remove this file" in caught.value.remedy
    first.release()
    Lock(tmp_path).release()


def test_the_file_may_vanish_while_it_is_taken(tmp_path, monkeypatch):
    """Its holder removes it between our opening it and our locking it."""
    real, done = lock.fcntl.flock, []

    def slow(descriptor, how):
        if not done:
            done.append((tmp_path / "lock").unlink())
        return real(descriptor, how)

    monkeypatch.setattr(lock.fcntl, "flock", slow)
    taken = Lock(tmp_path)
    assert (tmp_path / "lock").exists(), "locked is the file that has the name"
    refused(tmp_path)
    taken.release()
