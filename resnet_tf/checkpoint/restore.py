"""Puts the tensors of a commit into variables, all of them, or explains why not."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Collection, Iterator, Mapping

import tensorflow as tf

from resnet_tf import errors
from resnet_tf.checkpoint.commit import Commit
from resnet_tf.errors import UserError


def restore(
    commit: Commit,
    variables: Mapping[str, tf.Variable],
    prefix: str = "",
    leaving: Collection[str] = (),
) -> None:
    """Assigns every tensor of a commit whose name starts with `prefix`.

    Args:
      commit: verified.
      variables: by the names that they were saved under.
      prefix: of the names to take; by default all.
      leaving: names of the commit that are passed over.

    Raises:
      UserError: 78, with a table, unless names, shapes and dtypes agree both ways. Nothing
        is assigned then.
    """
    with open_reader(pathlib.Path(commit.variables)) as reader:
        dtypes = reader.get_variable_to_dtype_map()
        saved = {
            name: (tuple(shape), dtypes[name].name)
            for name, shape in reader.get_variable_to_shape_map().items()
            if name.startswith(prefix) and name not in leaving
        }
        wanted = {name: (tuple(v.shape), v.dtype.name) for name, v in variables.items()}
        if saved != wanted:
            raise _mismatch(commit, saved, wanted)
        for name, variable in variables.items():
            variable.assign(reader.get_tensor(name))


def shapes_of(commit: Commit) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor of a commit, by name."""
    with open_reader(pathlib.Path(commit.variables)) as reader:
        return {name: tuple(s) for name, s in reader.get_variable_to_shape_map().items()}


@contextlib.contextmanager
def open_reader(prefix: pathlib.Path) -> Iterator:
    """TensorFlow's reader of the checkpoint `prefix`, or of the one file that TF1 made.

    It takes a path for a pattern, so it gets links that have no brackets in their names.
    """
    with tempfile.TemporaryDirectory() as folder:
        for file in prefix.parent.resolve().iterdir():
            if file.name == prefix.name or file.name.startswith(f"{prefix.name}."):
                os.symlink(file, os.path.join(folder, "all" + file.name[len(prefix.name) :]))
        yield tf.train.load_checkpoint(os.path.join(folder, "all"))


def _mismatch(commit: Commit, saved: dict, wanted: dict) -> UserError:
    names = [n for n in sorted(saved.keys() | wanted) if saved.get(n) != wanted.get(n)]
    rows = [("variable", "in the checkpoint", "in the model")]
    rows += [(name, _describe(saved.get(name)), _describe(wanted.get(name))) for name in names]
    return UserError(
        errors.MISMATCH,
        f"{len(names)} of {len(wanted)} variables differ from the checkpoint",
        commit.path,
        "give the --model and --model_options that it was made with, or another --model_dir",
        details=errors.table(rows),
    )


def _describe(entry: tuple | None) -> str:
    return "-" if entry is None else f"{list(entry[0])} {entry[1]}"
