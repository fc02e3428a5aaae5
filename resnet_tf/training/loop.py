"""The loop: when to do what, and nothing of how.

for each K steps: update, journal, health, save, evaluate, signals · final save, final evaluation,
report
"""

import functools
from collections.abc import Iterator, Sequence

import tensorflow as tf

from resnet_tf import faults, reporting
from resnet_tf.checkpoint import Commit
from resnet_tf.distribution import make_largest
from resnet_tf.evaluation import Predictions
from resnet_tf.reporting import Console, Journal, goodput
from resnet_tf.reporting.goodput import Goodput
from resnet_tf.stopping import Asked, Stop
from resnet_tf.training import bad_batches, board, ending, nonfinite, start
from resnet_tf.training import profile as profiles
from resnet_tf.training.meter import Meter
from resnet_tf.training.observers import Observers
from resnet_tf.training.place import Place
from resnet_tf.training.profile import Profiler
from resnet_tf.training.run import Run
from resnet_tf.training.saving import Saver
from resnet_tf.watchdog import Watchdog


def train_to_the_end(
    run: Run,
    resumed: Commit | None,
    place: Place,
    clock: Goodput,
    profiler: Profiler | None,
    stop: Stop,
) -> dict:
    """Makes all steps of a run that are left.

    Args:
      run: with the weights to go on with.
      resumed: the commit that has them; None at step 0.
      place: of the run, locked.
      clock: of the command.
      profiler: of some steps, if any.
      stop: may ask it to end before.

    Returns:
      The "done" event.

    Raises:
      UserError: for what ends a run before its last step; what was committed stays.
    """
    step = resumed.step if resumed else 0
    journal = start.open_journal(run, resumed)
    clock.replays(journal.steps.dropped)
    console = Console(run.total_steps, step)
    meter = Meter(run.config.examples_a_step)
    watchdog = Watchdog(
        run.config.step_timeout, functools.partial(ending.tell_hung, run.config, journal)
    )
    saver = Saver(run, resumed, journal, clock, place)
    asked = make_largest(run.strategy, run.stop) if place.cluster else None
    observers = Observers(
        journal, console, meter, clock, profiler, stop, watchdog, saver, asked_of_any=asked
    )
    watchdog.start()
    try:
        return _advance_to_the_end(run, resumed, place, step, observers)
    finally:
        saver.close()
        watchdog.stop()
        console.close()
        journal.close()
        if profiler:
            profiler.close()


def _advance_to_the_end(
    run: Run, resumed: Commit | None, place: Place, step: int, observers: Observers
) -> dict:
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
                observers.watchdog.beat(f"the commit of step {step}")
            if step == run.total_steps:
                saver.save(step)
                observers.watchdog.beat(f"the commit of step {step}")
            if _due(step, config.eval_every_steps, run.total_steps):
                evaluated = step, *_evaluate(run, step, observers)
            if step in run.feed.resizes:
                iterator = iter(run.feed.batches(step))
        if evaluated[0] != step:
            evaluated = step, *_evaluate(run, step, observers)
    except Asked:
        raise ending.stopped(run, step, observers) from None
    except Exception:
        ending.tell_goodput(step, journal, clock)
        raise
    console.close()
    _, counts, predictions = evaluated
    done = ending.done(saver, counts, observers.meter)
    reporting.say(f"done: {done['checkpoint']}")
    observers.watchdog.beat("the last evaluation")
    with clock.during(goodput.REPORT):
        faults.at("report")
        ending.write_page(run, predictions, iterator, clock, done, place.name_of)
    ending.tell_goodput(step, journal, clock)
    journal.write(**done)
    return done


def _advance(run: Run, iterator: Iterator, step: int, observers: Observers) -> tuple[int, bool]:
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
        raise ending.step_too_large(run, error) from error
    except tf.errors.OpError as error:
        return bad_batches.leave_out(run, step, error, observers.saver, journal, console), True
    observers.watchdog.step_made()
    observers.stops(int(health.pop("asked")[-1]))
    sound = health["finite"] | health["overflowed"]
    done = {name: values[sound] for name, values in health.items()}
    # The first call, which traces, ends the start-up.
    observers.goodput.steps_made(step, meter.end_call(done))
    journal.write_steps(step + 1, done)
    reached = step + int(sound.sum())
    _tell_spikes(run, step, done["loss"], observers)
    if sound.all():
        return reached, False
    last = observers.saver.last  # once it is written: it may be what the run goes back to
    step = nonfinite.recover(run, health, reached, last, journal, console)
    if step <= reached:  # rolled back
        meter.forget()
        observers.spikes.forget()
        observers.saver.went_back(step)
        observers.goodput.replays(reached)
        if observers.profiler:
            observers.profiler.give_up("the run went back to an earlier step")
    return step, step <= reached


def _tell_spikes(run: Run, begun: int, losses: Sequence[float], observers: Observers) -> None:
    for place, mean in observers.spikes.seen(losses):
        step, records = begun + place + 1, run.feed.records_of(begun + place)
        loss = float(losses[place])
        observers.journal.write("loss_spike", step=step, loss=loss, usual=mean, records=records)
        observers.console.say(
            f"step {step}: a loss of {loss:.4g} where {mean:.4g} is usual; its records are in the"
            " journal"
        )


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


def _log(run: Run, step: int, observers: Observers) -> None:
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


def _evaluate(run: Run, step: int, observers: Observers) -> tuple[dict, Predictions]:
    with observers.goodput.during(goodput.EVALUATION):
        faults.at("evaluation")
        try:
            counts, predictions = run.evaluate(
                progress=lambda done, of: observers.progressed_together(
                    f"step {step}, {done} of {of} evaluated"
                )
            )
        except tf.errors.ResourceExhaustedError as error:
            raise ending.evaluation_too_large(run, error) from error
    result = {"split": run.config.eval_split, **counts}
    observers.journal.write("eval", step=step, **result)
    observers.console.say(
        f"step {step}: {result['split']} {result['correct_top1']}/{result['examples']} right,"
        f" top-1 {result['top1']:.2%}{_beside(result)}"
        f"{', its loss is not finite' if result['loss'] is None else ''}"
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
