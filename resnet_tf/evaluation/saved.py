"""A trained network, rebuilt from a commit alone."""

import contextlib
import dataclasses
import functools
import math
import os
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from resnet_tf import checkpoint, errors, input, models
from resnet_tf.checkpoint import Commit
from resnet_tf.errors import UserError
from resnet_tf.layers import named_variables
from resnet_tf.preprocessing import Preprocessing

_SMALL = 2**20  # numbers


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A network with its saved weights, and how pictures must be prepared for it.

    Attributes:
      model: images to logits.
      weights: "raw" or "average", which of the commit's it has.
      pictures: how they are cut and resized.
      preprocess: pixels uint8 `[N, height, width, channels]` to the network's input.
      classes: names by label; None where imported weights came without names.
    """

    model: models.Classifier
    weights: str
    pictures: Preprocessing
    preprocess: Callable[[tf.Tensor], tf.Tensor]
    classes: tuple[str, ...] | None

    @property
    def class_names(self) -> tuple[str, ...]:
        """A name for each class; its number where there is none."""
        return self.classes or tuple(map(str, range(self.model.options.num_classes)))

    def read(self, paths: Sequence[str | os.PathLike]) -> tf.Tensor:
        """The network's input of JPEG and PNG files: float32 `[N, height, width, channels]`.

        Raises:
          tf.errors.OpError: for a file that is missing or no such picture.
        """
        pixels = [
            input.decode_and_fit(tf.io.read_file(os.fspath(path)), self.pictures) for path in paths
        ]
        return self.preprocess(tf.stack(pixels))

    def restore(self, commit: Commit) -> None:
        """Takes the same kind of weights from a commit of the same network.

        Raises:
          UserError: 78 where variables and commit disagree; nothing is assigned then.
        """
        prefix = "average/" if self.weights == "average" else "model/"
        variables = {prefix + name: v for name, v in named_variables(self.model).items()}
        checkpoint.restore(commit, variables, prefix=prefix)


def load(commit: Commit, weights: str = "auto") -> LoadedModel:
    """Builds the network that a commit describes and restores its weights.

    To be called in the scope of the strategy that will run it.

    Args:
      commit: of a run, or imported weights.
      weights: "raw", those of the last step; "average", their moving average; or "auto", the
        average where the commit has one.

    Raises:
      UserError: 78 where variables and commit disagree, or there is no average.
    """
    checkpoint.described(commit)
    architecture, classes = commit.manifest["architecture"], commit.manifest["classes"]
    pictures = Preprocessing.from_json(commit.manifest["preprocessing"])
    try:
        with _no_larger_than(commit):
            model = models.create(
                architecture["model"],
                num_classes=architecture["num_classes"],
                channels=pictures.channels,
                **architecture["options"],
            )
    except (ValueError, TypeError, OverflowError, MemoryError, tf.errors.OpError) as error:
        made_by = commit.manifest["environment"].get("resnet_tf", "of the version")
        raise UserError(
            errors.MISMATCH,
            f"this version cannot build the network of the commit: {error}",
            commit.path,
            f"evaluate it with resnet_tf {made_by}, which made it",
        ) from error
    saved = LoadedModel(
        model=model,
        weights=_refuse_missing(commit, weights),
        pictures=pictures,
        preprocess=functools.partial(input.normalize, mean=pictures.mean, std=pictures.std),
        classes=None if classes is None else tuple(classes),
    )
    saved.restore(commit)
    return saved


@contextlib.contextmanager
def _no_larger_than(commit: Commit) -> Iterator[None]:
    """Variables that are made in the block may not have far more numbers than the commit has.

    Else a manifest could ask for more memory than there is. What differs by less is a table.
    """
    left = _SMALL + 2 * sum(math.prod(shape) for shape in checkpoint.shapes_of(commit).values())

    def make(create, **told):
        nonlocal left
        variable = create(**told)
        left -= math.prod(variable.shape)
        if left < 0:
            raise ValueError("it is larger than what was saved")
        return variable

    with tf.variable_creator_scope(make):
        yield


def _refuse_missing(commit: Commit, weights: str) -> str:
    """ "raw" or "average", as asked for and there."""
    averaged = any(name.startswith("average/") for name in checkpoint.shapes_of(commit))
    if weights == "average" and not averaged:
        raise UserError(
            errors.MISMATCH,
            "the commit has no average of the weights",
            commit.path,
            "give --weights=raw; --ema=0.999 keeps one in training",
        )
    return "average" if averaged and weights != "raw" else "raw"
