"""The figures of an evaluation, from its rows, and the tables that are written of them."""

import csv
import dataclasses
import io
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from resnet_tf import errors
from resnet_tf.errors import UserError
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
                {"label": self.names[label], "predicted": self.names[taken_for], "count": count}
                for label, taken_for, count in metrics.most_confused(self.confusion, _CONFUSED)
            ],
        }

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
