"""Commits for readers, which take no lock and may be slower than the run that sweeps them."""

import functools
import os
import pathlib
import sys
from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

from resnet_tf import errors
from resnet_tf.checkpoint import naming, store
from resnet_tf.checkpoint.commit import Commit, verify
from resnet_tf.checkpoint.directory import is_named_as_one, newest
from resnet_tf.errors import UserError, plain

Made = TypeVar("Made")
_LOOKS = 5


def find(path: str | os.PathLike) -> Commit:
    """The commit that a `--checkpoint` means: one commit, or the newest of a model directory.

    Either may be in a store; then it is fetched first, see `store.fetched`. Newer commits that are
    damaged are named on stderr.

    Raises:
      UserError: 66 where there is nothing, 78 where nothing verifies.
    """
    path = store.fetched(path) if store.is_address(path) else pathlib.Path(path)
    if is_named_as_one(path):
        try:
            return verify(path)
        except ValueError as error:
            code = errors.MISMATCH if path.exists() else errors.MISSING_INPUT
            raise UserError(
                code, f"the commit cannot be used: {error}", path, "choose another one"
            ) from error
    # A listing that is made while one commit goes and the next comes may show neither.
    for directory in (path / "checkpoints", path) * _LOOKS:
        damaged: list = []
        commit = newest(directory, damaged)
        for passed, reason in damaged:
            _say_once(f"{passed} is damaged ({reason}); taking {commit.path.name}")
        if commit:
            return commit
    raise UserError(
        errors.MISSING_INPUT,
        "there is no commit" if path.is_dir() else "it is no directory that exists",
        path,
        "give --checkpoint=MODEL_DIR or one of its checkpoints/step_…",
    )


@functools.cache
def _say_once(sentence: str) -> None:
    print(plain(sentence), file=sys.stderr, flush=True)


def read(path: str | os.PathLike, use: Callable[[Commit], Made]) -> Made:
    """What `use` makes of the commit that `find` gives.

    A run that goes on may sweep that commit while it is read. Then it has made a newer one, and
    `use` is called again with that; so it may run more than once, but not for ever, since a run
    sweeps no faster than it saves.

    Args:
      path: one commit, which is taken or nothing is, or a model directory.
      use: reads the commit's tensors.

    Raises:
      UserError: as of `find`; and what `use` raises over a commit that is still there.
    """
    while True:
        commit = find(path)
        try:
            return use(commit)
        except (UserError, OSError, ValueError, tf.errors.OpError):
            if naming.is_there(commit.path) or is_named_as_one(pathlib.Path(path)):
                raise
