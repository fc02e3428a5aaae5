"""The loop: when to do what, and nothing of how.

lock the directory · decide what to resume · build · for each K steps: update, journal,
health, save, evaluate, signals · final save, final evaluation, report · unlock
"""

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Iterator

import tensorflow as tf

from resnet_tf import checkpoint, errors, faults, reporting, runtime
from resnet_tf.checkpoint import Commit, Lock
from resnet_tf.config import Config
from resnet_tf.distribution import DeviceRequest, make_strategy
from resnet_tf.errors import UserError
from resnet_tf.evaluation import Predictions
from resnet_tf.reporting import Console, Journal, goodput
from resnet_tf.reporting import journal as journals
from resnet_tf.reporting.goodput import Goodput
from resnet_tf.stopping import Asked, Stop
from resnet_tf.training import (
    bad_batches,
    board,
    nonfinite,
    resume,
    run_page,
    samples,
    saving,
    start,
)
from resnet_tf.training import profile as profiles
from resnet_tf.training.meter import Meter
from resnet_tf.training.profile import Profiler
from resnet_tf.training.run import Run
from resnet_tf.training.saving import Saver
from resnet_tf.watchdog import Watchdog


@dataclasses.dataclass
class _Observers:
    """All that looks on while a run trains."""

    journal: Journal
    console: Console
    meter: Meter
    goodput: Goodput
    profiler: Profiler | None
    stop: Stop
    watchdog: Watchdog
    saver: Saver

    def progressed(self, to: str) -> None:
        """To be called all the time: tells the watchdog, and asks whether to stop."""
        self.watchdog.beat(to)
        self.saver.poll()
        self.stop.check()


def train(config: Config, profiler: Profiler | None = None, stop: Stop | None = None) -> dict:
    """Trains as `config` says, from where an earlier command stopped, to the end.

    Args:
      config: of the run.
      profiler: of some of its steps; none by default.
      stop: may ask it to end before; nobody does by default.

    Returns:
      The "done" event: step, epoch, examples_seen, images_per_second, train_loss, eval,
      checkpoint and digest.

    Raises:
      UserError: for all that a user can mend; what was committed stays. 75, 130 or 143 where it
        was asked to stop: the step that was reached is committed.
    """
    stop = stop or Stop()
    try:
        return _train_alone(config, profiler, stop)
    except Asked:
        raise stop.error("before it had begun", config.model_dir) from None


def _train_alone(config: Config, profiler: Profiler | None, stop: Stop) -> dict:
    clock = Goodput(runtime.process_age())
    stop.check()
    Lock.refuse_held(pathlib.Path(config.model_dir))
    manifest = start.data_of(config)
    seen = checkpoint.commits(pathlib.Path(config.model_dir) / "checkpoints")
    resumed, damaged = resume.choose(config)
    strategy = make_strategy(DeviceRequest.parse(config.devices))
    run = start.prepare(config, manifest, strategy, resumed)
    if profiler:
        profiler.refuse_beyond(run.total_steps)
    if resumed:
        if finished := _finished(run, resumed):
            reporting.say(f"already complete at step {resumed.step}: {config.model_dir}")
            journals.emit(finished)
            return finished
        resume.tell_or_refuse_inexact(resumed, run.describe, config, reporting.say)
    stop.check()
    saving.refuse_full(run)
    lock = start.take_directory(config, seen)
    try:
        if resumed:
            resume.set_aside(damaged, resumed, reporting.say)
        stop.tell(lambda: run.stop.assign(True))
        return _train(run, resumed, clock, profiler, stop)
    finally:
        lock.release()


def _train(
    run: Run, resumed: Commit | None, clock: Goodput, profiler: Profiler | None, stop: Stop
) -> dict:
    step = resumed.step if resumed else 0
    journal = _open_journal(run, resumed)
    clock.replays(journal.steps.dropped)
    console = Console(run.total_steps, step)
    meter = Meter(run.config.examples_a_step)
    watchdog = Watchdog(run.config.step_timeout, functools.partial(_tell_hung, run.config, journal))
    saver = Saver(run, resumed, journal, clock)
    observers = _Observers(journal, console, meter, clock, profiler, stop, watchdog, saver)
    watchdog.start()
    try:
        return _advance_to_the_end(run, resumed, step, observers)
    finally:
        saver.close()
        watchdog.stop()
        console.close()
        journal.close()
        if profiler:
            profiler.close()


def _advance_to_the_end(run: Run, resumed: Commit | None, step: int, observers: _Observers) -> dict:
    config, journal, console = run.config, observers.journal, observers.console
    clock, profiler, saver = observers.goodput, observers.profiler, observers.saver
    evaluated = (-1, {}, None)
    if config.on_nonfinite == "rollback" and not resumed:
        saver.save(0)  # there must be something to go back to
    if journal.tensorboard:
        board.begin(run, step, journal.tensorboard)
    bad_batches.tell(run, 0, step, journal, console)  # those found when the data was read
    iterator = iter(run.feed.batches(step))
    try:
        if resumed and _lacks_evaluation(run, step, journal):
            evaluated = step, *_evaluate(run, step, observers)
        while step < run.total_steps:
            observers.progressed(f"step {step}")
            step, anew = _advance(run, iterator, step, observers)
            if anew:
                iterator = iter(run.feed.batches(step))
                continue
            console.advance_to(step)
            if profiler and (profile := profiler.end_at(step)):
                console.say(profiles.table(profile))
            if _due(step, config.log_every_steps, run.total_steps):
                _log(run, step, observers)
            if step < run.total_steps and _due(step, config.save_every_steps, run.total_steps):
                saver.save_if_possible(step)
            if step == run.total_steps:
                saver.save(step)
            if _due(step, config.eval_every_steps, run.total_steps):
                evaluated = step, *_evaluate(run, step, observers)
            if step in run.feed.resizes:
                iterator = iter(run.feed.batches(step))
        if evaluated[0] != step:
            evaluated = step, *_evaluate(run, step, observers)
    except Asked:
        raise _stop(run, step, observers) from None
    console.close()
    _, counts, predictions = evaluated
    done = _done(saver.last, counts, observers.meter)
    reporting.say(f"done: {saver.last.path}")
    with clock.during(goodput.REPORT):
        faults.at("report")
        _write_page(run, predictions, iterator, clock, done)
    _tell_goodput(step, journal, clock)
    journal.write(**done)
    return done


def _advance(run: Run, iterator: Iterator, step: int, observers: _Observers) -> tuple[int, bool]:
    """One call of the traced function.

    Returns:
      The step that is reached, and whether the batches from that step on must be asked for
      anew, since a record was left out or steps were undone.
    """
    journal, console, meter = observers.journal, observers.console, observers.meter
    faults.at("step")
    count = _steps_until_next_event(run, step, observers.profiler)
    if observers.profiler:
        observers.profiler.begin_at(step)
    meter.start_call()
    try:
        health = {k: v.numpy() for k, v in run.train(iterator, tf.constant(count)).items()}
    except tf.errors.ResourceExhaustedError as error:
        raise _too_large(run, error) from error
    except tf.errors.OpError as error:
        return bad_batches.leave_out(run, error, observers.saver, journal, console), True
    sound = health["finite"] | health["overflowed"]
    done = {name: values[sound] for name, values in health.items()}
    # The first call, which traces, ends the start-up.
    observers.goodput.steps_made(step, meter.end_call(done))
    journal.write_steps(step + 1, done)
    reached = step + int(sound.sum())
    if sound.all():
        return reached, False
    observers.saver.finish()  # it may be what the run goes back to
    step = nonfinite.recover(run, health, reached, journal, console)
    if step <= reached:  # rolled back
        meter.forget()
        observers.saver.went_back(step)
        observers.goodput.replays(reached)
        if observers.profiler:
            observers.profiler.give_up("the run went back to an earlier step")
    return step, step <= reached


def _too_large(run: Run, error: tf.errors.OpError) -> UserError:
    """The error for a step that needs more memory than there is."""
    pictures, parts = run.describe["preprocessing"], run.config.accumulate
    what = (
        f"a step of {run.config.batch_size} pictures of {pictures['height']}x{pictures['width']}"
        f" does not fit in memory: {error.message.splitlines()[0]}"
    )
    remedy = f"give a smaller one and --accumulate above {parts}; what was committed stays"
    return UserError(errors.INTERNAL, what, "--batch_size", remedy)


def _steps_until_next_event(run: Run, step: int, profiler: Profiler | None = None) -> int:
    """Steps to the nearest multiple of any interval or other size, at most one call's worth."""
    config = run.config
    intervals = (config.log_every_steps, config.save_every_steps, config.eval_every_steps)
    to_next = [every - step % every for every in intervals if every]
    to_next += [resize - step for resize in run.feed.resizes if resize > step]
    stop = profiler.next_stop(step) if profiler else None
    to_next += [] if stop is None else [stop - step]
    return min(config.steps_per_call, run.total_steps - step, *to_next)


def _due(step: int, every: int, total: int) -> bool:
    return step == total or bool(every and step % every == 0)


def _log(run: Run, step: int, observers: _Observers) -> None:
    if not observers.meter.steps:
        return  # all of them were left out
    numbers = observers.meter.interval()
    epoch = step * run.config.examples_a_step / run.records
    observers.journal.write("train", step=step, epoch=round(epoch, 4), **numbers)
    rate = numbers["images_per_second"]
    left = (run.total_steps - step) * run.config.examples_a_step / rate if rate else None
    speed = {"img/s": f"{rate:,.0f}", "input wait": f"{numbers['input_wait_share']:.1%}"}
    observers.console.report(
        step,
        left,
        loss=f"{numbers['loss']:.4f}",
        top1=f"{numbers['top1']:.2%}",
        **({"overflows": str(numbers["overflows"])} if numbers["overflows"] else {}),
        **(speed if rate else {}),  # the first call traces, and is not timed
    )


def _evaluate(run: Run, step: int, observers: _Observers) -> tuple[dict, Predictions]:
    with observers.goodput.during(goodput.EVALUATION):
        faults.at("evaluation")
        counts, predictions = run.evaluate(
            progress=lambda done, of: observers.progressed(f"step {step}, {done} of {of} evaluated")
        )
    result = {"split": run.config.eval_split, **counts}
    observers.journal.write("eval", step=step, **result)
    observers.console.say(
        f"step {step}: {result['split']} {result['correct_top1']}/{result['examples']} right,"
        f" top-1 {result['top1']:.2%}{_beside(result)}"
    )
    observers.saver.evaluated(step, counts)
    return result, predictions


def _beside(result: dict) -> str:
    """What the last weights give, where those evaluated are their average."""
    if "raw" not in result:
        return ""
    return f" with the averaged weights, {result['raw']['top1']:.2%} with the last"


def _lacks_evaluation(run: Run, step: int, journal: Journal) -> bool:
    """Whether an earlier command ended between a commit and the evaluation that was due with it."""
    every = run.config.eval_every_steps
    due = bool(every) and step % every == 0 and 0 < step < run.total_steps
    return due and not journal.count("eval", step)


def _stop(run: Run, step: int, observers: _Observers) -> UserError:
    """Commits the step that is reached, and gives the error that ends the command."""
    saver = observers.saver
    if step and not (saver.last and saver.last.step == step):
        saver.save(step)
    _tell_goodput(step, observers.journal, observers.goodput)
    if saver.last:
        return observers.stop.error(f"at step {step}, which is committed", saver.last.path)
    return observers.stop.error("before the first step", run.config.model_dir)


def _tell_hung(config: Config, journal: Journal, after: str, seconds: float, stacks: str) -> None:
    """What the watchdog says before it ends the process."""
    what = f"no progress for {seconds:,.0f} s after {after}; what its threads do is above"
    remedy = "the same command goes on from the last commit; --step_timeout sets the limit"
    error = UserError(errors.INTERNAL, what, config.model_dir, remedy)
    print(f"{stacks}\n{error}", file=sys.stderr, flush=True)
    journal.write("hung", after=after, seconds=round(seconds, 1), stacks=stacks)


def _done(saved: Commit, evaluated: dict, meter: Meter) -> dict:
    return {
        "event": "done",
        "step": saved.step,
        "epoch": round(saved.manifest["epoch"], 4),
        "examples_seen": saved.manifest["examples_seen"],
        **meter.total(),
        "eval": evaluated,
        "checkpoint": str(saved.path),
        "digest": saved.manifest["digest"],
    }


def _tell_goodput(step: int, journal: Journal, clock: Goodput) -> None:
    seconds = clock.seconds()
    journal.write("goodput", step=step, seconds=seconds)
    reporting.say(goodput.line(seconds))


def _write_page(
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


def _open_journal(run: Run, resumed: Commit | None) -> Journal:
    model_dir = pathlib.Path(run.config.model_dir)
    try:
        journal = Journal(model_dir, resumed.step if resumed else 0, run.config.tensorboard)
    except OSError as error:
        raise start.cannot_write(model_dir, error) from error
    step = resumed.step if resumed else 0
    reporting.say(f"{'resumed from' if resumed else 'starting at'} step {step}: {model_dir}")
    changed = {"changes": run.describe["changes"]} if "changes" in run.describe else {}
    journal.write(
        "start", step=step, total_steps=run.total_steps, config=run.config.to_json(), **changed
    )
    return journal


def _finished(run: Run, resumed: Commit) -> dict | None:
    """The "done" event of a run that is complete, so that its command can say it again."""
    if resumed.step < run.total_steps:
        return None
    for event in reversed(journals.read(pathlib.Path(run.config.model_dir))):
        done = event.get("event") == "done" and event.get("digest") == resumed.manifest["digest"]
        if done and event["eval"]["split"] == run.config.eval_split:
            return {**event, "checkpoint": str(resumed.path)}  # it may have been moved
    # Killed before the end, or asked for another split: only the evaluation is to do.
    return None
