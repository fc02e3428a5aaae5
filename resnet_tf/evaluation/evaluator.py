"""Evaluation of commits on every record of a split, with all that is asked about it."""

import functools
import itertools
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from resnet_tf import checkpoint, errors, input
from resnet_tf.checkpoint import Commit
from resnet_tf.distribution import DeviceRequest, make_strategy
from resnet_tf.errors import UserError
from resnet_tf.evaluation import label_maps, prediction_files, summary, temperature, views
from resnet_tf.evaluation.evaluate import make_evaluation
from resnet_tf.evaluation.predictions import Predictions
from resnet_tf.evaluation.request import (
    Request,
    data_for,
    groups_for,
    has_classes_of,
    usual_split,
)
from resnet_tf.evaluation.saved import LoadedModel, load
from resnet_tf.evaluation.summary import Summary
from resnet_tf.reporting import Console


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
        self._manifest, self.split = data_for(commit, request.data_dir, request.split)
        groups = groups_for(commit, self._manifest, request.label_map)
        self._alternatives = None
        if request.alternative_labels:
            self._alternatives = label_maps.read_alternatives(
                request.alternative_labels, self.keys, self.classes
            )
        with strategy.scope():
            self._saved = load(commit, request.weights)
        self._restored = commit
        pictures = self._saved.pictures
        self._reader = input.choose_reader(
            self._manifest,
            self.split,
            views.with_room(pictures) if request.crops > 1 else pictures,
        )
        self._temperature, self._fitted_on = 1.0, None
        if request.calibrated:
            self._temperature, self._fitted_on = temperature.stored(commit, self._saved.weights)
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
          was asked for: `views`, `temperature` and the split that it was `fitted_on`,
          `fitted_temperature`, `alternative`.

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
            more |= {"temperature": self._temperature, "fitted_on": self._fitted_on}
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
        """Looks at every record, with the weights of a commit.

        The first commit's are there since the evaluator was made; only another is read.

        Raises:
          UserError: 78 for a commit of another network, 65 unless each record was seen once.
        """
        self._refuse_other(commit)
        if commit != self._restored:
            self._restored = None
            self._saved.restore(commit)
            self._restored = commit
        batch_size, records = self._request.batch_size, self._reader.records
        console = Console(-(-records // min(batch_size, records)), unit="batch")
        try:
            return self._look(self._reader, batch_size, lambda done, of: console.advance_to(done))
        finally:
            console.close()

    def _fit(self, commit: Commit, predictions: Predictions) -> dict:
        fields = temperature.fit(predictions)
        temperature.store(commit, self._saved.weights, {"split": self.split, **fields})
        usual = self.split == usual_split(commit, self._manifest)
        return {**fields, "fitted_on": self.split, "evaluated_by_default": usual}

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
    request, strategy = Request(**asked), make_strategy(devices)
    return checkpoint.read(
        path, lambda commit: Evaluator(commit, strategy, request).evaluate(commit)
    )


def some_pictures(
    commit: Commit, loaded: LoadedModel, manifest: input.Manifest, split: str, number: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """The first pictures of a split, as the network takes them.

    Args:
      commit, loaded: the network, which tells how pictures are cut and what its classes are.
      manifest, split: of the data.
      number: 1 or more.

    Returns:
      Pixels uint8 `[at most number, H, W, C]`, and their labels int64, None where the data has
      other classes than the network.

    Raises:
      UserError: as of `Evaluator`.
    """
    reader = input.choose_reader(manifest, split, loaded.pictures)
    reader = input.first(reader, min(number, reader.records))
    batches, steps = input.evaluation_batches(
        tf.distribute.get_strategy(), reader, batch_size=min(64, reader.records)
    )
    batches = list(itertools.islice(batches, steps))
    pixels, labels = (
        np.concatenate([batch[i].numpy() for batch in batches])[: reader.records] for i in (0, 1)
    )
    return pixels, labels if has_classes_of(commit, manifest) else None


def _asked_for(saved: LoadedModel, request: Request, value: float, groups):
    """The network with temperature, views and groups put around it."""
    model = views.at_temperature(saved.model, value)
    pictures = saved.pictures
    model = views.over_views(
        model, pictures.height, pictures.width, crops=request.crops, flip=request.flip
    )
    return model if groups is None else views.over_groups(model, groups)


def _network_of(commit: Commit) -> tuple:
    fields = ("architecture", "classes", "preprocessing")
    return tuple(commit.manifest[field] for field in fields)
