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
from resnet_tf.preparation import cached
from resnet_tf.preprocessing import Preprocessing
from resnet_tf.reporting import Console, say


@dataclasses.dataclass(frozen=True)
class SavedModel:
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


def load(commit: Commit, weights: str = "auto") -> SavedModel:
    """Builds the network that a commit describes and restores its weights.

    To be called in the scope of the strategy that will run it.

    Args:
      commit: of a run, or imported weights.
      weights: "raw", those of the last step; "average", their moving average; or "auto", the
        average where the commit has one.

    Raises:
      UserError: 78 where variables and commit disagree, or there is no average.
    """
    architecture, classes = commit.manifest["architecture"], commit.manifest["classes"]
    pictures = Preprocessing.from_json(commit.manifest["preprocessing"])
    try:
        model = models.create(
            architecture["model"],
            num_classes=architecture["num_classes"],
            channels=pictures.channels,
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
    weights = _refuse_missing(commit, weights)
    prefix = "average/" if weights == "average" else "model/"
    variables = {prefix + name: v for name, v in named_variables(model).items()}
    checkpoint.restore(commit, variables, prefix=prefix)
    return SavedModel(
        model=model,
        weights=weights,
        pictures=pictures,
        preprocess=functools.partial(input.normalize, mean=pictures.mean, std=pictures.std),
        classes=None if classes is None else tuple(classes),
    )


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


def evaluate_checkpoint(
    path: str | os.PathLike,
    devices: DeviceRequest,
    *,
    data_dir: str | None = None,
    split: str | None = None,
    batch_size: int = 100,
    weights: str = "auto",
) -> dict:
    """Evaluates a commit on every record of a split; needs nothing but the commit and data.

    Args:
      path: a commit, or a model directory, whose newest commit is taken.
      devices: to run on.
      data_dir, split: by default those of the training run. Imported weights have none;
        their split is then the data set's test or validation split.
      batch_size: over all devices.
      weights: as of `load`.

    Returns:
      checkpoint, step, weights and split, and the counts of `make_evaluation`.

    Raises:
      UserError: 64 where imported weights are given no data, 66 where there is no commit or
        no data, 78 where the classes of commit and data differ, 65 for bad data.
    """
    commit = checkpoint.find(path)
    manifest, split = _data_for(commit, data_dir, split)
    _refuse_other_classes(commit, manifest)
    strategy = make_strategy(devices)
    with strategy.scope():
        saved = load(commit, weights)
    reader = input.choose_reader(manifest, split, saved.pictures)
    evaluate = make_evaluation(strategy, saved.model, saved.preprocess)
    console = Console(-(-reader.records // min(batch_size, reader.records)), unit="batch")
    try:
        result = evaluate(reader, batch_size, lambda done, of: console.advance_to(done))
    finally:
        console.close()
    return {
        "checkpoint": str(commit.path),
        "step": commit.step,
        "weights": saved.weights,
        "split": split,
        **result,
    }


def _data_for(
    commit: Commit, data_dir: str | None, split: str | None
) -> tuple[input.Manifest, str]:
    """What to evaluate on: as asked, else as the training run did."""
    trained_on = commit.manifest["data"]
    if trained_on is not None:
        manifest = _load_data(data_dir or trained_on["directory"])
        return manifest, split or trained_on["eval_split"]
    if not data_dir:
        raise UserError(
            errors.BAD_FLAGS,
            "imported weights do not know what data they are for",
            commit.path,
            "give --data_dir",
        )
    manifest = _load_data(data_dir)
    known = [name for name in ("test", "validation", "val") if name in manifest.splits]
    if not split and not known:
        raise UserError(
            errors.BAD_FLAGS,
            f"which split to evaluate on is not clear; there are {', '.join(manifest.splits)}",
            manifest.directory,
            "give --split",
        )
    return manifest, split or known[0]


def _load_data(data_dir: str) -> input.Manifest:
    return input.Manifest.load(cached.directory_of(data_dir, say=say))


def _refuse_other_classes(commit: Commit, manifest: input.Manifest) -> None:
    """Names must agree in order; where the network has none, their number must."""
    there, names = commit.manifest["architecture"]["num_classes"], commit.manifest["classes"]
    if list(manifest.classes) == names or (names is None and len(manifest.classes) == there):
        return
    ours = f" ({', '.join(names[:3])}, …), or in another order" if names else ""
    raise UserError(
        errors.MISMATCH,
        f"the data has {len(manifest.classes)} classes ({', '.join(manifest.classes[:3])}, …),"
        f" the network {there}{ours}",
        manifest.directory,
        "give the --data_dir of the classes that the network was trained on",
    )
