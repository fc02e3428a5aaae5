"""A run in a store that TensorFlow reaches by an address, such as gs://bucket/run.

A store of objects renames, appends and locks nothing. So a run works in a directory of this
machine, to the letter of all that holds there, and the store is its mirror: each commit is uploaded
whole, with `step_….unfinished` beside it until it is (see `naming`), and the other files after
it. A command begins with what is in the store, and never with what an earlier one left here.

What is missing here was not given up by that: a directory for temporary files may be cleaned by
anybody. Only what the run itself lets go of is removed from the store.
"""

import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator

import tensorflow as tf

from resnet_tf.checkpoint import naming
from resnet_tf.checkpoint.commit import MANIFEST
from resnet_tf.checkpoint.store import (
    COMMITS,
    commits,
    copy,
    download,
    names_in,
    reporting,
    write,
)
from resnet_tf.checkpoint.store_lock import FILE_NAME as LOCK
from resnet_tf.checkpoint.store_lock import StoreLock
from resnet_tf.errors import UserError


class Mirror:
    """A run in a store, and its directory on this machine.

    Args:
      address: of the run; it need not exist.
      lost: called, in another thread, when another process has taken the lock.
      say: is told in a sentence what is waited for.
      sleep: waits so many seconds.

    Attributes:
      directory: on this machine, between `open` and `close`.
    """

    def __init__(
        self,
        address: str,
        lost: Callable[[], None] = lambda: None,
        say: Callable[[str], None] = lambda sentence: None,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.address = address.rstrip("/")
        self._lock = StoreLock(f"{self.address}/{LOCK}", lost, say, sleep)
        # What the store has, as it was here when it was fetched or sent: a commit may be made anew.
        self._there: dict[str, tuple | None] = {}
        self._uploaded: dict[str, tuple | None] = {}
        self._let_go: set[str] = set()

    def open(self) -> None:
        """Takes the lock, and fetches all of the run.

        Raises:
          UserError: 77 where another process has it, 64 for an address that TensorFlow does not
            know how to reach, 74 where the store fails.
        """
        with reporting("cannot be read", self.address):
            self._lock.take()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="resnet_tf-run-"))
        try:
            with reporting("cannot be read", self.address):
                self._fetch()
        except BaseException:
            self._leave()
            raise

    def _fetch(self) -> None:
        for mark in names_in(self.address):
            if mark.endswith(naming.MARK):  # of a process that was killed as it sent a commit
                self._remove(mark.removesuffix(naming.MARK))
        for name in sorted(commits(self.address)):
            download(f"{self.address}/{COMMITS}/{name}", self.directory / COMMITS / name)
        self._there = self._commits_here()
        download(self.address, self.directory, passing={COMMITS, LOCK})
        self._uploaded = {name: _state(path) for name, path in self._files()}

    def push(self) -> None:
        """Brings the store up to date: new commits, then other files; then old commits go.

        Raises:
          UserError: 74 where the store fails; what was there stays, and the next one makes up.
            77 where another process has taken the run: nothing of it is touched.
        """
        with reporting("cannot be written", self.address):
            self._lock.refuse_lost()
            here = self._commits_here()
            for name in sorted(here):
                if self._is_made_anew(name, here[name]):
                    self._remove(name)
                    del self._there[name]
                if name not in self._there:
                    self._upload(name)
                    self._there[name] = here[name]
            for name, path in self._files():
                if self._uploaded.get(name) != (state := _state(path)):
                    copy(path, f"{self.address}/{name}")
                    self._uploaded[name] = state
            for name in sorted((self._let_go & self._there.keys()) - here.keys()):
                self._remove(name)
                del self._there[name]
            self._let_go.clear()

    def _is_made_anew(self, name: str, state: tuple | None) -> bool:
        """One whose manifest is gone was not: somebody has emptied its directory."""
        return state is not None and name in self._there and self._there[name] != state

    def let_go(self, names: Iterable[str]) -> None:
        """These commits are wanted no more; the next `push` removes those that are not here."""
        self._let_go |= set(names)

    def let_go_after(self, step: int) -> None:
        """The same for those of later steps."""
        steps = {name: naming.step_of(pathlib.PurePath(name)) for name in self._there}
        self.let_go(name for name, at in steps.items() if at is not None and at > step)

    def name_of(self, path: pathlib.Path) -> str:
        """The address of something in the directory."""
        return f"{self.address}/{path.relative_to(self.directory)}"

    def close(self) -> None:
        """Uploads what is not there yet, and gives up lock and directory.

        Raises:
          UserError: 74 where the store fails, 77 where another process has the run; then the
            directory stays, and is named.
        """
        try:
            self.push()
        except UserError as error:
            self._lock.release()
            remedy = f"what is not in the store yet is in {self.directory}"
            raise UserError(error.code, error.what, error.where, remedy) from error
        self._leave()

    def _leave(self) -> None:
        self._lock.release()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _commits_here(self) -> dict[str, tuple | None]:
        folder = self.directory / COMMITS
        names = os.listdir(folder) if folder.is_dir() else []
        whole = [name for name in names if not naming.is_passed_over(name)]
        return {name: _state(folder / name / MANIFEST) for name in whole}

    def _files(self) -> Iterator[tuple[str, pathlib.Path]]:
        """All but commits and the lock, by their names."""
        for path in sorted(self.directory.rglob("*")):
            name = path.relative_to(self.directory)
            if path.is_file() and name.parts[0] not in (COMMITS, LOCK):
                yield str(name), path

    def _upload(self, name: str) -> None:
        place, mark = self._place_and_mark(name)
        for file in sorted((self.directory / COMMITS / name).iterdir()):
            copy(file, f"{place}/{file.name}")
        tf.io.gfile.remove(mark)

    def _remove(self, name: str) -> None:
        place, mark = self._place_and_mark(name)
        tf.io.gfile.rmtree(place)
        tf.io.gfile.remove(mark)

    def _place_and_mark(self, name: str) -> tuple[str, str]:
        """Where a commit is or will be, and what says from now on that it is none."""
        place = f"{self.address}/{COMMITS}/{name}"
        tf.io.gfile.makedirs(f"{self.address}/{COMMITS}")
        mark = place + naming.MARK
        write(mark, naming.MEANING)
        tf.io.gfile.makedirs(place)
        return place, mark


def _state(path: pathlib.Path) -> tuple | None:
    """Which file it is; None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
