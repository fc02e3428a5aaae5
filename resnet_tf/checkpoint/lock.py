"""One writer a model directory.

The lock is the kernel's (`flock`) on a file `lock` in the directory, so it ends with its process,
however that ends, and no stale one is ever left. The file says who holds it.

Where a file system has no such lock, making the file is the lock. A process that is killed then
leaves it behind, and whether that process is gone a person must say, by removing the file: on a
shared disk nobody can see the processes of another machine.
"""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import socket
import time

from resnet_tf import errors
from resnet_tf.errors import UserError

FILE_NAME = "lock"
_NO_FLOCK = (errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL)


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
        self._descriptor = self._take()
        holder = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
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
                raise self._held(descriptor, "; if that is gone, remove this file") from None
            # Whoever had it may have removed the file between the two calls.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(self._path)):
                    return descriptor
            os.close(descriptor)

    def _open(self) -> tuple[bool, int]:
        """Whether the file was made, and its descriptor."""
        while True:
            with contextlib.suppress(FileExistsError):
                return True, os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            with contextlib.suppress(FileNotFoundError):
                return False, os.open(self._path, os.O_RDWR)

    def _held(self, descriptor: int, also: str = "") -> UserError:
        """The error that says who has the lock; closes the file."""
        try:
            holder = json.loads(os.pread(descriptor, 4096, 0))
            who = f"host {holder['host']}, pid {holder['pid']}, since {holder['since']}"
        except (ValueError, KeyError, TypeError):
            who = "a process that has not said which"  # it has only just taken it
        finally:
            os.close(descriptor)
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
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            descriptor = os.open(held._path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise held._held(descriptor) from None
            except OSError:
                pass  # taking it will show
            os.close(descriptor)

    def release(self) -> None:
        """Lets others in."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        os.close(self._descriptor)
