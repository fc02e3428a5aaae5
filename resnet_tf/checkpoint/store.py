"""Stores that TensorFlow reaches by an address, such as gs://bucket/run, and their readers."""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import uuid
from collections.abc import Collection, Iterator

import tensorflow as tf

from resnet_tf import errors
from resnet_tf.checkpoint import naming
from resnet_tf.checkpoint.commit import verify
from resnet_tf.errors import UserError
from resnet_tf.files import cache_directory

COMMITS = "checkpoints"


def is_address(path: str | os.PathLike) -> bool:
    """Whether a path is the address of a store."""
    return re.match(r"[a-z][a-z0-9]*://", os.fspath(path)) is not None


def fetched(address: str) -> pathlib.Path:
    """Fetches the newest commit that verifies, and the run's journal, into the cache.

    Where none verifies they are all there, so that the reader of the directory says so.

    Args:
      address: of a run, or of one commit.

    Returns:
      The run's directory in the cache, or the commit's.

    Raises:
      UserError: 66 where there is none, 64 and 74 as of `Mirror`.
    """
    address = address.rstrip("/")
    run, _, name = address.rpartition(f"/{COMMITS}/")
    if naming.step_of(pathlib.PurePath(name)) is None:
        run, name = address, ""
    place = cache_directory() / "runs" / hashlib.sha256(run.encode()).hexdigest()[:16]
    with reporting("cannot be read", run), _one_at_a_time(place):
        fetched_ones = _fetch_until_one_verifies(run, name, place / COMMITS)
        if not fetched_ones:
            what = f"there is no {'such ' if name else ''}commit"
            raise UserError(errors.MISSING_INPUT, what, address, "give another --checkpoint")
        download(run, place, only={"journal.jsonl"})
    if name:
        return place / COMMITS / name
    for path in (place / COMMITS).iterdir():
        if path.name not in fetched_ones:
            shutil.rmtree(path, ignore_errors=True)
    return place


def _fetch_until_one_verifies(run: str, name: str, place: pathlib.Path) -> list[str]:
    """Names of those that were fetched, of all or of `name` only, the newest first."""
    tried: list[str] = []
    while True:
        there = {naming.step_of(pathlib.PurePath(n)): n for n in commits(run) if name in ("", n)}
        left = sorted(step for step, n in there.items() if step is not None and n not in tried)
        if not left:
            return tried
        chosen, anew = there[left[-1]], True
        try:
            anew = _fetch_commit(f"{run}/{COMMITS}/{chosen}", place / chosen)
            verify(place / chosen)
            return [*tried, chosen]
        except ValueError:
            if anew:
                tried.append(chosen)  # damaged there: the one before
            else:
                shutil.rmtree(place / chosen)  # damaged here
        except tf.errors.NotFoundError:
            if chosen in commits(run):  # else a run that goes on has swept it
                raise


def _fetch_commit(address: str, place: pathlib.Path) -> bool:
    """Whether it was fetched: the same commit that was fetched before is not fetched again."""
    with tf.io.gfile.GFile(f"{address}/manifest.json", "rb") as file:
        manifest = file.read()
    known = place / "manifest.json"
    if known.is_file() and known.read_bytes() == manifest:
        return False
    shutil.rmtree(place, ignore_errors=True)
    temporary = place.with_name(f"{place.name}.tmp-{uuid.uuid4().hex[:8]}")
    try:
        download(address, temporary)
        os.rename(temporary, place)
        return True
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _one_at_a_time(place: pathlib.Path) -> Iterator[None]:
    """Of the readers of this machine, which share what they fetch."""
    place.mkdir(parents=True, exist_ok=True)
    with open(place / "fetching", "w") as file:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def reporting(what: str, address: str) -> Iterator[None]:
    """What a store says against it, as an error of ours: 64 or 74."""
    try:
        yield
    except tf.errors.UnimplementedError as error:
        what = f"TensorFlow has no way to this store: {errors.plain(error.message)}"
        remedy = "give a directory, or an address that tf.io.gfile knows"
        raise UserError(errors.BAD_FLAGS, what, address, remedy) from error
    except tf.errors.OpError as error:
        what = f"the store {what}: {errors.plain(error.message)}"
        remedy = "see that it can be reached; the same command goes on"
        raise UserError(errors.IO_ERROR, what, address, remedy) from error


def commits(address: str) -> list[str]:
    """Names of what is whole in a run's directory of commits, and of what is set aside."""
    names = names_in(address)
    return [n for n in names if f"{n}{naming.MARK}" not in names and not naming.is_passed_over(n)]


def names_in(address: str) -> set[str]:
    """All names in a run's directory of commits."""
    place = f"{address}/{COMMITS}"
    if not tf.io.gfile.exists(place):  # which raises where there is no way to the store
        return set()
    return {name.rstrip("/") for name in tf.io.gfile.listdir(place)}


def download(
    address: str,
    place: pathlib.Path,
    passing: Collection[str] = (),
    only: Collection[str] | None = None,
) -> None:
    """Fetches all files below an address; `passing` and `only` are names at its top."""
    place.mkdir(parents=True, exist_ok=True)
    for name in (name.rstrip("/") for name in tf.io.gfile.listdir(address)):
        leads_away = name in ("", ".", "..") or "/" in name
        if leads_away or name in passing or (only is not None and name not in only):
            continue
        if tf.io.gfile.isdir(f"{address}/{name}"):
            download(f"{address}/{name}", place / name)
        else:
            tf.io.gfile.copy(f"{address}/{name}", os.fspath(place / name), overwrite=True)


def copy(path: pathlib.Path, address: str) -> None:
    """Uploads a file; raises tf.errors.DataLossError where fewer bytes arrive."""
    tf.io.gfile.makedirs(address.rpartition("/")[0])
    size = path.stat().st_size
    tf.io.gfile.copy(os.fspath(path), address, overwrite=True)
    if tf.io.gfile.stat(address).length < size:  # a journal may have grown meanwhile
        raise tf.errors.DataLossError(None, None, f"{address} is shorter than what was sent")


def write(address: str, text: str) -> None:
    """A small file, which appears with all of the text."""
    with tf.io.gfile.GFile(address, "w") as file:
        file.write(text)
