"""A commit: the state of a run at one step, as a directory that is whole or not there.

    checkpoints/step_000000900/
        variables.index, variables.data-00000-of-00001   tensors by name (tf.train.load_checkpoint)
        manifest.json                                     what they are, and every file's sha256

Every file is on the disk before the manifest, and the manifest before the directory becomes
a commit, see `naming`. So a commit is complete unless a disk damaged it, and that shows:
`verify` reads every byte.

A step is never written twice and nothing is deleted before a newer commit verifies.
"""

import dataclasses
import errno
import hashlib
import json
import os
import pathlib
import stat
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from resnet_tf import errors, faults
from resnet_tf.checkpoint import naming
from resnet_tf.checkpoint.digest import digest_of
from resnet_tf.errors import UserError, plain
from resnet_tf.files import make_directory, sha256_of, sync, write_synced

MANIFEST = "manifest.json"
FORMAT_VERSION = 1
_PREFIX = "variables"
_MAX_MANIFEST_BYTES = 16 * 2**20


@dataclasses.dataclass(frozen=True)
class Commit:
    """A commit on disk whose every byte was checked.

    Attributes:
      path: its directory.
      step: number of finished training steps.
      manifest: the fields of its `manifest.json`.
    """

    path: pathlib.Path
    step: int
    manifest: dict

    @property
    def variables(self) -> str:
        """What `tf.train.load_checkpoint` takes."""
        return str(self.path / _PREFIX)


def write(
    directory: pathlib.Path, step: int, tensors: Mapping[str, np.ndarray], fields: dict
) -> Commit:
    """Commits `tensors` as the state after `step` steps, and reads the commit back.

    Args:
      directory: of all commits; made where it is missing.
      step: its name.
      tensors: by name.
      fields: JSON for the manifest, beside files, step and digest, which are added here.

    Raises:
      UserError: 76 where a value is not finite (nothing is written), 74 where the disk
        fails; earlier commits stay as they are.
    """
    path = naming.path_of(directory, step)
    if naming.is_there(path):
        return _same_or_refuse(path, tensors)
    _refuse_non_finite(tensors, step)
    place = None
    try:
        make_directory(directory)
        place = naming.begin(path)
        faults.at("save.begin")
        # Hashing takes as long as writing, and another core can do it.
        with ThreadPoolExecutor(1) as beside:
            digest = beside.submit(digest_of, tensors)
            _write_tensors(place, tensors)
            files = _synced(place, beside)
        manifest = {"format_version": FORMAT_VERSION, "step": step, **fields}
        manifest |= {"digest": digest.result(), "files": files}
        faults.at("save.manifest")
        write_synced(place / MANIFEST, _sealed(manifest))
        sync(place)
        faults.at("save.rename")
        naming.finish(place, path)
        place = None  # nothing takes away what is finished
        faults.at("save.renamed")
        sync(directory)
    except (OSError, tf.errors.OpError) as error:
        if place:
            naming.abandon(place)
        raise _failed(path, f"saving step {step} failed: {error}") from error
    try:
        return verify(path, known=files)
    except ValueError as error:
        raise _failed(path, f"step {step} does not read back as written: {error}") from error


def _write_tensors(place: pathlib.Path, tensors: Mapping[str, np.ndarray]) -> None:
    names = sorted(tensors)
    tf.raw_ops.SaveV2(
        prefix=str(place / _PREFIX),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tensors[name] for name in names],
    )
    faults.at("save.data")


def _synced(place: pathlib.Path, beside: ThreadPoolExecutor) -> dict[str, dict]:
    """Waits until the files are on the disk; size and sha256 of each, read back, by its name."""
    paths = sorted(place.iterdir())
    hashes = [beside.submit(sha256_of, path) for path in paths]
    for path in paths:
        sync(path)
        faults.at("save.sync")
    return {
        path.name: {"bytes": path.stat().st_size, "sha256": found.result()}
        for path, found in zip(paths, hashes)
    }


def _same_or_refuse(path: pathlib.Path, tensors: Mapping[str, np.ndarray]) -> Commit:
    """A step is never written twice: what is there must be what would be written."""
    try:
        there = verify(path)
    except ValueError as error:
        raise _failed(path, f"something else is in the place of the commit: {error}") from error
    if there.manifest["digest"] != digest_of(tensors):
        raise _failed(path, "another state is committed under this step")
    return there


def _failed(path: pathlib.Path, what: str) -> UserError:
    remedy = "see that the disk has room and can be written; the same command goes on"
    return UserError(errors.IO_ERROR, what, path, remedy)


def _refuse_non_finite(tensors: Mapping[str, np.ndarray], step: int) -> None:
    for name, array in tensors.items():
        # bfloat16 is of NumPy's kind "V", and not known to isfinite.
        if array.dtype.kind in "fV" and not np.isfinite(array.astype(np.float64)).all():
            raise UserError(
                errors.NUMERICAL,
                f"{name} is not finite, so step {step} is not saved",
                f"step {step}",
                "start anew in another --model_dir with a lower --learning_rate or more --warmup",
            )


def verify(path: pathlib.Path, known: Mapping[str, dict] | None = None) -> Commit:
    """Checks every byte of a commit.

    Args:
      path: of it.
      known: size and sha256 of the files, by name, where they have just been read; then only
        the manifest is.

    Raises:
      ValueError: says what is wrong with it.
    """
    try:
        return _verify(path, known or {})
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"{MANIFEST} is malformed: {type(error).__name__} {error}"
        raise ValueError(plain(what)) from error
    except ValueError as error:
        raise ValueError(plain(error)) from error  # a stranger chose the names in it


def _verify(path: pathlib.Path, known: Mapping[str, dict]) -> Commit:
    if naming.is_unfinished(path):
        raise ValueError("it is not finished")
    text = read_manifest(path)
    manifest = json.loads(text)
    seal = manifest.pop("seal", None)
    # Byte for byte, so that a flipped bit anywhere in the file shows.
    if seal is None or _sealed(manifest) != text:
        raise ValueError(f"{MANIFEST} was changed after it was written")
    if manifest["format_version"] != FORMAT_VERSION:
        raise ValueError(f"format version {manifest['format_version']} is not {FORMAT_VERSION}")
    if type(manifest["step"]) is not int or manifest["step"] < 0:
        raise ValueError(f"{MANIFEST} has no step")
    if naming.step_of(path) not in (None, manifest["step"]):
        raise ValueError(f"it is a copy of step {manifest['step']}")
    if f"{_PREFIX}.index" not in manifest["files"]:
        raise ValueError(f"{MANIFEST} lists no variables")
    for name in _names_in(path):
        if name.startswith(_PREFIX) and name not in manifest["files"]:
            raise ValueError(f"{name} is not in {MANIFEST}")  # TensorFlow would read it
    for name, expected in manifest["files"].items():
        if pathlib.PurePath(name).name != name:
            raise ValueError(f"{MANIFEST} points outside its directory")
        if known.get(name) == expected:
            continue
        try:
            size = _size_of(path / name)
            if size != expected["bytes"] or sha256_of(path / name) != expected["sha256"]:
                raise ValueError(f"{name} fails its checksum")
        except OSError as error:
            raise _unreadable(path / name, error) from error
    return Commit(path, manifest["step"], manifest)


def _sealed(manifest: dict) -> str:
    """The manifest's text: one line of canonical JSON a field, and their sha256 at the end."""
    body = json.dumps(manifest, indent=1, allow_nan=False)
    seal = hashlib.sha256(body.encode()).hexdigest()
    return json.dumps({**manifest, "seal": seal}, indent=1) + "\n"


def read_manifest(path: pathlib.Path) -> str:
    """The text of a commit's manifest, as it is.

    Raises:
      ValueError: where it is none, or as large as none is.
      UserError: 74 where it cannot be read.
    """
    try:
        if _size_of(path / MANIFEST) > _MAX_MANIFEST_BYTES:
            raise ValueError(f"{MANIFEST} is larger than {_MAX_MANIFEST_BYTES} bytes")
        return (path / MANIFEST).read_bytes().decode()  # no line end is translated
    except OSError as error:
        raise _unreadable(path / MANIFEST, error) from error


def _names_in(path: pathlib.Path) -> list[str]:
    try:
        return os.listdir(path)
    except OSError as error:  # a run that goes on may sweep it just now
        raise _unreadable(path, error) from error


def _size_of(path: pathlib.Path) -> int:
    """Bytes of a file, which must be one: a link could lead outside the commit."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path.name} is no regular file")
    return status.st_size


def _unreadable(path: pathlib.Path, error: OSError) -> Exception:
    """A missing file or a bad disk is damage; anything else says nothing about the commit."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO):
        return ValueError(f"{path.name}: {error.strerror}")
    what = f"the commit cannot be read: {error.strerror}"
    return UserError(errors.IO_ERROR, what, path, "mend that; nothing was changed")
