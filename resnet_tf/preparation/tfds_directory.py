"""The directory of a set of TensorFlow Datasets: found, or made by TFDS."""

import contextlib
import importlib
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence

from resnet_tf import errors
from resnet_tf.errors import UserError

_INFO = "dataset_info.json"


def import_builders(modules: Sequence[str]) -> None:
    """Imports modules whose builders TFDS then knows by name.

    Raises:
      UserError: 66 where one cannot be imported.
    """
    for name in modules:
        try:
            with _stdout_is_for_results():
                importlib.import_module(name)
        except Exception as error:  # the user's own code: anything
            raise UserError(
                errors.MISSING_INPUT,
                f"cannot import {name}: {first_line(error)}",
                "--imports",
                "name modules, and put the folder that they are in into PYTHONPATH",
            ) from error


def found(source: str) -> pathlib.Path | None:
    """The prepared directory of a set, where there is one.

    Args:
      source: a directory, or a name as TFDS takes it, of which the newest version is taken.

    Raises:
      UserError: 66 where the source is a directory that is not there, or several sets.
    """
    path = pathlib.Path(source).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or source.startswith((".", "~")):
        raise missing(path, "no such directory")
    return _prepared(_home(), source)


def _home() -> pathlib.Path:
    """Where TFDS keeps prepared sets."""
    place = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    if "://" in place:
        remedy = "name a directory, and copy a set that lies in a store into it"
        raise missing("TFDS_DATA_DIR", f"sets are read from the disk, not from {place}", remedy)
    return pathlib.Path(place).expanduser()


def _prepared(home: pathlib.Path, source: str) -> pathlib.Path | None:
    """The newest version of a set on the disk."""
    name, _, version = source.partition(":")
    for configs in ("", "*/"):
        try:
            papers = list((home / name).glob(f"{configs}{version or '*'}/{_INFO}"))
        except (ValueError, NotImplementedError):  # not what a version looks like
            return None
        # One that was killed may have left incomplete.XXXXXX_1.0.0, with some of its papers.
        versions = [p.parent for p in papers if not p.parent.name.startswith("incomplete.")]
        several = sorted({str(path.parent.relative_to(home)) for path in versions})
        if len(several) > 1:
            raise missing(home / name, f"there is more than one: {', '.join(several)}")
        if versions:
            return max(versions, key=_version)
    return None


def _version(path: pathlib.Path) -> list[int]:
    return [int(part) if part.isdecimal() else -1 for part in path.name.split(".")]


def make(source: str, *, offline: bool = False, by_beam=None) -> pathlib.Path:
    """The directory that TFDS downloads and prepares a set into, whole or not at all.

    Args:
      source: the set's name.
      offline: refuse that.
      by_beam: a `DownloadConfig` for Apache Beam.

    Raises:
      UserError: 66 where TFDS cannot, with its reason.
    """
    import tensorflow_datasets as tfds

    home = _home()
    if offline:
        raise missing(home / source.replace(":", "/"), f"there is no prepared {source}")
    try:
        with _stdout_is_for_results():
            builder = tfds.builder(source, data_dir=home)
            builder.download_and_prepare(download_config=by_beam)
    except Exception as error:  # anything: a download, a checksum, the builder's own code
        if _was_interrupted(error):
            raise KeyboardInterrupt from error
        what = f"TFDS cannot prepare it: {first_line(error)}"
        if not by_beam and (isinstance(error, EOFError) or "apache_beam" in str(error)):
            # EOFError: TFDS asks at the keyboard whether one machine is to generate so much.
            remedy = "pip install -e '.[beam]' and data/prepare.py --source=tfds --beam"
            raise missing(source, f"{what} (Apache Beam generates it)", remedy) from error
        raise missing(source, what) from error
    return pathlib.Path(builder.data_dir)


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether it comes from Ctrl-C, of which Beam makes a RuntimeError."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


@contextlib.contextmanager
def _stdout_is_for_results() -> Iterator[None]:
    """What is printed meanwhile goes to stderr, also that of processes that Beam starts."""
    sys.stdout.flush()
    with contextlib.redirect_stdout(sys.stderr):
        kept = os.dup(1)
        os.dup2(2, 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def first_line(error: Exception) -> str:
    """What an error says first; last where it says a traceback, as Beam's workers do."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def missing(where: object, what: str, remedy: str = "") -> UserError:
    """The error for a set, or a part of it, that is not there."""
    usual = "name a set of TFDS that is prepared or can be downloaded, or its prepared directory"
    return UserError(errors.MISSING_INPUT, what, where, remedy or usual)
