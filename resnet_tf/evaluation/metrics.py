"""What a table of predictions says about a network, in NumPy: shares, intervals, confusions.

Every function takes whole splits: integers are counted exactly and means taken in float64.
"""

import dataclasses
import math

import numpy as np

# The 97.5 % point of the standard normal distribution, for intervals of 95 %.
Z = 1.959963984540054


def wilson_interval(correct: int, number: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson 1927 (J. Am. Stat. Assoc. 22).

    With p = correct / number and z = 1.96 its ends are
    (p + z²/2n ± z · sqrt(p (1 - p)/n + z²/4n²)) / (1 + z²/n),
    which stay inside 0..1 and are right for few records and shares near 0 or 1, too.

    Raises:
      ValueError: unless 0 <= correct <= number and number > 0.
    """
    if not 0 <= correct <= number or number < 1:
        raise ValueError(f"correct must be from 0 to number, got {correct} of {number}")
    share, z2 = correct / number, Z * Z
    middle = share + z2 / (2 * number)
    reach = Z * math.sqrt(share * (1 - share) / number + z2 / (4 * number * number))
    low, high = ((middle + side * reach) / (1 + z2 / number) for side in (-1, 1))
    return max(0.0, low), min(1.0, high)


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts int64 `[classes, classes]`: row = label, column = predicted class.

    Args:
      labels, predicted: integers `[N]`, from 0 to below `classes`.
      classes: their number.
    """
    cells = labels.astype(np.int64) * classes + predicted
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


@dataclasses.dataclass(frozen=True)
class ClassScores:
    """How well each class is found, from a confusion matrix M.

    precision_c = M[c, c] / sum of column c, recall_c = M[c, c] / sum of row c and
    F1_c = 2 M[c, c] / (sum of row c + sum of column c); 0 where the denominator is 0.

    Attributes:
      precision, recall, f1: float64 `[classes]`.
      support: records of each class, int64 `[classes]`.
      seen: whether any record is of the class or was taken for it, bool `[classes]`.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray
    seen: np.ndarray

    @classmethod
    def of(cls, matrix: np.ndarray) -> "ClassScores":
        """The scores of a confusion matrix, integers `[classes, classes]`."""
        right, rows, columns = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
        return cls(
            precision=_share(right, columns),
            recall=_share(right, rows),
            f1=_share(2 * right, rows + columns),
            support=rows,
            seen=(rows + columns) > 0,
        )

    def macro(self) -> dict[str, float]:
        """The mean of precision, recall and f1 over the classes that were seen."""
        return self._means(self.seen.astype(np.float64))

    def weighted(self) -> dict[str, float]:
        """The mean of precision, recall and f1 over classes, each with its support."""
        return self._means(self.support.astype(np.float64))

    def _means(self, weights: np.ndarray) -> dict[str, float]:
        return {
            name: float(np.average(getattr(self, name), weights=weights))
            for name in ("precision", "recall", "f1")
        }


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)


def most_confused(matrix: np.ndarray, number: int) -> list[tuple[int, int, int]]:
    """(label, predicted, count) of the pairs of classes taken for another most often.

    The largest count first, equal ones by label and predicted class; pairs with no record
    are left out.
    """
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:number]
    rows, columns = np.unravel_index(order, wrong.shape)
    return [(int(r), int(c), int(wrong[r, c])) for r, c in zip(rows, columns) if wrong[r, c]]


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How often a network is right, beside how sure it was: Guo et al. 2017 (arXiv 1706.04599).

    Bin b of B holds the records with a confidence in ((b - 1)/B, b/B]; confidence is the score
    of the class that comes first.

    Attributes:
      records: int64 `[B]`.
      confidence: mean of a bin, float64 `[B]`; 0 where it is empty.
      accuracy: share of its records that are right, float64 `[B]`; 0 where it is empty.
    """

    records: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @classmethod
    def of(cls, confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> "Calibration":
        """Bins of the same width.

        Args:
          confidence: floats from 0 to 1, `[N]`.
          correct: bool `[N]`.
          bins: their number.
        """
        place = np.clip(np.ceil(confidence.astype(np.float64) * bins).astype(np.int64), 1, bins) - 1
        records = np.bincount(place, minlength=bins)
        sums = (np.bincount(place, weights=w, minlength=bins) for w in (confidence, correct))
        return cls(records, *(_share(total, records) for total in sums))

    @property
    def error(self) -> float:
        """The expected calibration error: mean over records of |accuracy - confidence|, by bin."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float(np.average(gaps, weights=self.records))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T for which softmax(logits / T) has the least cross-entropy with the labels.

    Guo et al. 2017 (arXiv 1706.04599). The loss is convex in b = 1/T, so Newton's method on
    log b finds it: with z the logits, y the label and E, V mean and variance under
    softmax(b z), its first derivative in b is E[z] - z_y and its second V[z], a record each.

    Args:
      logits: float `[N, classes]`, finite.
      labels: integers `[N]`.

    Returns:
      T, within 1/100 and 100; a network that is always right, or no better than chance, has
      its best T beyond any bound.
    """
    z = logits.astype(np.float64)
    own = z[np.arange(len(z)), labels]
    log_b, reach = 0.0, math.log(100)
    for _ in range(100):
        b = math.exp(log_b)
        weights = np.exp(b * (z - z.max(axis=1, keepdims=True)))
        weights /= weights.sum(axis=1, keepdims=True)
        mean = (weights * z).sum(axis=1)
        slope = b * float((mean - own).mean())
        curvature = b * b * float((weights * (z - mean[:, None]) ** 2).sum(axis=1).mean())
        # In log b the curvature has the slope in it, and is used only where it is convex.
        move = -slope / max(curvature + max(slope, 0.0), 1e-12)
        moved = min(max(log_b + min(max(move, -1.0), 1.0), -reach), reach)
        if abs(moved - log_b) < 1e-9:
            break
        log_b = moved
    return math.exp(-log_b)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean over records of log sum exp(z) - z_y, in float64; z `[N, classes]`, y `[N]`."""
    z = logits.astype(np.float64)
    highest = z.max(axis=1)
    sums = np.exp(z - highest[:, None]).sum(axis=1)
    return float((np.log(sums) + highest - z[np.arange(len(z)), labels]).mean())
