"""One writer a model directory.

The lock is the kernel's (`flock`) on a file `lock` in the directory, so it ends with its process,
however that ends, and no stale one is ever left. The file says who holds it.

Where a file system has no such lock, making the file is the lock; and where it comes by FUSE, the
kernel's may hold on one machine only, so a file that another machine made counts, too. A process
that is killed then leaves a stale one behind. One of this machine is taken over once its process is
gone; one of another machine a person must remove, since nobody can see the processes there.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import pathlib
import socket
import stat
import tempfile
import time
from collections.abc import Iterator

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.files import comes_by_fuse

FILE_NAME = "lock"
_NO_FLOCK = (errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL)
_BY_HAND = "; if that is gone, remove this file"


class Lock:
    """A model directory that this process alone writes in, until `release`.

    Args:
      directory: of the run; must exist.

    Raises:
      UserError: 77 where another process has it, naming that.
      OSError: where no file can be made in the directory.
    """

    def __init__(self, directory: pathlib.Path):
        self._path = directory / FILE_NAME
        self._refuse_no_file()
        self._descriptor = self._take()
        holder = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
            "machine": _machine(),
            "started": _started(os.getpid()),
        }
        os.truncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(holder).encode() + b"\n", 0)

    def _take(self) -> int:
        while True:
            made, descriptor = self._open()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise self._held(descriptor) from None
            except OSError as error:
                if error.errno not in _NO_FLOCK:
                    os.close(descriptor)
                    raise
                if made:
                    return descriptor
                self._remove_stale_or_refuse(descriptor)
                continue
            if not made and self._is_of_another_machine(descriptor):
                raise self._held(descriptor, _BY_HAND)
            # Whoever had it may have removed the file between the two calls.
            with contextlib.suppress(FileNotFoundError):
                if self._has_the_name(descriptor):
                    return descriptor
            os.close(descriptor)

    def _refuse_no_file(self) -> None:
        """What a stranger put there could lead elsewhere, or never open."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if not stat.S_ISREG(self._path.lstat().st_mode):
                what = "the lock of the model directory is no regular file"
                raise UserError(
                    errors.NOT_WRITABLE, what, self._path, "remove it, or give another --model_dir"
                )

    def is_held(self) -> bool:
        """Whether the directory still is the one that was taken, and its lock this one."""
        try:
            return self._has_the_name(self._descriptor)
        except OSError:
            return False

    def _has_the_name(self, descriptor: int) -> bool:
        """Whether the file that is open is the one that lies there now."""
        return os.path.samestat(os.fstat(descriptor), os.stat(self._path))

    def _remove_stale_or_refuse(self, descriptor: int) -> None:
        """Of a lock that is a file only. One process of this machine at a time gets to look."""
        with _alone_on_this_machine(self._path), contextlib.suppress(FileNotFoundError):
            same = self._has_the_name(descriptor)
            if same and not _is_gone(_holder(descriptor)):
                raise self._held(descriptor, _BY_HAND)
            if same:
                self._path.unlink()
        os.close(descriptor)

    def _is_of_another_machine(self, descriptor: int) -> bool:
        """Whether the kernel's lock, which was free here, may be held elsewhere."""
        machine = _holder(descriptor).get("machine")
        return comes_by_fuse(self._path.parent) and machine not in (None, _machine())

    def _open(self) -> tuple[bool, int]:
        """Whether the file was made, and its descriptor."""
        while True:
            with contextlib.suppress(FileExistsError):
                return True, os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            with contextlib.suppress(FileNotFoundError):
                return False, os.open(self._path, os.O_RDWR | os.O_NOFOLLOW)

    def _held(self, descriptor: int, also: str = "") -> UserError:
        """The error that says who has the lock; closes the file."""
        holder = _holder(descriptor)
        os.close(descriptor)
        try:
            who = f"host {holder['host']}, pid {holder['pid']}, since {holder['since']}"
        except KeyError:
            who = "a process that has not said which"  # it has only just taken it
        return UserError(
            errors.NOT_WRITABLE,
            f"the model directory is locked by {who}",
            self._path,
            f"wait for it, or give another --model_dir{also}",
        )

    @classmethod
    def refuse_held(cls, directory: pathlib.Path) -> None:
        """Raises UserError 77 where another process has the directory now; changes nothing."""
        held = cls.__new__(cls)
        held._path = directory / FILE_NAME
        held._refuse_no_file()
        # One that may not be read is refused where the directory is taken.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            descriptor = os.open(held._path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise held._held(descriptor) from None
            except OSError:
                pass  # taking it will show
            os.close(descriptor)

    def release(self) -> None:
        """Lets others in; a file that somebody removed and another process made anew stays."""
        with contextlib.suppress(FileNotFoundError):
            if self._has_the_name(self._descriptor):
                self._path.unlink()
        os.close(self._descriptor)


def _holder(descriptor: int) -> dict:
    """What the file says; nothing where it says nothing."""
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _is_gone(holder: dict) -> bool:
    """Whether it is certain that the holder's process is over."""
    return holder.get("machine") == _machine() and holder.get("started") != _started(
        holder.get("pid")
    )


def _machine() -> str | None:
    """This boot of this machine, and the part of its processes that this one can see.

    None on systems without /proc, where nobody knows whether a process is over.
    """
    try:
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _started(pid: object) -> str | None:
    """When a process began, in ticks since the boot; None for one that is over."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()  # a name may have brackets
    return None if state in "ZX" else fields[18]


@contextlib.contextmanager
def _alone_on_this_machine(path: pathlib.Path) -> Iterator[None]:
    name = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:16]
    guard = os.path.join(tempfile.gettempdir(), f"resnet_tf-{os.getuid()}-{name}")
    with open(guard, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
