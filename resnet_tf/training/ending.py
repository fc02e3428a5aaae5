"""What is said and written when a run ends, however it ends."""

import pathlib
import sys
from collections.abc import Iterator

import tensorflow as tf

from resnet_tf import errors, reporting
from resnet_tf.checkpoint import Commit
from resnet_tf.config import Config
from resnet_tf.errors import UserError
from resnet_tf.evaluation import Predictions
from resnet_tf.reporting import Journal, goodput
from resnet_tf.reporting import journal as journals
from resnet_tf.reporting.goodput import Goodput
from resnet_tf.training import run_page, samples
from resnet_tf.training.meter import Meter
from resnet_tf.training.run import Run
from resnet_tf.training.saving import Saver


def done(saver: Saver, evaluated: dict, meter: Meter) -> dict:
    """The "done" event of a run that is complete."""
    saved = saver.last
    return {
        "event": "done",
        "step": saved.step,
        "epoch": round(saved.manifest["epoch"], 4),
        "examples_seen": saved.manifest["examples_seen"],
        **meter.total(),
        "eval": evaluated,
        "checkpoint": saver.place,
        "digest": saved.manifest["digest"],
    }


def tell_goodput(step: int, journal: Journal, clock: Goodput) -> None:
    """Where the time of the command went, as an event and a line."""
    seconds = clock.seconds()
    journal.write("goodput", step=step, seconds=seconds)
    reporting.say(goodput.line(seconds))


def write_page(
    run: Run, predictions: Predictions, iterator: Iterator, clock: Goodput, done: dict
) -> None:
    """Writes the run's page; where that fails it is said, since no page is worth a run."""
    path = pathlib.Path(run.config.model_dir) / run_page.FILE_NAME
    try:
        pictures = samples.of_next(run.strategy, iterator, run.manifest.classes)
        ending = [{"event": "goodput", "seconds": clock.seconds()}, done]
        environment = run.describe["environment"]
        run_page.write(
            path, run.config, run.manifest, predictions, run.held_out, pictures, environment, ending
        )
    except (OSError, tf.errors.OpError) as error:
        reporting.say(f"no report was written: {errors.plain(error)}")
    else:
        reporting.say(f"report: {path}")


def said_before(run: Run, resumed: Commit) -> dict | None:
    """The "done" event of a run that is complete, so that its command can say it again."""
    if resumed.step < run.total_steps:
        return None
    for event in reversed(journals.read(pathlib.Path(run.config.model_dir))):
        done = event.get("event") == "done" and event.get("digest") == resumed.manifest["digest"]
        evaluation = event.get("eval")
        if (
            done
            and isinstance(evaluation, dict)
            and evaluation.get("split") == run.config.eval_split
        ):
            return {**event, "checkpoint": str(resumed.path)}  # it may have been moved
    # Killed before the end, or asked for another split: only the evaluation is to do.
    return None


def tell_hung(config: Config, journal: Journal, after: str, seconds: float, stacks: str) -> None:
    """What the watchdog says before it ends the process."""
    what = f"no progress for {seconds:,.0f} s after {after}; what its threads do is above"
    remedy = "the same command goes on from the last commit; --step_timeout sets the limit"
    error = UserError(errors.INTERNAL, what, config.model_dir, remedy)
    print(f"{stacks}\n{error}", file=sys.stderr, flush=True)
    journal.write("hung", after=after, seconds=round(seconds, 1), stacks=stacks)


def too_large(run: Run, error: tf.errors.OpError) -> UserError:
    """The error for a step that needs more memory than there is."""
    pictures, parts = run.describe["preprocessing"], run.config.accumulate
    what = (
        f"a step of {run.config.batch_size} pictures of {pictures['height']}x{pictures['width']}"
        f" does not fit in memory: {error.message.splitlines()[0]}"
    )
    remedy = f"give a smaller one and --accumulate above {parts}; what was committed stays"
    return UserError(errors.INTERNAL, what, "--batch_size", remedy)
