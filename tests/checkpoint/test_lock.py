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

from resnet_tf import files
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


def hold(directory, code=HOLD):
    return subprocess.Popen(
        [sys.executable, "-c", code, str(directory)], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def refused(directory, call=Lock):
    with pytest.raises(UserError) as caught:
        call(directory)
    assert caught.value.code == 77 and caught.value.where == directory / "lock"
    return caught.value.what


def test_a_second_one_is_told_who_has_it_and_changes_nothing(tmp_path):
    """# fault H5"""
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


def test_one_that_may_not_be_read_is_left_to_the_taking(tmp_path, monkeypatch):
    """Of another user: taking the directory says that it may not be written (77)."""
    (tmp_path / "lock").touch()

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(lock.os, "open", refuse)
    Lock.refuse_held(tmp_path)
    with pytest.raises(PermissionError):
        Lock(tmp_path)


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
    """# fault H5"""
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


@pytest.fixture
def without_locks(monkeypatch):
    """A file system that has none; that of temporary files has."""
    real = fcntl.flock

    def flock(file, how):
        if not isinstance(file, int):
            return real(file, how)
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(lock.fcntl, "flock", flock)


def test_a_file_system_without_locks(tmp_path, without_locks):
    """# fault H7"""
    first = Lock(tmp_path)
    before = (tmp_path / "lock").read_bytes()
    with pytest.raises(UserError) as caught:
        Lock(tmp_path)
    assert caught.value.code == 77 and "if that is gone, remove this file" in caught.value.remedy
    assert (tmp_path / "lock").read_bytes() == before
    first.release()
    Lock(tmp_path).release()


def left_by(tmp_path, **changed):
    """A file as a process leaves it that was killed."""
    taken = Lock(tmp_path)
    holder = json.loads((tmp_path / "lock").read_text()) | changed
    taken.release()
    (tmp_path / "lock").write_text(json.dumps(holder))


OVER = subprocess.Popen(["true"])
OVER.wait()


@pytest.mark.parametrize(
    "changed",
    [
        {"pid": OVER.pid},  # no such process
        {"started": "1"},  # another process that got its number
    ],
    ids=["gone", "another"],
)
def test_a_stale_file_of_this_machine_is_taken_over(tmp_path, without_locks, changed):
    """# fault H6"""
    left_by(tmp_path, **changed)
    taken = Lock(tmp_path)
    assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    refused(tmp_path)
    taken.release()


@pytest.mark.parametrize(
    "changed",
    [{"machine": "another pid:[1]", "pid": OVER.pid}, {"machine": None}, {}],
    ids=["another machine", "not said", "still there"],
)
def test_what_may_be_held_is_not_taken_over(tmp_path, without_locks, changed):
    left_by(tmp_path, **changed)
    refused(tmp_path)
    (tmp_path / "lock").write_text("")
    assert refused(tmp_path).endswith("a process that has not said which")


def test_without_proc_nothing_is_taken_over(tmp_path, without_locks, monkeypatch):
    monkeypatch.setattr(lock, "_machine", lambda: None)
    monkeypatch.setattr(lock, "_started", lambda pid: None)
    Lock(tmp_path)
    assert "locked by host" in refused(tmp_path)


@pytest.mark.parametrize("kind, held", [("fuse.gcsfuse", True), ("ext4", False), ("nfs4", False)])
def test_a_file_of_another_machine_counts_where_locks_are_of_one_machine(
    tmp_path, monkeypatch, kind, held
):
    monkeypatch.setattr(files, "file_system", lambda directory: kind)
    left_by(tmp_path, machine="another pid:[1]")
    if held:
        assert refused(tmp_path).startswith("the model directory is locked by host ")
        left_by_us = tmp_path / "ours"
        left_by_us.mkdir()
        left_by(left_by_us, pid=OVER.pid)
        Lock(left_by_us).release()
    else:
        Lock(tmp_path).release()


def test_of_many_that_find_a_stale_file_one_has_it(tmp_path):
    left_by(tmp_path, pid=OVER.pid)
    without = "import fcntl, errno; real = fcntl.flock\n" + (
        "def flock(file, how):\n"
        "    if not isinstance(file, int): return real(file, how)\n"
        "    raise OSError(errno.ENOTSUP, 'not supported')\n"
        "fcntl.flock = flock\n"
    )
    processes = [hold(tmp_path, without + HOLD) for _ in range(12)]
    said = [process.stdout.readline() for process in processes]
    assert sorted(said) == [""] * 11 + ["held\n"]
    for process in processes:
        process.communicate("\n", timeout=60)
    assert list(tmp_path.iterdir()) == []


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


def test_a_lock_that_another_process_made_anew_stays(tmp_path):
    first = Lock(tmp_path)
    (tmp_path / "lock").unlink()  # as the message advises, wrongly followed
    second = Lock(tmp_path)
    first.release()
    assert (tmp_path / "lock").exists()
    refused(tmp_path)
    second.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "directory"])
@pytest.mark.parametrize("call", [Lock, Lock.refuse_held])
def test_what_is_no_file_is_refused_and_nothing_is_written_through_it(tmp_path, kind, call):
    """A stranger's directory may hold anything. # fault S2"""
    directory, victim = tmp_path / "run", tmp_path / "victim"
    directory.mkdir()
    victim.write_text("mine")
    lock = directory / "lock"
    {"link": lambda: lock.symlink_to(victim), "dangling": lambda: lock.symlink_to("/nowhere/x"),
     "pipe": lambda: os.mkfifo(lock), "directory": lock.mkdir}[kind]()  # fmt: skip
    with pytest.raises(UserError, match="ERROR 77: the lock of the model directory is no regular"):
        call(directory)
    assert victim.read_text() == "mine"


def test_whether_it_is_held_still(tmp_path):
    directory = tmp_path / "run"
    directory.mkdir()
    lock = Lock(directory)
    assert lock.is_held()
    directory.rename(tmp_path / "moved")
    assert not lock.is_held()
    directory.mkdir()
    assert not lock.is_held()
    second = Lock(directory)
    assert second.is_held() and not lock.is_held()
    second.release()
