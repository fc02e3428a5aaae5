"""The figures of an evaluation, from its rows, and the tables that are written of them."""

import csv
import dataclasses
import io
import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from resnet_tf import errors
from resnet_tf.errors import UserError, plain
from resnet_tf.evaluation import metrics
from resnet_tf.evaluation.predictions import Predictions
from resnet_tf.files import replace_synced

_CONFUSED = 10


@dataclasses.dataclass(frozen=True)
class Summary:
    """What the rows of a split add up to.

    Attributes:
      counts: of `Predictions.counts`.
      confusion: int64 `[classes, classes]`, row = label, column = the class that came first.
      scores: of each class.
      calibration: of the first class's score.
      names: of the classes.
    """

    counts: dict
    confusion: np.ndarray
    scores: metrics.ClassScores
    calibration: metrics.Calibration
    names: tuple[str, ...]

    @classmethod
    def of(cls, predictions: Predictions, names: Sequence[str]) -> "Summary":
        """Adds up rows; `names` by label."""
        first = predictions.top[:, 0]
        confusion = metrics.confusion_matrix(predictions.labels, first, len(names))
        # A score that is no number is no confidence.
        confidence = np.nan_to_num(predictions.scores[:, 0], nan=0.0)
        return cls(
            counts=predictions.counts(),
            confusion=confusion,
            scores=metrics.ClassScores.of(confusion),
            calibration=metrics.Calibration.of(confidence, predictions.correct),
            names=tuple(names),
        )

    def to_json(self) -> dict:
        """The fields of an "eval" event: counts, then all that is one number or a short list."""
        low, high = metrics.wilson_interval(self.counts["correct_top1"], self.counts["examples"])
        return {
            **self.counts,
            "top1_interval": [round(low, 6), round(high, 6)],
            "calibration_error": round(self.calibration.error, 6),
            "macro": _rounded(self.scores.macro()),
            "weighted": _rounded(self.scores.weighted()),
            "most_confused": [
                {"label": label, "predicted": taken_for, "count": count}
                for label, taken_for, count in self.most_confused(_CONFUSED)
            ],
        }

    def most_confused(self, number: int) -> list[tuple[str, str, int]]:
        """As `metrics.most_confused`, by name."""
        pairs = metrics.most_confused(self.confusion, number)
        return [(self.names[i], self.names[j], count) for i, j, count in pairs]

    def confusion_csv(self) -> str:
        """The confusion matrix: a row a true class, a column a predicted one, names beside."""
        rows = [["true \\ predicted", *self.names]]
        rows += [[name, *row.tolist()] for name, row in zip(self.names, self.confusion)]
        return _csv(rows)

    def classes_csv(self) -> str:
        """A row a class: class, examples, correct, predicted, precision, recall, f1."""
        rows = [["class", "examples", "correct", "predicted", "precision", "recall", "f1"]]
        right, predicted = np.diag(self.confusion), self.confusion.sum(axis=0)
        shares = (self.scores.precision, self.scores.recall, self.scores.f1)
        for number, name in enumerate(self.names):
            counts = (self.scores.support[number], right[number], predicted[number])
            rows.append([name, *map(int, counts), *(f"{share[number]:.6f}" for share in shares)])
        return _csv(rows)


def describe(event: dict) -> Iterable[str]:
    """Lines for people about what `Evaluator.evaluate` gave."""
    low, high = event["top1_interval"]
    loss = "not finite" if event["loss"] is None else f"{event['loss']:.4f}"
    yield (
        f"{plain(event['split'])}: {event['examples']:,} records, each seen once, by step"
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
            f"{plain(pair['label'])} taken for {plain(pair['predicted'])} {pair['count']:,}×"
            for pair in event["most_confused"][:3]
        )
        yield "most confused: " + ", ".join(pairs)
    if fitted := event.get("fitted_temperature"):
        yield (
            f"temperature {fitted['temperature']:.4g}: loss {fitted['loss_before']:.4f} before,"
            f" {fitted['loss_after']:.4f} after, fitted on {plain(fitted['fitted_on'])}"
        )
        if fitted["evaluated_by_default"]:
            yield _flattering(fitted["fitted_on"])
    if "temperature" in event:
        split = plain(event["fitted_on"] or "a split that is not known")
        yield f"temperature {event['temperature']:.4g}, fitted on {split}"
        if event["fitted_on"] == event["split"]:
            yield _flattering(event["split"])
    if alternative := event.get("alternative"):
        share = "none" if alternative["top1"] is None else f"{alternative['top1']:.2%}"
        yield f"by the other labels: {share} of {alternative['examples']:,} records"


def _flattering(split: str) -> str:
    return (
        f"WARNING: loss and calibration error with this temperature flatter the network on"
        f" {plain(split)}, which it was fitted on; fit on a split that is not evaluated: --split"
    )


def refuse_place(path: str | os.PathLike) -> None:
    """Raises UserError 73 where no file can be made under this name."""
    folder = pathlib.Path(path).absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK) or os.path.isdir(path):
        what = "no file can be written here"
        raise UserError(errors.CANNOT_CREATE, what, path, "give another file")


def write_table(path: str | os.PathLike, text: str) -> None:
    """Writes a file whole or not at all.

    Raises:
      UserError: 73 where it cannot be written.
    """
    try:
        replace_synced(pathlib.Path(path), text)
    except OSError as error:
        what = f"cannot be written: {error.strerror or error}"
        raise UserError(errors.CANNOT_CREATE, what, path, "give another file") from error


def _csv(rows: list[list]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _rounded(shares: dict[str, float]) -> dict[str, float]:
    return {name: round(share, 6) for name, share in shares.items()}
