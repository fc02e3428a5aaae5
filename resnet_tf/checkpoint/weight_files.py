"""Files of weights: `.safetensors`, `.npz`, and TensorFlow checkpoints, TF1's too.

Never a pickle: opening one can run any program.
"""

import os
import pathlib
import tempfile
import zipfile
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from resnet_tf import errors
from resnet_tf.checkpoint.restore import open_reader
from resnet_tf.errors import UserError


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Every tensor of a file of weights, by its name there.

    Args:
      path: a `.safetensors` or `.npz` file, a TensorFlow checkpoint (its prefix, its
        `.index` file), or a directory with one.

    Raises:
      UserError: 66 where there is nothing or the `safetensors` package is missing, 65 for a
        pickle, an unknown format or a damaged file.
    """
    path = pathlib.Path(path)
    prefix = checkpoint_prefix(path)
    if prefix is None:
        _refuse_foreign_formats(path)
    try:
        if prefix is None and path.suffix.lower() == ".safetensors":
            return _read_safetensors(path)
        if prefix is None and path.suffix.lower() == ".npz":
            return _read_npz(path)
        return _read_checkpoint(prefix or path)
    except (UserError, PermissionError):
        raise
    except tf.errors.OpError as error:
        raise _damaged(path, "not a TensorFlow checkpoint, or a damaged one") from error
    except Exception as error:  # what the readers raise over damage is of every kind
        raise _damaged(path, error) from error


def write(path: str | os.PathLike, tensors: Mapping[str, np.ndarray], form: str) -> None:
    """Writes tensors as "safetensors" or "npz".

    Raises:
      UserError: 66 where the `safetensors` package is missing.
    """
    if form == "npz":
        with open(path, "wb") as file:  # a name alone would get another ending
            np.savez(file, **tensors)
        return
    try:
        from safetensors.numpy import save_file
    except ImportError as error:
        raise _without_safetensors(path) from error
    save_file(dict(tensors), path, metadata={"format": "pt"})


def checkpoint_prefix(path: pathlib.Path) -> pathlib.Path | None:
    """The prefix of the TensorFlow checkpoint that `path` means; None for a single file.

    Raises:
      UserError: 66 where there is neither.
    """
    if path.is_dir():
        return _prefix_in(path)
    if path.suffix == ".index" and path.is_file():
        return path.with_suffix("")
    if path.with_name(path.name + ".index").is_file():
        return path
    if not path.is_file():
        raise UserError(
            errors.MISSING_INPUT, "there is no such file or checkpoint", path, "give --weights"
        )
    return None


def _prefix_in(directory: pathlib.Path) -> pathlib.Path:
    """The checkpoint that a directory calls its newest, or the only one there."""
    with tempfile.TemporaryDirectory() as folder:
        alias = os.path.join(folder, "directory")  # a path without brackets, see `open_reader`
        os.symlink(directory.resolve(), alias, target_is_directory=True)
        try:
            state = tf.train.get_checkpoint_state(alias)
        except UnicodeDecodeError:
            state = None
    if state is not None:
        newest = directory / pathlib.PurePath(state.model_checkpoint_path).name
        if newest.is_file() or newest.with_name(newest.name + ".index").is_file():
            return newest
    found = sorted(directory.glob("*.index"))
    if len(found) != 1:
        number = f"{len(found)} TensorFlow checkpoints and names none of them"
        what = f"the directory holds {number if found else 'no TensorFlow checkpoint'}"
        raise UserError(errors.MISSING_INPUT, what, directory, "name the file of the weights")
    return found[0].with_suffix("")


def _refuse_foreign_formats(path: pathlib.Path) -> None:
    with open(path, "rb") as file:
        start = file.read(8)
    suffix = path.suffix.lower()
    named = suffix in (".pth", ".pt", ".bin", ".pkl", ".pickle", ".tar")
    if suffix not in (".safetensors", ".npz") and (
        named or start[:1] == b"\x80" or _holds_pickle(path)
    ):
        remedy = (
            'turn it into safetensors where you trust it: python -c "import torch,'
            " safetensors.torch as s; w = torch.load('IN', map_location='cpu', weights_only=True);"
            " w = w.get('state_dict', w); s.save_file({k: v.contiguous() for k, v in w.items()},"
            " 'OUT.safetensors')\""
        )
        raise UserError(errors.BAD_DATA, "a pickle is never opened", path, remedy)
    if start == b"\x89HDF\r\n\x1a\n":
        raise UserError(
            errors.BAD_DATA, "HDF5 is not read", path, "save the weights as .npz under our names"
        )


def _holds_pickle(path: pathlib.Path) -> bool:
    """Whether it is an archive with a pickle in it, as PyTorch's files are."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def _without_safetensors(path: str | os.PathLike) -> UserError:
    what, remedy = "the package safetensors is not installed", "pip install safetensors"
    return UserError(errors.MISSING_INPUT, what, path, remedy)


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise _without_safetensors(path) from error
    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise _damaged(path, error) from error


def _read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    file = np.load(path, allow_pickle=False)
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise ValueError("not an archive of arrays")
    with file:
        return {name: file[name] for name in file.files}


def _read_checkpoint(prefix: pathlib.Path) -> dict[str, np.ndarray]:
    with open_reader(prefix) as reader:
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def _damaged(path: pathlib.Path, error: object) -> UserError:
    return UserError(
        errors.BAD_DATA,
        f"the weights cannot be read: {error}",
        path,
        "give a whole .safetensors, .npz or TensorFlow checkpoint",
    )
