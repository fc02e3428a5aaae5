"""A profile of some steps: what TensorFlow's profiler records between two of them.

It lies in `<directory>/plugins/profile/<time>/`: `<host>.xplane.pb`, which TensorBoard's profile
plugin shows, and `<host>.perfetto.json.gz`, which https://ui.perfetto.dev opens.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import tensorflow as tf

from resnet_tf import errors, reporting
from resnet_tf.files import make_directory

if TYPE_CHECKING:
    from resnet_tf.training.trace import OpTime


@dataclasses.dataclass(frozen=True)
class Profile:
    """What was recorded.

    Args:
      first: steps that were done when it began.
      last: steps that were done when it ended.
      xplane: the file for TensorBoard.
      perfetto: the file for Perfetto.
      ops: a row for each type of op, the costliest first.
    """

    first: int
    last: int
    xplane: pathlib.Path
    perfetto: pathlib.Path
    ops: list["OpTime"]


class Profiler:
    """Records the steps after `first` up to `last`, once.

    A run that is resumed between the two records what is left. What the profiler cannot do is
    said in one line, and the run goes on: a profile is never worth a run.

    Args:
      directory: where the profile is written; it is made.
      first: steps that are done when recording begins.
      last: steps that are done when it ends; greater than `first`.
      say: takes a line for people.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        first: int,
        last: int,
        say: Callable[[str], None] = reporting.say,
    ):
        self._directory, self._first, self._last, self._say = directory, first, last, say
        self._since = None  # the step at which recording began
        self._tried = False

    def next_stop(self, step: int) -> int | None:
        """The next step after `step` at which a call has to end, if there is one."""
        return next((stop for stop in (self._first, self._last) if stop > step), None)

    def refuse_beyond(self, total_steps: int) -> None:
        """Raises UserError 64 where the run ends before the last step to record."""
        if self._last > total_steps:
            rule = f"must end by step {total_steps}, the last of the run"
            raise errors.bad_flag("profile_steps", rule, self._last)

    def begin_at(self, step: int) -> None:
        """Begins recording where `step` says so; to be called just before a call of the loop."""
        if not self._tried and self._first <= step < self._last:
            self._tried = True
            self._attempt(self._start, step)
        elif not self._tried and step >= self._last:
            self._tried = True
            self._say(f"no profile of steps {self._first} to {self._last}: they are done already")

    def end_at(self, step: int) -> Profile | None:
        """Ends recording where `step` says so, and gives the profile; just after a call."""
        if self._since is None or step < self._last:
            return None
        return self._attempt(self._stop, step)

    def give_up(self, reason: str) -> None:
        """Stops recording that is under way, which `reason` made useless, and says so."""
        if self._since is not None:
            self.close()
            self._say(f"no profile of steps {self._first} to {self._last}: {reason}")

    def close(self) -> None:
        """Stops recording that has not come to its end, and keeps nothing of it."""
        if self._since is not None:
            self._since = None
            self._attempt(tf.profiler.experimental.stop, False)

    def _start(self, step: int) -> None:
        make_directory(self._directory)  # the profiler would fail at the end only
        tf.profiler.experimental.start(str(self._directory))
        self._since = step

    def _stop(self, step: int) -> Profile:
        # Only here, since it reads what TensorFlow does not promise to keep where it is.
        from resnet_tf.training import trace

        first, self._since = self._since, None
        tf.profiler.experimental.stop()
        runs = self._directory / "plugins" / "profile"
        xplane = max(runs.glob("*/*.xplane.pb"), key=lambda path: path.stat().st_mtime)
        space = trace.read(xplane)
        perfetto = xplane.with_name(xplane.name.replace(".xplane.pb", ".perfetto.json.gz"))
        trace.write_chrome_trace(space, perfetto)
        return Profile(first, step, xplane, perfetto, trace.op_times(space, step - first))

    def _attempt(self, action: Callable, argument: object) -> object:
        try:
            return action(argument)
        except Exception as error:  # whatever it is, the run is worth more
            reason = errors.plain(getattr(error, "message", None) or error)
            self._say(f"no profile of steps {self._first} to {self._last}: {reason}")
            return None


def table(profile: Profile, most: int = 10) -> str:
    """The costliest ops, for people: type, calls and milliseconds a step, share, an example.

    The milliseconds are summed over threads, so a step may have more of them than it lasts.
    """
    rows = [
        [op.type, f"{op.calls:,.1f}", f"{op.ms:,.3f}", f"{op.share:.1%}", op.example]
        for op in profile.ops
    ]
    heading = ["op", "calls a step", "ms a step", "share", "for example"]
    return errors.table([heading, *rows], most=most + 1)
