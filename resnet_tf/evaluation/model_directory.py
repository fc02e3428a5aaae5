"""A new model directory whose one commit holds weights that no run here has trained."""

import os
import pathlib
import shutil
import uuid
from collections.abc import Mapping

import numpy as np

from resnet_tf import checkpoint, errors
from resnet_tf.checkpoint import Commit
from resnet_tf.errors import UserError
from resnet_tf.files import make_directory, sync


def refuse_output(output: str | os.PathLike) -> None:
    """To be called before large files are read.

    Raises:
      UserError: 73 for an output that is there and not an empty directory, or that could not
        be made.
    """
    output = _absolute(output)
    nearest_parent(output)
    empty = output.is_dir() and not output.is_symlink() and not any(output.iterdir())
    if os.path.lexists(output) and not empty:
        raise UserError(errors.CANNOT_CREATE, "the output exists", output, "choose another name")


def nearest_parent(output: str | os.PathLike) -> pathlib.Path:
    """The directory above that is there already.

    Raises:
      UserError: 73 where nothing can be made in it, or under such a name.
    """
    output = _absolute(output)
    try:
        os.lstat(output)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        what = f"cannot make the output: {error}"
        raise UserError(errors.CANNOT_CREATE, what, output, "choose another name") from error
    above = next(parent for parent in output.parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise UserError(
            errors.CANNOT_CREATE, f"nothing can be made in {above}", output, "choose another name"
        )
    return above


def write(output: str | os.PathLike, tensors: Mapping[str, np.ndarray], fields: dict) -> Commit:
    """Commits `tensors` as step 0 of a model directory that is made whole or not at all.

    Args:
      output: what `refuse_output` lets pass.
      tensors: by name, with their `model/`.
      fields: of the manifest, see `checkpoint.write`.

    Raises:
      UserError: 73 where the directory cannot be made, 74 where the disk fails, 76 where a
        value is not finite.
    """
    place = _absolute(output)
    temporary = place.with_name(f"{place.name}.tmp-{uuid.uuid4().hex[:8]}")
    try:
        make_directory(temporary)
        checkpoint.write(temporary / "checkpoints", 0, tensors, fields)
        os.rename(temporary, place)
        sync(place.parent)
    except (OSError, ValueError) as error:
        raise UserError(
            errors.CANNOT_CREATE, f"cannot make the output: {error}", place, "choose another name"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return checkpoint.find(output)


def _absolute(path: str | os.PathLike) -> pathlib.Path:
    return pathlib.Path(os.path.abspath(path))
