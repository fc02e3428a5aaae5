"""A row for each step of a run, in `steps.csv`: what it did, and what it was fed.

    step,loss,gradient_norm,learning_rate,order,pictures
    1,2.4012625,1.8033309,0.0019607844,-4611686018427387904,7309453675965983316

`order` is a fingerprint of the step's record ids and `pictures` one of their pixels as the step
got them, both int64. Two runs that should be equal are equal up to the first row that differs,
and its columns say why: other records, other augmentation, or other arithmetic.
"""

import csv
import os
import pathlib
from collections.abc import Mapping

import numpy as np

from resnet_tf.files import replace_synced

FILE_NAME = "steps.csv"
COLUMNS = ("loss", "gradient_norm", "learning_rate", "order", "pictures")
_DIGITS = 20  # as many as no step has
_HEADING = "step," + ",".join(COLUMNS) + "\n"


class StepLog:
    """Appends to the file of a run, which holds each step once.

    Args:
      directory: of the run; must exist.
      resumed_step: step that the run starts from; rows of later steps are taken out.

    Attributes:
      dropped: the last step whose row was taken out; 0 where none was.
    """

    def __init__(self, directory: pathlib.Path, resumed_step: int):
        self._path = directory / FILE_NAME
        self._begin(resumed_step)

    def _begin(self, step: int) -> None:
        lines = _lines(self._path)
        kept = [line for line in lines if _step(line) <= step]
        self.dropped = _step(lines[-1]) if len(kept) < len(lines) else 0
        replace_synced(self._path, _HEADING + "".join(kept))
        self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115  closed by close()

    def write(self, first: int, columns: Mapping[str, np.ndarray]) -> None:
        """Adds the rows of steps `first`, `first` + 1, …: vectors by the names of `COLUMNS`."""
        rows = zip(*(columns[name].tolist() for name in ("order", "pictures")))
        # The shortest decimals that mean these float32.
        floats = zip(*(columns[name].astype(str) for name in COLUMNS[:3]))
        for number, (real, whole) in enumerate(zip(floats, rows)):
            self._file.write(f"{first + number},{','.join(real)},{whole[0]},{whole[1]}\n")
        self._file.flush()

    def rewind(self, step: int) -> None:
        """Takes out the rows of later steps, which will be done again."""
        before = self._file
        self._begin(step)
        before.close()

    def close(self) -> None:
        """Waits until the file is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def read(directory: pathlib.Path) -> list[dict[str, str]]:
    """The rows of a run's file, as text, without a last one that a kill cut short, or any other
    that does not hold numbers."""
    rows = csv.DictReader([_HEADING, *_lines(directory / FILE_NAME)])
    return [row for row in rows if _sound(row)]


def _sound(row: Mapping[str, str]) -> bool:
    try:
        for name in COLUMNS[:3]:
            float(row[name])
        return all(abs(int(row[name])) < 2**64 for name in ("step", "order", "pictures"))
    except (TypeError, ValueError):  # no number, or a cell that is not there
        return False


def _lines(path: pathlib.Path) -> list[str]:
    """Whole rows, without the heading."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return []
    lines = text.splitlines(keepends=True)[1:]
    return [line for line in lines if line.endswith("\n") and line.count(",") == len(COLUMNS)]


def _step(line: str) -> int:
    number = line.partition(",")[0]
    return int(number) if number.isdecimal() and len(number) < _DIGITS else 0
