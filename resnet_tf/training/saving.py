"""The commits of a run: what is kept of them, and what a failing disk costs."""

import contextlib
import pathlib
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from resnet_tf import checkpoint, errors, faults, reporting
from resnet_tf.checkpoint import Commit, Retention, naming
from resnet_tf.errors import UserError
from resnet_tf.reporting import Journal, goodput
from resnet_tf.reporting import journal as journals
from resnet_tf.reporting.goodput import Goodput
from resnet_tf.training.findings import size
from resnet_tf.training.place import Place
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

    With `async_save` the commits in the middle of a run are written by a thread, of a copy of the
    state that is taken at their step. There is never more than one under way; all that is
    decided by a commit, and every line about it, waits until it is written.

    Args:
      run: to be saved.
      resumed: the commit that it goes on from, if from any.
      journal: where each commit is noted.
      clock: of the run.
      place: of the run; beside the chief, which commits the same state, nothing is written.
    """

    def __init__(
        self,
        run: Run,
        resumed: Commit | None,
        journal: Journal,
        clock: Goodput,
        place: Place,
    ):
        self._run, self._journal, self._clock, self._place = run, journal, clock, place
        self._last, self._background = resumed, None
        self._writing: tuple[int, Future] | None = None
        config = run.config
        if config.async_save:
            self._background = ThreadPoolExecutor(1, thread_name_prefix="save")
        evaluations = [
            event for event in journals.read(pathlib.Path(config.model_dir))
            if event.get("event") == "eval" and event.get("split") == config.eval_split
        ]  # fmt: skip
        self._retention = Retention(
            run.commits, config.keep, config.keep_best, config.keep_every_hours, evaluations
        )

    @property
    def last(self) -> Commit | None:
        """The newest commit, None before the first; waits for one that is being written."""
        self.finish()
        return self._last

    @property
    def writes(self) -> bool:
        """Whether this process commits; beside the chief it does not."""
        return self._place.is_writers

    @property
    def newest(self) -> str:
        """The newest commit: its directory, or its address in a store."""
        return self._place.name_of(self.last.path)

    def save(self, step: int) -> Commit:
        """Commits the present state as that of `step`, and waits until it is on the disk.

        Raises:
          UserError: 74 where the disk fails, 76 where the state is not finite.
        """
        self.finish()
        with self._clock.during(goodput.SAVING):
            self._refuse_moved_or_full()
            return self._committed(*self._write(step, self._run.tensors(), self._fields(step)))

    def save_if_possible(self, step: int) -> None:
        """The same in the middle of a run: a failing disk costs a save, not the run.

        Raises:
          UserError: where the fault is not the disk's, or the directory of the run is gone.
        """
        if not self._background:
            with self._costing_a_save(step):
                self.save(step)
            return
        self.finish()
        with self._costing_a_save(step), self._clock.during(goodput.SAVING):
            self._refuse_moved_or_full()
            # The next steps write into the variables, whose memory `numpy` may share.
            tensors = {name: np.array(array) for name, array in self._run.tensors().items()}
            written = self._background.submit(self._write, step, tensors, self._fields(step))
            self._writing = step, written

    def poll(self) -> None:
        """Notes a commit that has been written meanwhile; waits for nothing."""
        if self._writing and self._writing[1].done():
            self.finish()

    def finish(self) -> None:
        """Waits until nothing is being written.

        Raises:
          UserError: as of `save_if_possible`.
        """
        if self._writing is None:
            return
        (step, written), self._writing = self._writing, None
        with self._costing_a_save(step), self._clock.during(goodput.SAVING):
            self._committed(*written.result())

    def close(self) -> None:
        """Waits for what is being written, where a run ends by an error of its own."""
        try:
            self.finish()
        except UserError as error:
            reporting.say(str(error))

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
        self._last = checkpoint.newest(self._run.commits, [])
        self._retention.forget_after(step)
        if self._place.mirror:
            self._place.mirror.let_go_after(step)

    def _fields(self, step: int) -> dict:
        return self._run.fields(step) | self._retention.fields()

    def _write(self, step: int, tensors: dict, fields: dict) -> tuple[Commit, float]:
        """The commit, and the seconds that it took. All that it uses is its own."""
        begin = time.perf_counter()
        if not self._place.is_writers:
            faults.at("save.beside")
            path = naming.path_of(self._place.commits, step)
            return Commit(path, step, fields | {"digest": ""}), 0.0
        made = checkpoint.write(self._run.commits, step, tensors, fields)
        if self._place.mirror:
            self._place.mirror.push()
        return made, round(time.perf_counter() - begin, 3)

    def _committed(self, made: Commit, seconds: float) -> Commit:
        self._last = made
        self._retention.committed(made)
        self._sweep()
        self._journal.write("save", step=made.step, checkpoint=self.newest, seconds=seconds)
        return made

    @contextlib.contextmanager
    def _costing_a_save(self, step: int) -> Iterator[None]:
        """Where the disk fails, that is said; all other errors are raised."""
        try:
            yield
        except UserError as error:
            if error.code != errors.IO_ERROR or not self._is_ours():
                raise
            last = f"step {self._last.step}" if self._last else "nothing"
            reporting.say(f"{error}; going on, {last} is committed")
            self._journal.write("save_failed", step=step, error=str(error))

    def _sweep(self) -> None:
        self._refuse_moved()  # what is there now may be another run's
        mirror = self._place.mirror
        before = checkpoint.commits(self._run.commits) if mirror else []
        try:
            self._retention.sweep()
        except OSError as error:
            reporting.say(f"an old commit could not be removed: {error}")
        if mirror:
            left = checkpoint.commits(self._run.commits)
            mirror.let_go(path.name for path in before if path not in left)

    def _is_ours(self) -> bool:
        """Whether the directory is there, and no other one in its place."""
        there, lock = pathlib.Path(self._run.config.model_dir).is_dir(), self._place.lock
        return there and (lock is None or lock.is_held())

    def _refuse_moved(self) -> None:
        if not self._place.is_writers:
            return  # nothing of this process is kept
        directory = self._run.config.model_dir
        if not self._is_ours():
            what = "the model directory is gone"
            if pathlib.Path(directory).is_dir():
                what = "the lock of the model directory is gone, or it is another directory now"
            raise UserError(
                errors.IO_ERROR, what, directory, "put it back; the same command goes on"
            )

    def _refuse_moved_or_full(self) -> None:
        self._refuse_moved()
        if not self._place.is_writers:
            return
        directory = self._run.config.model_dir
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
