"""What an evaluation is asked, and what data answers it."""

import dataclasses
import os

from resnet_tf import checkpoint, errors, input
from resnet_tf.checkpoint import Commit
from resnet_tf.errors import UserError, bad_flag
from resnet_tf.evaluation import label_maps, prediction_files
from resnet_tf.preparation import cached
from resnet_tf.reporting import say


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of an evaluation; each field is a flag of `eval.py`.

    Attributes:
      data_dir, split: by default those of the training run. Imported weights have none; their
        split is then the data set's test or validation split.
      batch_size: over all devices.
      weights: "raw", "average" or "auto", as of `load`.
      crops: 1, the middle of a picture, or 5, its corners, too.
      flip: look at the mirror image of each, too.
      label_map: classes of the data that are not the network's, see `label_maps.read_groups`.
      alternative_labels: file of all right labels, see `label_maps.read_alternatives`.
      fit_temperature: fit one on this split, and keep it beside the commit.
      calibrated: use the one that is kept.
      predictions, confusion, class_scores: files to write; none where empty.
    """

    data_dir: str = ""
    split: str = ""
    batch_size: int = 100
    weights: str = "auto"
    crops: int = 1
    flip: bool = False
    label_map: str = ""
    alternative_labels: str = ""
    fit_temperature: bool = False
    calibrated: bool = False
    predictions: str = ""
    confusion: str = ""
    class_scores: str = ""

    def __post_init__(self):
        if self.batch_size < 1:
            raise bad_flag("batch_size", "must be 1 or more", self.batch_size)
        if self.crops not in (1, 5):
            raise bad_flag("crops", "must be 1 or 5", self.crops)
        if self.fit_temperature:
            for name in ("crops", "flip", "label_map", "calibrated"):
                if getattr(self, name) != type(self).__dataclass_fields__[name].default:
                    raise bad_flag("fit_temperature", f"and {name} exclude each other")
        self._refuse_names()

    def _refuse_names(self) -> None:
        """Of files: each its own, and of predictions one that can be read again."""
        if self.predictions and not self.predictions.lower().endswith(prediction_files.ENDINGS):
            what = f"must end in {' or '.join(prediction_files.ENDINGS)}"
            raise bad_flag("predictions", what, repr(self.predictions))
        taken = {}
        for name in ("predictions", "confusion", "class_scores"):
            path = getattr(self, name)
            other = taken.setdefault(os.path.realpath(path), name) if path else name
            if other != name:
                raise bad_flag(name, f"and {other} must be two files", repr(path))


def data_for(commit: Commit, data_dir: str, split: str) -> tuple[input.Manifest, str]:
    """What to evaluate on: as asked, else as the training run did."""
    trained_on = checkpoint.described(commit, "data").manifest["data"]
    if trained_on is not None:
        manifest = _load_data(data_dir or trained_on["directory"])
        return manifest, split or usual_split(commit, manifest)
    if not data_dir:
        raise UserError(
            errors.BAD_FLAGS,
            "imported weights do not know what data they are for",
            commit.path,
            "give --data_dir",
        )
    manifest = _load_data(data_dir)
    usual = usual_split(commit, manifest)
    if not split and not usual:
        raise UserError(
            errors.BAD_FLAGS,
            f"which split to evaluate on is not clear; there are {', '.join(manifest.splits)}",
            manifest.directory,
            "give --split",
        )
    return manifest, split or usual


def usual_split(commit: Commit, manifest: input.Manifest) -> str | None:
    """What is evaluated where nothing else is told; None where that is not clear."""
    trained_on = commit.manifest["data"]
    if trained_on is not None:
        return trained_on["eval_split"]
    known = (name for name in ("test", "validation", "val") if name in manifest.splits)
    return next(known, None)


def _load_data(data_dir: str) -> input.Manifest:
    return input.Manifest.load(cached.directory_of(data_dir, say=say))


def has_classes_of(commit: Commit, manifest: input.Manifest) -> bool:
    """Whether names agree in order; where the network has none, whether their number does."""
    there, names = commit.manifest["architecture"]["num_classes"], commit.manifest["classes"]
    return list(manifest.classes) == names or (names is None and len(manifest.classes) == there)


def _refuse_other_classes(commit: Commit, manifest: input.Manifest) -> None:
    if has_classes_of(commit, manifest):
        return
    there, names = commit.manifest["architecture"]["num_classes"], commit.manifest["classes"]
    ours = f" ({', '.join(names[:3])}, …), or in another order" if names else ""
    raise UserError(
        errors.MISMATCH,
        f"the data has {len(manifest.classes)} classes ({', '.join(manifest.classes[:3])}, …),"
        f" the network {there}{ours}",
        manifest.directory,
        "give the --data_dir of the classes that it was trained on, or --label_map",
    )


def groups_for(commit: Commit, manifest: input.Manifest, label_map: str) -> list[list[int]] | None:
    """The network's classes for each class of the data; None where they are the same."""
    if not label_map:
        _refuse_other_classes(commit, manifest)
        return None
    names = commit.manifest["classes"]
    if names is None:
        what = "imported weights without class names have no label map"
        raise UserError(errors.MISMATCH, what, commit.path, "import them with --classes")
    return label_maps.read_groups(label_map, names, manifest.classes)
