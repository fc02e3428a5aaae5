"""Is B better than A? Two tables of predictions of the same records, set side by side."""

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.evaluation.metrics import Z

# Columns of a run's steps, in the order in which a step gets to them.
_CAUSES = {
    "order": "order",
    "augmentation": "pictures",
    "rate": "learning_rate",
    "forward": "loss",
    "backward": "gradient_norm",
}


@dataclasses.dataclass(frozen=True)
class Change:
    """A record that one of the two gets right and the other wrong.

    Attributes:
      key, label: of the record.
      before, after: the class that A and B put first.
      fixed: whether B is the one that is right.
    """

    key: str
    label: str
    before: str
    after: str
    fixed: bool


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How B does beside A on the same records.

    Attributes:
      examples: their number n.
      correct: of A and of B.
      changes: records on which they differ in being right, in A's order.
    """

    examples: int
    correct: tuple[int, int]
    changes: list[Change]

    @property
    def fixed(self) -> int:
        """Records that A gets wrong and B right."""
        return sum(change.fixed for change in self.changes)

    @property
    def broken(self) -> int:
        """Records that A gets right and B wrong."""
        return len(self.changes) - self.fixed

    @property
    def difference(self) -> float:
        """B's share of right records less A's."""
        return (self.fixed - self.broken) / self.examples

    def interval(self) -> tuple[float, float]:
        """95 % interval of the difference, by Agresti and Min 2005 (Stat. Med. 24).

        With b = fixed + 1/2, c = broken + 1/2 and N = n + 2 its ends are
        (b - c ± 1.96 · sqrt(b + c - (b - c)²/N)) / N, cut to what a difference can be, -1 to 1.
        """
        b, c, number = self.fixed + 0.5, self.broken + 0.5, self.examples + 2
        reach = Z * math.sqrt(b + c - (b - c) ** 2 / number)
        return max(-1.0, (b - c - reach) / number), min(1.0, (b - c + reach) / number)

    def p_value(self) -> float:
        """McNemar's test, exact: how likely so uneven a split would be between equals.

        With m = fixed + broken and k the smaller of the two it is
        min(1, 2 · sum over i from 0 to k of C(m, i) / 2^m).
        """
        m, k = len(self.changes), min(self.fixed, self.broken)
        logs = [
            math.lgamma(m + 1) - math.lgamma(i + 1) - math.lgamma(m - i + 1) for i in range(k + 1)
        ]
        return min(1.0, 2 * math.fsum(math.exp(log - m * math.log(2)) for log in logs))

    def by_class(self) -> list[tuple[str, int, int]]:
        """(class, fixed, broken) of the classes with a change, most won first, most lost last."""
        fixed = Counter(change.label for change in self.changes if change.fixed)
        broken = Counter(change.label for change in self.changes if not change.fixed)
        rows = [(name, fixed[name], broken[name]) for name in fixed | broken]
        return sorted(rows, key=lambda row: (row[2] - row[1], -row[1], row[0]))

    def to_json(self) -> dict:
        """The fields of a "compare" event."""
        rows = self.by_class()
        classes = [{"class": name, "fixed": b, "broken": c} for name, b, c in rows]
        return {
            "examples": self.examples,
            "correct_top1": list(self.correct),
            "top1": [round(correct / self.examples, 6) for correct in self.correct],
            "difference": round(self.difference, 6),
            "interval": [round(end, 6) for end in self.interval()],
            "fixed": self.fixed,
            "broken": self.broken,
            "p_value": self.p_value(),
            "classes": classes,
        }


def compare(a: dict[str, Sequence], b: dict[str, Sequence]) -> Comparison:
    """Sets two tables side by side, record by record.

    Args:
      a, b: columns as of `prediction_files.read`, in any order of the records.

    Raises:
      UserError: 78 where they are not of the same records with the same labels.
    """
    rows_a, rows_b = _by_key(a, "A"), _by_key(b, "B")
    if rows_a.keys() != rows_b.keys():
        only = sorted(rows_a.keys() ^ rows_b.keys())
        raise _other(f"{len(only):,} records are in one of them only, such as {only[0]!r}")
    changes, correct = [], [0, 0]
    for key, (label, before) in rows_a.items():
        other, after = rows_b[key]
        if other != label:
            raise _other(f"record {key!r} is {label!r} in A and {other!r} in B")
        right = before == label, after == label
        correct = [correct[0] + right[0], correct[1] + right[1]]
        if right[0] != right[1]:
            changes.append(Change(key, label, before, after, right[1]))
    return Comparison(len(rows_a), tuple(correct), changes)


def _by_key(table: dict[str, Sequence], name: str) -> dict[str, tuple[str, str]]:
    rows = dict(zip(table["key"], zip(table["label"], table["top1"])))
    if len(rows) != len(table["key"]):
        often = next(key for key, count in Counter(table["key"]).items() if count > 1)
        raise _other(f"{name} has more than one record called {often!r}")
    if not rows:
        raise _other(f"{name} has no records")
    return rows


def _other(what: str) -> UserError:
    return UserError(errors.MISMATCH, what, "A, B", "compare predictions of the same split")


def first_difference(
    a: Sequence[dict], b: Sequence[dict], data: Sequence[str | None] = (None, None)
) -> dict | None:
    """The first step at which two runs that should be equal part ways, and why.

    Args:
      a, b: rows as of `reporting.steps.read`.
      data: fingerprints of the data that each trained on. A step knows its records by their
        numbers, which mean other pictures in other data.

    Returns:
      `step` and `cause`: "data" at the first where the data differ, "order" where it had other
      records, "augmentation" where their pixels
      differ, "rate" where the learning rate does, "forward" where the loss does, or "backward"
      where only the gradient does; and what both have there, `a` and `b`. None where all steps
      that both have agree.
    """
    of_b = {row["step"]: row for row in b}
    for row in a:
        other = of_b.get(row["step"])
        if other and data[0] != data[1]:
            return {"step": int(row["step"]), "cause": "data", "a": data[0], "b": data[1]}
        for cause, column in _CAUSES.items():
            if other and row[column] != other[column]:
                step = int(row["step"])
                return {"step": step, "cause": cause, "a": row[column], "b": other[column]}
    return None
