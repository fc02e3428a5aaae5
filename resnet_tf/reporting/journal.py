"""The journal: what happened in a run, as JSON lines on stdout and in `journal.jsonl`.

Beside it lie `steps.csv` with a row a step, see `reporting.steps`, and, if asked for, event files,
see `reporting.tensorboard`.
"""

import contextlib
import json
import math
import os
import pathlib
import sys
from collections.abc import Iterator, Mapping

import numpy as np

from resnet_tf.errors import plain
from resnet_tf.files import replace_synced
from resnet_tf.reporting.console import say, silence
from resnet_tf.reporting.steps import StepLog
from resnet_tf.reporting.tensorboard import TensorBoard, installed

FILE_NAME = "journal.jsonl"
_LARGEST = 1e100


class Journal:
    """Appends events to the file of a run and to stdout.

    The file holds each step once: lines of steps that a resumed run will do again are taken
    out when it starts. Where a file cannot be written later on, that is said once: no journal is
    worth a run.

    Args:
      directory: of the run; must exist.
      resumed_step: step that the run starts from.
      tensorboard: write event files too, where the package `tensorboard` is installed.

    Attributes:
      steps: the log with a row a step.
      tensorboard: the run's event files, or None.
    """

    def __init__(self, directory: pathlib.Path, resumed_step: int, tensorboard: bool = False):
        self._directory, self._failed = directory, False
        self._begin(resumed_step)
        self.steps = StepLog(directory, resumed_step)
        written = tensorboard and installed()
        self.tensorboard = TensorBoard(directory, resumed_step) if written else None

    def _begin(self, step: int) -> None:
        path = self._directory / FILE_NAME
        kept = [event for event in read(self._directory) if _step(event) <= step]
        replace_synced(path, "".join(_line(event) for event in kept))
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115  closed by close()

    def rewind(self, step: int) -> None:
        """Takes out the lines of later steps, which will be done again."""
        with self._no_run_is_lost():
            before = self._file
            self._begin(step)
            before.close()
        for log in filter(None, (self.steps, self.tensorboard)):
            with self._no_run_is_lost():
                log.rewind(step)

    def count(self, event: str, step: int | None = None) -> int:
        """How many events of a kind the file holds, of one step or of all."""
        lines = [line for line in read(self._directory) if line.get("event") == event]
        return sum(step is None or line.get("step") == step for line in lines)

    def write(self, event: str, **fields) -> None:
        """Adds one event; `fields` are plain numbers, strings, lists and dictionaries."""
        line = _line({"event": event, **fields})
        with self._no_run_is_lost():
            self._file.write(line)
            self._file.flush()
        try:
            emit({"event": event, **fields})
        except OSError as error:
            silence(sys.stdout)
            elsewhere = "" if self._failed else "; the journal has it all"
            say(f"stdout cannot be written: {plain(error)}{elsewhere}")
        if self.tensorboard:
            with self._no_run_is_lost():
                self.tensorboard.write(event, fields)

    def write_steps(self, first: int, columns: Mapping[str, np.ndarray]) -> None:
        """Adds the rows of steps, see `StepLog.write`."""
        with self._no_run_is_lost():
            self.steps.write(first, columns)

    def close(self) -> None:
        """Waits until the files are on the disk."""
        for end in (self._end, self.steps.close, getattr(self.tensorboard, "close", None)):
            with self._no_run_is_lost():
                if end:
                    end()

    @contextlib.contextmanager
    def _no_run_is_lost(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._failed:
                self._failed = True
                say(f"the journal cannot be written: {plain(error)}; the run goes on")

    def _end(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def emit(event: dict) -> None:
    """One JSON line on stdout."""
    try:
        sys.stdout.write(_line(event))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has gone, as `head` does; the journal has it all
        silence(sys.stdout)


def read(directory: pathlib.Path) -> list[dict]:
    """Events of a run's journal, without a last line that a kill cut short, or any other line
    that is no event; none where there is no journal.

    Raises:
      OSError: where there is one that cannot be read.
    """
    try:
        text = (directory / FILE_NAME).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return []
    events = []
    for line in text.split("\n"):
        try:
            events.append(json.loads(line, parse_constant=_refuse, parse_float=_finite))
        except (ValueError, RecursionError):
            continue
    named = (event for event in events if isinstance(event, dict))
    return [event for event in named if isinstance(event.get("event"), str)]


def number(event: Mapping, name: str) -> float | None:
    """A field that is a number, and one that can be drawn; None where it is anything else."""
    value = event.get(name)
    sound = isinstance(value, int | float) and not isinstance(value, bool)
    return value if sound and abs(value) <= _LARGEST else None


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def _refuse(constant: str):
    raise ValueError(f"{constant} is no JSON")


def _step(event: dict) -> int:
    step = event.get("step")
    return step if isinstance(step, int) else 0


def _line(event: dict) -> str:
    return json.dumps(event, allow_nan=False) + "\n"
