"""A model directory made of the mean of a run's last commits, for `load` and `eval.py`."""

import dataclasses
import os
import pathlib

import numpy as np
import tensorflow as tf

from resnet_tf import checkpoint, errors, runtime
from resnet_tf.checkpoint import Commit, commit
from resnet_tf.checkpoint.restore import open_reader
from resnet_tf.errors import UserError, bad_flag
from resnet_tf.evaluation import model_directory
from resnet_tf.preprocessing import Preprocessing

# Fields that all commits must share, and how they are compared: a version may write more of
# the pictures than the one before.
_SAME = {
    "architecture": dict, "classes": lambda names: names, "preprocessing": Preprocessing.from_json,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Averaged:
    """What `average_commits` made.

    Attributes:
      commit: the new one, of step 0.
      sources: the commits that were averaged, the newest first.
      damaged: (path, reason) of newer ones that were passed over.
      variables: how many were averaged.
    """

    commit: Commit
    sources: list[Commit]
    damaged: list[tuple[pathlib.Path, str]]
    variables: int


def average_commits(
    model_dir: str | os.PathLike, output: str | os.PathLike, *, last: int = 5
) -> Averaged:
    """Commits the mean of the newest commits' networks as step 0 of a new model directory.

    Every variable of the network is the mean over the commits, taken in float64, each commit
    with the same weight (Izmailov et al. 2018, arXiv 1803.05407). The moving statistics are
    averaged like the weights. In the paper a pass over the training data makes them anew, since
    the averaged weights have statistics of their own; whether the mean is good enough,
    evaluation tells. An average that the run kept while it trained (`average/…`) is left out.

    Args:
      model_dir: of a run.
      output: a directory that does not exist yet or is empty.
      last: how many commits are averaged, 2 or more; 5 by default. Where fewer verify, all.

    Raises:
      UserError: 64 for `last` below 2, 66 unless 2 commits verify, 78 where they are of different
        networks, classes or preprocessing, 73 for the output and 74 for disks; before
        anything is written.
    """
    if last < 2:
        raise bad_flag("last", "must be 2 or more", last)
    model_directory.refuse_output(output)
    sources, damaged, tensors = _averaged(pathlib.Path(model_dir), last)
    fields = {
        "config": None,
        **{key: sources[0].manifest[key] for key in (*_SAME, "data")},
        "environment": runtime.describe(),
        "source": {
            "averaged": [
                {"step": source.step, "digest": source.manifest["digest"]} for source in sources
            ]
        },
    }
    made = model_directory.write(output, tensors, fields)
    return Averaged(made, sources, damaged, len(tensors))


def _averaged(model_dir: pathlib.Path, last: int):
    """The commits, what was passed over, and the mean.

    Where a run that goes on sweeps one of them meanwhile, it has made a newer one: again, then.
    """
    while True:
        sources, damaged = _newest(model_dir, last)
        try:
            _refuse_different(sources)
            return sources, damaged, _mean(sources)
        except (UserError, OSError, ValueError, tf.errors.OpError):
            if all(checkpoint.is_there(source.path) for source in sources):
                raise


def _newest(
    model_dir: pathlib.Path, last: int
) -> tuple[list[Commit], list[tuple[pathlib.Path, str]]]:
    """The newest commits that verify, and newer ones that do not."""
    found, damaged = [], []
    for path in checkpoint.commits(model_dir / "checkpoints") or checkpoint.commits(model_dir):
        try:
            found.append(checkpoint.described(commit.verify(path), "data"))
        except ValueError as error:
            if checkpoint.is_there(path):  # else it was swept meanwhile
                damaged.append((path, str(error)))
        if len(found) == last:
            break
    if len(found) < 2:
        raise UserError(
            errors.MISSING_INPUT,
            f"an average needs 2 commits or more, and there are {len(found)} that can be used",
            model_dir,
            "give --checkpoint=MODEL_DIR of a run, trained with a larger --keep",
            details="\n".join(f"  {path.name}: {reason}" for path, reason in damaged),
        )
    return found, damaged


def _refuse_different(sources: list[Commit]) -> None:
    newest, *others = sources
    for other in others:
        for key, read in _SAME.items():
            if read(other.manifest[key]) != read(newest.manifest[key]):
                raise _mismatch(other, f"its {key} is not that of {newest.path.name}")


def _mean(sources: list[Commit]) -> dict[str, np.ndarray]:
    """The mean of each variable of the network, in its own dtype, by its saved name."""
    first = _network(sources[0])
    sums = {name: tensor.astype(np.float64) for name, tensor in first.items()}
    for source in sources[1:]:
        tensors = _network(source)
        if _shapes(tensors) != _shapes(first):
            raise _mismatch(source, f"its variables are not those of {sources[0].path.name}")
        for name, tensor in tensors.items():
            sums[name] += tensor
    return {name: (sums[name] / len(sources)).astype(first[name].dtype) for name in first}


def _network(source: Commit) -> dict[str, np.ndarray]:
    with open_reader(pathlib.Path(source.variables)) as reader:
        names = [n for n in reader.get_variable_to_shape_map() if n.startswith("model/")]
        return {name: reader.get_tensor(name) for name in names}


def _shapes(tensors: dict[str, np.ndarray]) -> dict[str, tuple]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}


def _mismatch(source: Commit, what: str) -> UserError:
    remedy = "give a smaller --last, or another --checkpoint"
    return UserError(errors.MISMATCH, what, source.path, remedy)
