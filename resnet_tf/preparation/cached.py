"""`--data_dir=tfds:NAME`: a TFDS data set, prepared once into the cache."""

import hashlib
import json
import os
import pathlib
import re
import tempfile
from collections.abc import Callable

from resnet_tf import errors
from resnet_tf.errors import UserError, bad_flag
from resnet_tf.files import cache_directory
from resnet_tf.preparation import tfds
from resnet_tf.preparation.writer import write_dataset

PREFIX = "tfds:"


def directory_of(data_dir: str, *, say: Callable[[str], None]) -> str:
    """The directory of records that `--data_dir` means.

    "tfds:mnist", "tfds:mnist:3.0.1" and "tfds:/path/to/prepared" are prepared on first use
    into `datasets/` of the cache directory (`RESNET_TF_CACHE`) and found there afterwards,
    without TFDS or the network. A name without a version stays with the version that it found
    first; a path is prepared anew when a file in it has changed. Anything else is a directory
    already and comes back as it is.

    Several processes may ask at once: each prepares for itself, and the first to be ready is
    taken by all. A process that is killed leaves an `incomplete-*` folder, which may be deleted.

    Args:
      data_dir: the flag.
      say: takes a line for people.

    Raises:
      UserError: as `tfds.listing` and `write_dataset`; 73 where the cache cannot be written.
    """
    if not data_dir.startswith(PREFIX):
        return data_dir
    source = data_dir[len(PREFIX) :]
    if not source:
        raise bad_flag("data_dir", f"must name a set after {PREFIX}")
    final = cache_directory() / "datasets" / _name(source)
    if not final.is_dir():
        say(f"{data_dir}: preparing it once, into {final}")
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="incomplete-", dir=final.parent) as temporary:
                _prepare(source, pathlib.Path(temporary, "data"), final)
        except OSError as error:
            raise UserError(
                errors.CANNOT_CREATE,
                f"cannot write the cache: {error.strerror}",
                final,
                "set RESNET_TF_CACHE to a directory with space",
            ) from error
    return str(final)


def _prepare(source: str, temporary: pathlib.Path, final: pathlib.Path) -> None:
    write_dataset(temporary, tfds.listing(source, offline=False), seed=0)
    try:
        os.rename(temporary, final)
    except OSError:
        if not final.is_dir():  # otherwise another process was first, and its data is as good
            raise


def _name(source: str) -> str:
    """The data set's directory in the cache."""
    path = pathlib.Path(source).expanduser()
    if not path.is_dir():
        return re.sub(r"[^\w.]+", "-", source).strip("-.") or "-"
    path = path.resolve()
    files = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(path.iterdir())]
    digest = hashlib.sha256(repr((str(path), files)).encode()).hexdigest()
    try:
        name = json.loads((path / "dataset_info.json").read_bytes())["name"]
    except (OSError, ValueError, KeyError, TypeError):
        name = path.name  # what is wrong with it is said when it is read
    return re.sub(r"[^\w.]+", "-", f"{name}-{digest[:16]}")
