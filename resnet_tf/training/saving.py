"""The commits of a run: what is kept of them, and what a failing disk costs."""

import pathlib
import shutil
import time

import numpy as np

from resnet_tf import checkpoint, errors, reporting
from resnet_tf.checkpoint import Commit, Retention
from resnet_tf.errors import UserError
from resnet_tf.reporting import Journal, goodput
from resnet_tf.reporting import journal as journals
from resnet_tf.reporting.goodput import Goodput
from resnet_tf.training.findings import size
from resnet_tf.training.run import Run

_MANIFEST_BYTES = 2**20


def refuse_full(run: Run) -> None:
    """Raises UserError 74 where the disk has no room for two commits: one is always there."""
    model_dir = pathlib.Path(run.config.model_dir).absolute()
    there = next(path for path in (model_dir, *model_dir.parents) if path.exists())
    needed, free = 2 * _bytes_of(run), _free(there)
    if free < needed:
        raise UserError(
            errors.IO_ERROR,
            f"the disk has {size(free)} free, and two commits need {size(needed)}",
            run.config.model_dir,
            "make room, or give another --model_dir",
        )


class Saver:
    """Commits the states of a run.

    Args:
      run: to be saved.
      resumed: the commit that it goes on from, if from any.
      journal: where each commit is noted.
      clock: of the run.

    Attributes:
      last: the newest commit, None before the first.
    """

    def __init__(self, run: Run, resumed: Commit | None, journal: Journal, clock: Goodput):
        self._run, self._journal, self._clock = run, journal, clock
        self.last = resumed
        config = run.config
        evaluations = [
            event for event in journals.read(pathlib.Path(config.model_dir))
            if event.get("event") == "eval" and event.get("split") == config.eval_split
        ]  # fmt: skip
        self._retention = Retention(
            run.commits, config.keep, config.keep_best, config.keep_every_hours, evaluations
        )

    def save(self, step: int) -> Commit:
        """Commits the present state as that of `step`.

        Raises:
          UserError: 74 where the disk fails, 76 where the state is not finite.
        """
        with self._clock.during(goodput.SAVING):
            begin = time.perf_counter()
            self._refuse_moved_or_full()
            self.last = self._run.save(step, self._retention.fields())
            self._retention.committed(self.last)
            self._sweep()
            seconds = round(time.perf_counter() - begin, 3)
        path = str(self.last.path)
        self._journal.write("save", step=step, checkpoint=path, seconds=seconds)
        return self.last

    def save_if_possible(self, step: int) -> None:
        """The same in the middle of a run: a failing disk costs a save, not the run.

        Raises:
          UserError: where the fault is not the disk's, or the directory of the run is gone.
        """
        try:
            self.save(step)
        except UserError as error:
            if error.code != errors.IO_ERROR or not self._is_there():
                raise
            last = f"step {self.last.step}" if self.last else "nothing"
            reporting.say(f"{error}; going on, {last} is committed")
            self._journal.write("save_failed", step=step, error=str(error))

    def evaluated(self, step: int, counts: dict) -> None:
        """An evaluation was made; where its state is the best so far, it is committed."""
        if not self._retention.evaluated(step, counts):
            return
        if self.last and self.last.step == step:
            self._sweep()  # of the one that was the best
        else:
            self.save_if_possible(step)

    def went_back(self, step: int) -> None:
        """The run is at an earlier step again, which is committed."""
        self.last = checkpoint.newest(self._run.commits, [])
        self._retention.forget_after(step)

    def _sweep(self) -> None:
        try:
            self._retention.sweep()
        except OSError as error:
            reporting.say(f"an old commit could not be removed: {error}")

    def _is_there(self) -> bool:
        return pathlib.Path(self._run.config.model_dir).is_dir()

    def _refuse_moved_or_full(self) -> None:
        directory = self._run.config.model_dir
        if not self._is_there():
            what = "the model directory is gone"
            raise UserError(
                errors.IO_ERROR, what, directory, "put it back; the same command goes on"
            )
        needed, free = _bytes_of(self._run), _free(directory)
        if free < needed:
            what = f"the disk has {size(free)} free, and a commit needs {size(needed)}"
            raise UserError(errors.IO_ERROR, what, directory, "make room")


def _free(directory: str | pathlib.Path) -> float:
    """Bytes; without end where the file system does not say."""
    usage = shutil.disk_usage(directory)
    return usage.free if usage.total else float("inf")


def _bytes_of(run: Run) -> int:
    """Of a commit, nearly."""
    variables = run.variables.values()
    return _MANIFEST_BYTES + sum(
        int(np.prod(variable.shape, dtype=np.int64)) * variable.dtype.size for variable in variables
    )
