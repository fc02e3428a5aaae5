"""How a directory becomes a commit at once, and how it ceases to be one at once.

Where a rename is atomic, a commit is written as `step_….tmp-<id>` and renamed when it is whole, and
one that goes is renamed to `step_….trash-<id>` before its files are removed.

Object stores that are mounted as directories rename file by file. There `step_….unfinished`
beside a directory says that it is no commit: that file is made before the directory, and removed
once all is written; it is made again before a commit's files are removed. A store makes and removes
one file at once. (A file inside that says "whole" would do for writing, but a commit that lost it
could not be told from one that never was.)
"""

import contextlib
import os
import pathlib
import re
import shutil
import uuid

from resnet_tf.files import renames_at_once, sync, write_synced

_NAME = re.compile(r"step_([0-9]{9}|[1-9][0-9]{9,17})")  # as `path_of` makes them
_LEFT = re.compile(r"step_[0-9]+\.(tmp|trash)-[0-9a-f]{8}")
MARK, MEANING = ".unfinished", "the directory of this name is no commit\n"


def path_of(directory: pathlib.Path, step: int) -> pathlib.Path:
    """Of the commit of a step."""
    return directory / f"step_{step:09d}"


def step_of(path: pathlib.Path) -> int | None:
    """The step that a commit is named by; None for any other name."""
    named = _NAME.fullmatch(path.name)
    return int(named[1]) if named else None


def is_unfinished(path: pathlib.Path) -> bool:
    """Whether a directory that has a commit's name is none yet, or no more."""
    return _mark(path).exists()


def is_there(path: pathlib.Path) -> bool:
    """Whether something is there under this name, and not unfinished."""
    return path.exists() and not is_unfinished(path)


def is_passed_over(name: str) -> bool:
    """Whether a name is that of no commit yet, or of none any more, or of what says so."""
    stem = pathlib.PurePath(name.removesuffix(MARK))
    return _LEFT.fullmatch(name) is not None or (name != stem.name and step_of(stem) is not None)


def was_begun(path: pathlib.Path) -> bool:
    """Whether it was being written when its process ended, and so never was a commit."""
    return ".tmp-" in path.name or is_unfinished(path)


def begin(path: pathlib.Path) -> pathlib.Path:
    """Makes the directory in which the commit `path` is to be written."""
    if is_unfinished(path):
        abandon(path)  # of a process that was killed
    if renames_at_once(path.parent):
        place = _other_name(path, "tmp")
    else:
        place = path
        write_synced(_mark(path), MEANING)
    place.mkdir()
    return place


def finish(place: pathlib.Path, path: pathlib.Path) -> None:
    """What was written in `place` is the commit `path` from now on."""
    if place == path:
        _mark(path).unlink()
    else:
        os.rename(place, path)


def abandon(place: pathlib.Path) -> None:
    """Removes what `begin` made, as far as the disk lets it; the rest stays unfinished."""
    shutil.rmtree(place, ignore_errors=True)
    if not place.exists():
        with contextlib.suppress(OSError):
            _mark(place).unlink()


def retract(path: pathlib.Path) -> None:
    """The commit is none from now on, and its step can be written again; `clear` removes it."""
    if renames_at_once(path.parent):
        os.rename(path, _other_name(path, "trash"))
    else:
        write_synced(_mark(path), MEANING)
        sync(path.parent)


def set_aside(path: pathlib.Path) -> pathlib.Path:
    """Renames a damaged commit, so that its step can be written again and nothing is lost."""
    aside = _other_name(path, "corrupt")
    os.rename(path, aside)
    return aside


def clear(directory: pathlib.Path) -> None:
    """Removes what is no commit: unfinished ones and those that were retracted."""
    for path in directory.iterdir():
        if _LEFT.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)
        elif is_passed_over(path.name):
            abandon(path.with_suffix(""))


def _mark(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(path.name + MARK)


def _other_name(path: pathlib.Path, word: str) -> pathlib.Path:
    return path.with_name(f"{path.name}.{word}-{uuid.uuid4().hex[:8]}")
