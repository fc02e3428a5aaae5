"""A trained network, rebuilt from a commit alone."""

import dataclasses
import functools
import os
from collections.abc import Callable

import tensorflow as tf

from resnet_tf import checkpoint, errors, input, models
from resnet_tf.checkpoint import Commit
from resnet_tf.distribution import DeviceRequest, make_strategy
from resnet_tf.errors import UserError
from resnet_tf.evaluation.evaluate import make_evaluation
from resnet_tf.layers import named_variables
from resnet_tf.reporting import Console


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """A network with its saved weights, and how pictures must be prepared for it.

    Attributes:
      model: images to logits.
      preprocess: pixels uint8 `[N, height, width, channels]` to the network's input.
      height, width, channels: of the pictures.
      classes: names by label.
    """

    model: models.Classifier
    preprocess: Callable[[tf.Tensor], tf.Tensor]
    height: int
    width: int
    channels: int
    classes: tuple[str, ...]


def load(commit: Commit) -> SavedModel:
    """Builds the network that a commit describes and restores its weights.

    To be called in the scope of the strategy that will run it.

    Raises:
      UserError: 78 where variables and commit disagree.
    """
    architecture, pixels = commit.manifest["architecture"], commit.manifest["preprocessing"]
    try:
        model = models.create(
            architecture["model"],
            num_classes=architecture["num_classes"],
            channels=pixels["channels"],
            **architecture["options"],
        )
    except (ValueError, TypeError) as error:
        made_by = commit.manifest["environment"]["resnet_tf"]
        raise UserError(
            errors.MISMATCH,
            f"this version cannot build the network of the commit: {error}",
            commit.path,
            f"evaluate it with resnet_tf {made_by}, which made it",
        ) from error
    variables = {f"model/{name}": v for name, v in named_variables(model).items()}
    checkpoint.restore(commit, variables, prefix="model/")
    return SavedModel(
        model=model,
        preprocess=functools.partial(
            input.normalize, mean=tuple(pixels["mean"]), std=tuple(pixels["std"])
        ),
        height=pixels["height"],
        width=pixels["width"],
        channels=pixels["channels"],
        classes=tuple(commit.manifest["classes"]),
    )


def evaluate_checkpoint(
    path: str | os.PathLike,
    devices: DeviceRequest,
    *,
    data_dir: str | None = None,
    split: str | None = None,
    batch_size: int = 100,
) -> dict:
    """Evaluates a commit on every record of a split; needs nothing but the commit and data.

    Args:
      path: a commit, or a model directory, whose newest commit is taken.
      devices: to run on.
      data_dir, split: by default those of the training run.
      batch_size: over all devices.

    Returns:
      checkpoint, step and split, and the counts of `make_evaluation`.

    Raises:
      UserError: 66 where there is no commit or no data, 78 where the classes of commit and
        data differ, 65 for bad data.
    """
    commit = checkpoint.find(path)
    trained_on = commit.manifest["data"]
    split = split or trained_on["eval_split"]
    manifest = input.Manifest.load(data_dir or trained_on["directory"])
    if list(manifest.classes) != commit.manifest["classes"]:
        raise UserError(
            errors.MISMATCH,
            f"the data has {len(manifest.classes)} classes ({', '.join(manifest.classes[:3])}, …),"
            f" the network {len(commit.manifest['classes'])}"
            f" ({', '.join(commit.manifest['classes'][:3])}, …), or in another order",
            manifest.directory,
            "give the --data_dir of the classes that the network was trained on",
        )
    strategy = make_strategy(devices)
    with strategy.scope():
        saved = load(commit)
    reader = input.MemoryReader(manifest, split, saved.height, saved.width, saved.channels)
    evaluate = make_evaluation(strategy, saved.model, saved.preprocess)
    console = Console(-(-reader.records // min(batch_size, reader.records)), unit="batch")
    try:
        result = evaluate(reader, batch_size, lambda done, of: console.advance_to(done))
    finally:
        console.close()
    return {"checkpoint": str(commit.path), "step": commit.step, "split": split, **result}
