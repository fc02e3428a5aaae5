"""What the checks before a run have found: a line for each, numbers for programs, problems."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from resnet_tf import errors, reporting
from resnet_tf.errors import UserError
from resnet_tf.reporting import journal
from resnet_tf.reporting.console import clock


class Findings:
    """Says each finding on stderr as it comes; `close` gives the event.

    Attributes:
      numbers: of the event, by name.
      problems: what would stop the run.
      warnings: what would not, and is seldom meant.
    """

    def __init__(self):
        self.numbers: dict[str, Any] = {}
        self.problems: list[UserError] = []
        self.warnings: list[str] = []

    def ok(self, name: str, text: str, **numbers) -> None:
        """A line on something that is as it should be, and its numbers."""
        self._say("ok", name, text)
        self.numbers |= numbers

    def warn(self, name: str, text: str) -> None:
        """A line on something that a run can do with."""
        self._say("warning", name, text)
        self.warnings.append(text)

    def attempt(self, name: str, look: Callable, *arguments) -> Any:
        """What `look(self, *arguments)` returns; None where it meets a problem, which is kept."""
        try:
            return look(self, *arguments)
        except UserError as error:
            problem = error
        except tf.errors.ResourceExhaustedError as error:
            problem = UserError(
                errors.BAD_FLAGS,
                f"it does not fit in memory: {error.message.splitlines()[0]}",
                "--batch_size",
                "give a smaller one, and --accumulate to have as many examples a step",
            )
        except OSError as error:
            problem = UserError(
                errors.IO_ERROR,
                error.strerror or str(error),
                error.filename or "system",
                "see that it can be read and written",
            )
        self._say("error", name, f"{problem.what} | {problem.where} | {problem.remedy}")
        self.problems.append(problem)
        return None

    def close(self) -> dict:
        """Emits the event, as the last line on stdout.

        Raises:
          UserError: the first problem, where there is any.
        """
        event = {
            "event": "dry_run",
            **self.numbers,
            "warnings": self.warnings,
            "problems": [str(problem) for problem in self.problems],
        }
        journal.emit(event)
        if self.problems:
            raise self.problems[0]
        return event

    def _say(self, status: str, name: str, text: str) -> None:
        reporting.say(f"{status:<8} {name:<10} {errors.plain(text)}")


def duration(seconds: float) -> str:
    """A time for people, such as 0.49 s or 1:40."""
    return clock(seconds) if seconds >= 60 else f"{seconds:.2g} s"


def size(count: float) -> str:
    """A number of bytes for people, such as 1.4 GiB."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} TiB"
