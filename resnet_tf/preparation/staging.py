"""The directory beside the output in which it grows, and from which a later start goes on.

photos.tmp-1f0c9a7be5d2/      named by the fingerprint of the plan
  lock                        held while a process works here
  finished.jsonl              a line for each shard that is whole and on the disk
  data/                       becomes photos/ in one rename
"""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import threading
from collections.abc import Iterator

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.files import make_directory, sha256_of, sync

_NAME = ".tmp-"
_TO_GO_ON_AFTER = (errors.INTERRUPTED, errors.IO_ERROR)


class Staging:
    """What is there of an output that is not whole yet; made by `opened`."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        self.data = directory / "data"
        self._finished = directory / "finished.jsonl"
        self._noting = threading.Lock()

    def recover(self) -> dict[str, dict]:
        """Notes of the shards that are whole, by file; anything else that lies here goes."""
        self.data.mkdir(exist_ok=True)
        found = {}
        for line in self._lines():
            path = self.data / line["file"]
            if path.is_file() and sha256_of(path) == line["sha256"]:
                found[line["file"]] = line
        for path in self.data.iterdir():
            if path.name not in found:
                path.unlink()
        return found

    def _lines(self) -> Iterator[dict]:
        if not self._finished.exists():
            return
        for text in self._finished.read_text(encoding="utf-8", errors="replace").split("\n"):
            with contextlib.suppress(ValueError):  # a last line that a kill cut short
                yield json.loads(text)

    def note(self, line: dict) -> None:
        """Keeps the note of a shard that is whole and on the disk."""
        with self._noting, open(self._finished, "a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(line))  # behind a line that a kill cut short
            file.flush()
            os.fsync(file.fileno())

    def has_finished_shards(self) -> bool:
        """Whether a later start would have something to go on from."""
        return any(True for _ in self._lines())

    def publish(self, output: pathlib.Path) -> None:
        """Gives the data their final name; 73 where something has got it by now."""
        sync(self.data)
        refuse_existing(output)
        os.replace(self.data, output)
        sync(output.parent)


@contextlib.contextmanager
def opened(output: pathlib.Path, fingerprint: str) -> Iterator[Staging]:
    """The staging directory of an output, locked while the block runs.

    It stays where shards are finished and the block is interrupted or the disk fails; else it
    goes, after success as after an error, and so do empty parents that were made for it.

    Raises:
      UserError: 73 where it cannot be made, or another process is at work in it.
    """
    directory = _directory(output, fingerprint)
    made = [parent for parent in directory.parents if not parent.exists()]
    try:
        make_directory(directory)
        lock = _lock(directory)
    except OSError as error:
        raise _cannot_create(output, error) from error
    staging, keep = Staging(directory), False
    try:
        refuse_existing(output)  # by now, another process may have made it
        yield staging
        made.clear()  # the output may be reached through them
    except (KeyboardInterrupt, UserError) as error:
        worth_keeping = getattr(error, "code", errors.INTERRUPTED) in _TO_GO_ON_AFTER
        keep = worth_keeping and staging.has_finished_shards()
        raise
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)
            for parent in made:  # those that stayed empty
                with contextlib.suppress(OSError):
                    parent.rmdir()
        os.close(lock)


def _cannot_create(output: pathlib.Path, error: OSError) -> UserError:
    what = f"cannot create the output: {error.strerror}"
    return UserError(errors.CANNOT_CREATE, what, output, "choose another place")


def _directory(output: pathlib.Path, fingerprint: str) -> pathlib.Path:
    return output.with_name(f"{output.name}{_NAME}{fingerprint[:12]}")


def _lock(directory: pathlib.Path) -> int:
    """An open descriptor that holds the lock until it is closed, or the process ends."""
    path = directory / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another process may have ended, and taken the file away, between the two lines above.
        mine = os.fstat(descriptor).st_ino == os.stat(path).st_ino
    except (BlockingIOError, FileNotFoundError):
        mine = False
    if not mine:
        os.close(descriptor)
        raise UserError(
            errors.CANNOT_CREATE,
            "another process is preparing this",
            directory,
            "wait for it to end",
        )
    return descriptor


def refuse_existing(output: pathlib.Path) -> None:
    """Raises UserError 73 where something has the output's name."""
    try:
        if output.exists() or output.is_symlink():
            what, remedy = "the output exists", "choose another name"
            raise UserError(errors.CANNOT_CREATE, what, output, remedy)
    except OSError as error:  # a name that is too long, say
        raise _cannot_create(output, error) from error


def refuse_small_disk(output: pathlib.Path, needed: int) -> None:
    """Raises UserError 74 where fewer than `needed` bytes and 5 % more are free."""
    place = next(parent for parent in output.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(place).free
    if needed * 1.05 > free:
        raise UserError(
            errors.IO_ERROR,
            f"needs {needed * 1.05 / 1e9:.3g} GB, {free / 1e9:.3g} GB are free",
            place,
            "free some space, or choose another disk for the output",
        )


def bytes_there(output: pathlib.Path, fingerprint: str) -> int:
    """Bytes of shards that an earlier start has left."""
    data = _directory(output, fingerprint) / "data"
    try:
        return sum(path.stat().st_size for path in data.iterdir())
    except OSError:  # not there, or no longer there; what else is wrong shows when it is made
        return 0


def others(output: pathlib.Path, fingerprint: str) -> list[pathlib.Path]:
    """Staging directories of the same output that another command has left, or still uses."""
    mine = _directory(output, fingerprint).name
    if not output.parent.is_dir():
        return []
    return sorted(
        path
        for path in output.parent.iterdir()
        if path.name.startswith(output.name + _NAME) and path.name != mine
    )
