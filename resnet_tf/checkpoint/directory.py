"""What lies in a directory of commits: which one is the newest, and which go."""

import pathlib
from collections.abc import Callable

from resnet_tf import errors, faults
from resnet_tf.checkpoint import naming
from resnet_tf.checkpoint.commit import MANIFEST, Commit, verify
from resnet_tf.errors import UserError


def is_named_as_one(path: pathlib.Path) -> bool:
    """Whether a path is a commit's by its name, or has what only commits have."""
    return (path / MANIFEST).exists() or naming.step_of(path) is not None


def commits(directory: pathlib.Path) -> list[pathlib.Path]:
    """Directories that are named as commits, the newest step first, unverified."""
    if not directory.is_dir():
        return []
    steps = {path: naming.step_of(path) for path in directory.iterdir()}
    found = [
        path
        for path, step in steps.items()
        if step is not None and path.is_dir() and naming.is_there(path)
    ]
    return sorted(found, key=steps.get, reverse=True)


def newest(directory: pathlib.Path, damaged: list[tuple[pathlib.Path, str]]) -> Commit | None:
    """The highest step that verifies, or None where there is no commit at all.

    Args:
      directory: of the commits.
      damaged: gets (path, reason) of each newer one that does not verify.

    Raises:
      UserError: 78 where there are commits and none verifies: never start again from 0 by
        accident.
    """
    paths = commits(directory)
    for path in paths:
        try:
            return verify(path)
        except ValueError as error:
            if not naming.is_there(path):  # a run that goes on has swept it, and made newer ones
                return newest(directory, damaged)
            damaged.append((path, str(error)))
    if paths:
        raise UserError(
            errors.MISMATCH,
            f"none of the {len(paths)} commits can be used",
            directory,
            "restore one of them, or choose another --model_dir to start anew",
            details="\n".join(f"  {path.name}: {reason}" for path, reason in damaged),
        )
    return None


def before(directory: pathlib.Path, step: int) -> Commit:
    """The newest commit of fewer than `step` steps that verifies; where there is none, of `step`.

    Those that are passed over are set aside where they are damaged, and retracted where not; all
    once it is certain which one is given.

    Raises:
      UserError: 78 where none verifies; then nothing was changed.
    """
    sound, damaged = [], []
    for path in commits(directory):
        try:
            sound.append(verify(path))
        except ValueError:
            damaged.append(path)
        if sound and sound[-1].step < step:
            break
    if not sound:
        what = "there is no commit to go back to"
        raise UserError(errors.MISMATCH, what, directory, "start in another directory")
    for path in damaged:
        naming.set_aside(path)
    *passed, found = sound
    for commit in passed:
        naming.retract(commit.path)
    return found


def sweep(
    directory: pathlib.Path,
    keep: int,
    stays: Callable[[pathlib.Path], bool] = lambda path: False,
) -> None:
    """Removes all but the `keep` newest commits, and what an interrupted run left half done.

    To be called by the one writer of a directory, after a commit has verified. Each is retracted
    first, so that nothing half deleted looks like a commit.

    Args:
      directory: of the commits.
      keep: number of the newest that stay.
      stays: whether an older one does, by its path.
    """
    faults.at("sweep.begin")
    for path in commits(directory)[keep:]:
        if not stays(path):
            naming.retract(path)
            faults.at("sweep.mid")
    if directory.is_dir():
        naming.clear(directory)
