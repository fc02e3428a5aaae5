"""Evaluation of commits on every record of a split, with all that is asked about it."""

import dataclasses
import functools
import itertools
import os
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from resnet_tf import checkpoint, errors, input
from resnet_tf.checkpoint import Commit
from resnet_tf.distribution import DeviceRequest, make_strategy
from resnet_tf.errors import UserError, bad_flag
from resnet_tf.evaluation import label_maps, prediction_files, summary, temperature, views
from resnet_tf.evaluation.evaluate import make_evaluation
from resnet_tf.evaluation.predictions import Predictions
from resnet_tf.evaluation.saved import LoadedModel, load
from resnet_tf.evaluation.summary import Summary
from resnet_tf.preparation import cached
from resnet_tf.reporting import Console, say


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


class Evaluator:
    """Evaluates commits of one network on one split.

    Args:
      commit: whose network is built.
      strategy: to run on.
      request: what is asked.

    Raises:
      UserError: 64 where imported weights are given no data, 66 where there is no data, 78
        where the classes of commit and data differ, 65 for bad data.
    """

    def __init__(self, commit: Commit, strategy: tf.distribute.Strategy, request: Request):
        # What is told wrong is said before anything takes time.
        for path in filter(None, (request.predictions, request.confusion, request.class_scores)):
            summary.refuse_place(path)
        self._request, self._network = request, _network_of(commit)
        self._manifest, self.split = _data_for(commit, request.data_dir, request.split)
        groups = _groups(commit, self._manifest, request.label_map)
        self._alternatives = None
        if request.alternative_labels:
            self._alternatives = label_maps.read_alternatives(
                request.alternative_labels, self.keys, self.classes
            )
        with strategy.scope():
            self._saved = load(commit, request.weights)
        pictures = self._saved.pictures
        self._reader = input.choose_reader(
            self._manifest,
            self.split,
            views.with_room(pictures) if request.crops > 1 else pictures,
        )
        self._temperature = 1.0
        if request.calibrated:
            self._temperature = temperature.stored(commit, self._saved.weights)
        self._look = make_evaluation(
            strategy,
            _asked_for(self._saved, request, self._temperature, groups),
            self._saved.preprocess,
            keep_logits=request.fit_temperature,
        )

    def evaluate(self, commit: Commit) -> dict:
        """Restores a commit and looks at every record.

        Returns:
          checkpoint, step, weights and split, the fields of `Summary.to_json`, and what else
          was asked for: `views`, `temperature`, `fitted_temperature`, `alternative`.

        Raises:
          UserError: 78 for a commit of another network, 65 unless each record was seen once, 73
            for files that cannot be written.
        """
        predictions = self.predict(commit)
        found = Summary.of(predictions, self.classes)
        request, more = self._request, {}
        number = request.crops * (2 if request.flip else 1)
        if number > 1:
            more["views"] = number
        if request.calibrated:
            more["temperature"] = self._temperature
        if request.fit_temperature:
            more["fitted_temperature"] = self._fit(commit, predictions)
        if self._alternatives is not None:
            first = predictions.top[:, 0]
            more["alternative"] = label_maps.alternative_counts(first, self._alternatives)
        self._write(predictions, found)
        return {
            "checkpoint": str(commit.path),
            "step": commit.step,
            "weights": self._saved.weights,
            "split": self.split,
            **found.to_json(),
            **more,
        }

    @property
    def manifest(self) -> input.Manifest:
        """Of the data."""
        return self._manifest

    @property
    def reader(self) -> input.Reader:
        """Of the records that are evaluated."""
        return self._reader

    @property
    def classes(self) -> tuple[str, ...]:
        """Names by label, as the data has them."""
        return self._manifest.classes

    @functools.cached_property
    def keys(self) -> Sequence[str]:
        """What names each record; read once."""
        return input.keys(self._manifest, self.split)

    def predict(self, commit: Commit) -> Predictions:
        """Restores a commit and looks at every record.

        Raises:
          UserError: 78 for a commit of another network, 65 unless each record was seen once.
        """
        self._refuse_other(commit)
        self._saved.restore(commit)
        batch_size, records = self._request.batch_size, self._reader.records
        console = Console(-(-records // min(batch_size, records)), unit="batch")
        try:
            return self._look(self._reader, batch_size, lambda done, of: console.advance_to(done))
        finally:
            console.close()

    def _fit(self, commit: Commit, predictions: Predictions) -> dict:
        fields = temperature.fit(predictions)
        temperature.store(commit, self._saved.weights, {"split": self.split, **fields})
        return fields

    def _write(self, predictions: Predictions, found: Summary) -> None:
        request = self._request
        if request.predictions:
            prediction_files.write(request.predictions, predictions, self.keys, self.classes)
        if request.confusion:
            summary.write_table(request.confusion, found.confusion_csv())
        if request.class_scores:
            summary.write_table(request.class_scores, found.classes_csv())

    def _refuse_other(self, commit: Commit) -> None:
        if _network_of(commit) != self._network:
            raise UserError(
                errors.MISMATCH,
                f"step {commit.step} is of another network, or of other classes or pictures",
                commit.path,
                "evaluate it with a command of its own",
            )


def evaluate_checkpoint(path: str | os.PathLike, devices: DeviceRequest, **asked) -> dict:
    """Evaluates a commit on every record of a split; needs nothing but the commit and data.

    Args:
      path: a commit, or a model directory, whose newest commit is taken.
      devices: to run on.
      asked: fields of `Request`.

    Returns:
      What `Evaluator.evaluate` gives.

    Raises:
      UserError: 66 where there is no commit; and as of `Evaluator`.
    """
    request = Request(**asked)
    commit = checkpoint.find(path)
    return Evaluator(commit, make_strategy(devices), request).evaluate(commit)


def some_pictures(
    commit: Commit, loaded: LoadedModel, data_dir: str, split: str, number: int
) -> np.ndarray:
    """The first pictures of a split, as the network takes them: uint8 `[at most number, H, W, C]`.

    Args:
      commit: that tells the data where `data_dir` and `split` do not.
      loaded: the network.
      data_dir, split: as of `Request`.
      number: 1 or more.

    Raises:
      UserError: as of `Evaluator`.
    """
    manifest, split = _data_for(commit, data_dir, split)
    reader = input.choose_reader(manifest, split, loaded.pictures)
    reader = input.first(reader, min(number, reader.records))
    batches, steps = input.evaluation_batches(
        tf.distribute.get_strategy(), reader, batch_size=min(64, reader.records)
    )
    parts = [images.numpy() for images, _, _, _ in itertools.islice(batches, steps)]
    return np.concatenate(parts)[: reader.records]


def describe(event: dict) -> Iterable[str]:
    """Lines for people about what `Evaluator.evaluate` gave."""
    low, high = event["top1_interval"]
    loss = "not finite" if event["loss"] is None else f"{event['loss']:.4f}"
    yield (
        f"{event['split']}: {event['examples']:,} records, each seen once, by step"
        f" {event['step']} with its {event['weights']} weights"
    )
    yield (
        f"top-1 {event['top1']:.2%} (95 % interval {low:.2%} to {high:.2%}),"
        f" top-5 {event['top5']:.2%}, loss {loss},"
        f" calibration error {event['calibration_error']:.2%}"
    )
    macro = event["macro"]
    yield (
        f"mean over classes: precision {macro['precision']:.2%}, recall {macro['recall']:.2%},"
        f" F1 {macro['f1']:.2%}"
    )
    if event["most_confused"]:
        pairs = (
            f"{pair['label']} taken for {pair['predicted']} {pair['count']:,}×"
            for pair in event["most_confused"][:3]
        )
        yield "most confused: " + ", ".join(pairs)
    if fitted := event.get("fitted_temperature"):
        yield (
            f"temperature {fitted['temperature']:.4g}: loss {fitted['loss_before']:.4f} before,"
            f" {fitted['loss_after']:.4f} after, on this split"
        )
    if alternative := event.get("alternative"):
        share = "none" if alternative["top1"] is None else f"{alternative['top1']:.2%}"
        yield f"by the other labels: {share} of {alternative['examples']:,} records"


def _asked_for(saved: LoadedModel, request: Request, value: float, groups):
    """The network with temperature, views and groups put around it."""
    model = views.at_temperature(saved.model, value)
    pictures = saved.pictures
    model = views.over_views(
        model, pictures.height, pictures.width, crops=request.crops, flip=request.flip
    )
    return model if groups is None else views.over_groups(model, groups)


def _groups(commit: Commit, manifest: input.Manifest, label_map: str) -> list[list[int]] | None:
    if not label_map:
        _refuse_other_classes(commit, manifest)
        return None
    names = commit.manifest["classes"]
    if names is None:
        what = "imported weights without class names have no label map"
        raise UserError(errors.MISMATCH, what, commit.path, "import them with --classes")
    return label_maps.read_groups(label_map, names, manifest.classes)


def _network_of(commit: Commit) -> tuple:
    fields = ("architecture", "classes", "preprocessing")
    return tuple(commit.manifest[field] for field in fields)


def _data_for(commit: Commit, data_dir: str, split: str) -> tuple[input.Manifest, str]:
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
        "give the --data_dir of the classes that it was trained on, or --label_map",
    )
