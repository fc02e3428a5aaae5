"""What is said and written when a run ends, however it ends."""

import pathlib
import sys
from collections.abc import Callable, Iterator

import tensorflow as tf

from resnet_tf import errors, reporting
from resnet_tf.checkpoint import Commit
from resnet_tf.config import Config
from resnet_tf.distribution import largest_of_all
from resnet_tf.errors import UserError
from resnet_tf.evaluation import Predictions
from resnet_tf.reporting import Journal, goodput
from resnet_tf.reporting import journal as journals
from resnet_tf.reporting.goodput import Goodput
from resnet_tf.training import resume, run_page, samples, start
from resnet_tf.training.meter import Meter
from resnet_tf.training.observers import Observers
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
        "checkpoint": saver.newest,
        "digest": saved.manifest["digest"],
    }


def tell_goodput(step: int, journal: Journal, clock: Goodput) -> None:
    """Where the time of the command went, as an event and a line."""
    seconds = clock.seconds()
    journal.write("goodput", step=step, seconds=seconds)
    reporting.say(goodput.line(seconds))


def write_page(
    run: Run,
    predictions: Predictions,
    iterator: Iterator,
    clock: Goodput,
    done: dict,
    name_of: Callable[[pathlib.Path], str] = str,
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
        reporting.say(f"report: {name_of(path)}")


def say_again(
    config: Config,
    total_steps: int,
    resumed: Commit,
    name_of: Callable[[pathlib.Path], str] = str,
) -> dict | None:
    """Says the "done" event of a run that is complete once more; None where it is not."""
    if resumed.step < total_steps:
        return None
    for event in reversed(journals.read(pathlib.Path(config.model_dir))):
        done = event.get("event") == "done" and event.get("digest") == resumed.manifest["digest"]
        evaluation = event.get("eval")
        if done and isinstance(evaluation, dict) and evaluation.get("split") == config.eval_split:
            event = {**event, "checkpoint": name_of(resumed.path)}  # it may have been moved
            reporting.say(f"already complete at step {resumed.step}: {event['checkpoint']}")
            journals.emit(event)
            return event
    # Killed before the end, or asked for another split: only the evaluation is to do.
    return None


def say_again_alone(config: Config) -> dict | None:
    """The same before processes meet: some of them may have ended for good, with code 0."""
    events = journals.read(pathlib.Path(config.model_dir))
    if not any(event.get("event") == "done" for event in events):
        return None  # looked at first, since a commit takes time to verify
    resumed, _ = resume.choose(config)
    if not resumed or not resumed.manifest["config"]:
        return None
    if Config.from_json(resumed.manifest["config"]).changes(config):
        return None  # which will be refused
    total_steps = config.total_steps(start.data_of(config).records(config.train_split))
    return say_again(config, total_steps, resumed)


def stopped(run: Run, step: int, observers: Observers) -> UserError:
    """Commits the step that is reached, and gives the error that ends the command."""
    saver = observers.saver
    failure = None
    try:
        if step and not (saver.last and saver.last.step == step):
            saver.save(step)
    except UserError as error:
        failure = error
    tell_goodput(step, observers.journal, observers.goodput)
    if observers.asked_of_any:  # nobody calls a step committed, or leaves, before it is
        failed = largest_of_all(run.strategy, failure.code if failure else 0)
        if failed and not failure:
            what = f"process 0 could not commit step {step}"
            failure = UserError(failed, what, f"step {step}", "see what that says")
    if failure:
        return failure
    if saver.last:
        return observers.stop.error(f"at step {step}, which is committed", saver.newest)
    return observers.stop.error("before the first step", run.config.model_dir)


def tell_hung(config: Config, journal: Journal, after: str, seconds: float, stacks: str) -> None:
    """What the watchdog says before it ends the process."""
    what = f"no progress for {seconds:,.0f} s after {after}; what its threads do is above"
    remedy = "the same command goes on from the last commit; --step_timeout sets the limit"
    error = UserError(errors.INTERNAL, what, config.model_dir, remedy)
    print(f"{stacks}\n{error}", file=sys.stderr, flush=True)
    journal.write("hung", after=after, seconds=round(seconds, 1), stacks=stacks)


def step_too_large(run: Run, error: tf.errors.OpError) -> UserError:
    """The error for a step that needs more memory than there is."""
    remedy = f"give a smaller one and --accumulate above {run.config.accumulate}"
    return _too_large(run, error, f"a step of {run.config.batch_size}", "--batch_size", remedy)


def evaluation_too_large(run: Run, error: tf.errors.OpError) -> UserError:
    """The error for a batch of an evaluation that needs more memory than there is."""
    what = f"an evaluation of {run.config.eval_batch_size or run.config.batch_size}"
    return _too_large(run, error, what, "--eval_batch_size", "give a smaller one")


def _too_large(run: Run, error: tf.errors.OpError, what: str, flag: str, remedy: str) -> UserError:
    pictures, reason = run.describe["preprocessing"], error.message.splitlines()[0]
    what = f"{what} pictures of {pictures['height']}x{pictures['width']} does not fit in memory"
    remedy = f"{remedy}; what was committed stays"
    return UserError(errors.INTERNAL, f"{what}: {reason}", flag, remedy)
