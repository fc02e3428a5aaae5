"""The loop: when to do what, and nothing of how.

decide what to resume · build · lock the directory, in which nothing may have changed since · for
each K steps: update, journal, health, save, evaluate, signals · final save, final evaluation,
report · unlock
"""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Sequence

import tensorflow as tf

from resnet_tf import checkpoint, errors, faults, reporting, runtime
from resnet_tf.checkpoint import Commit, Lock, Mirror, is_address
from resnet_tf.config import Config
from resnet_tf.distribution import (
    Cluster,
    DeviceRequest,
    make_largest,
    make_strategy,
    meet,
    refuse_broken_sums,
    refuse_disagreement,
    wait_for_all,
)
from resnet_tf.errors import UserError
from resnet_tf.evaluation import Predictions
from resnet_tf.reporting import Console, Journal, goodput
from resnet_tf.reporting.goodput import Goodput
from resnet_tf.stopping import STOPS, Asked, Stop
from resnet_tf.training import (
    bad_batches,
    board,
    ending,
    nonfinite,
    resume,
    saving,
    start,
    together,
)
from resnet_tf.training import profile as profiles
from resnet_tf.training.meter import Meter
from resnet_tf.training.observers import Observers
from resnet_tf.training.profile import Profiler
from resnet_tf.training.run import Run
from resnet_tf.training.saving import Saver
from resnet_tf.watchdog import Watchdog


def train(
    config: Config,
    profiler: Profiler | None = None,
    stop: Stop | None = None,
    cluster: Cluster | None = None,
) -> dict:
    """Trains as `config` says, from where an earlier command stopped, to the end.

    Args:
      config: of the run.
      profiler: of some of its steps; none by default.
      stop: may ask it to end before; nobody does by default.
      cluster: the processes that train it together, each by a call of its own; by default it is
        this one alone.

    Returns:
      The "done" event: step, epoch, examples_seen, images_per_second, train_loss, eval,
      checkpoint and digest.

    Raises:
      UserError: for all that a user can mend; what was committed stays. 75, 130 or 143 where it
        was asked to stop: the step that was reached is committed.
    """
    stop = stop or Stop()
    try:
        if cluster:
            return _train_together(config, profiler, stop, cluster)
        if is_address(config.model_dir):
            return _train_mirrored(config, profiler, stop)
        return _train_here(config, profiler, stop)
    except Asked:
        raise stop.error("before it had begun", config.model_dir) from None


def _train_mirrored(config: Config, profiler: Profiler | None, stop: Stop) -> dict:
    """Trains in a directory of this machine, of which the store is a mirror."""
    lost = functools.partial(stop.ask, "another process, which has the run", errors.RESUMABLE)
    mirror = Mirror(config.model_dir, lost, reporting.say)
    with stop.at_once():
        mirror.open()
    reporting.say(f"{mirror.address}: working in {mirror.directory}")
    try:
        here = dataclasses.replace(config, model_dir=str(mirror.directory))
        return _train_here(here, profiler, stop, mirror)
    except UserError as error:
        raise error.calling(mirror.directory, mirror.address) from error
    finally:
        mirror.close()


def _train_together(
    config: Config, profiler: Profiler | None, stop: Stop, cluster: Cluster
) -> dict:
    """Trains as one of several processes, of which the chief alone writes in the directory.

    The others do all that it does, in a directory of their own that nobody keeps.
    """
    together.refuse_alone_only(config)
    if finished := ending.say_again_alone(config):
        return finished
    with stop.at_once():
        if cluster.is_chief:
            Lock.refuse_held(pathlib.Path(config.model_dir))
            together.warn_of_strangers(cluster, reporting.say)
        meet(cluster, reporting.say)
    if not cluster.is_chief:
        reporting.hush()
    with together.naming_the_lost(cluster), together.own_directory(config, cluster) as here:
        home = pathlib.Path(config.model_dir)
        return _train_here(here, profiler, stop, cluster=cluster, home=home)


def _train_here(
    config: Config,
    profiler: Profiler | None,
    stop: Stop,
    mirror: Mirror | None = None,
    cluster: Cluster | None = None,
    home: pathlib.Path | None = None,
) -> dict:
    """Trains in `config.model_dir`; what was committed is in `home`, the same by default."""
    clock = Goodput(runtime.process_age())
    home, writes = home or pathlib.Path(config.model_dir), not cluster or cluster.is_chief
    # Several processes end together, in the first step.
    with contextlib.nullcontext() if cluster else stop.at_once():
        if writes:
            Lock.refuse_held(home)
        # Before anything is computed, which a strategy of several processes needs.
        strategy = make_strategy(
            DeviceRequest.parse(config.devices), cluster, config.all_reduce, config.require_gpus
        )
        refuse_broken_sums(strategy)
        stop.listen_again()
        manifest = start.data_of(config)
        seen = checkpoint.commits(home / "checkpoints")
        resumed, damaged = resume.choose(dataclasses.replace(config, model_dir=str(home)))
        run = start.prepare(config, manifest, strategy, resumed)
    if profiler:
        profiler.refuse_beyond(run.total_steps)
    if cluster:
        refuse_disagreement(strategy, cluster, together.to_agree_on(run, resumed))
    if resumed:
        names = [mirror.name_of] if mirror else []
        if finished := ending.say_again(config, run.total_steps, resumed, *names):
            return finished
        resume.tell_or_refuse_inexact(resumed, run.describe, config, reporting.say)
    if writes:
        saving.refuse_full(run)
    lock = start.take_directory(config, seen if writes else [])
    try:
        if resumed and writes:
            resume.set_aside(damaged, resumed, reporting.say)
        stop.tell(lambda code: run.stop.assign(STOPS.index(code)))
        elsewhere = None if writes else home / "checkpoints"
        done = _train(run, resumed, clock, profiler, stop, mirror, cluster, elsewhere, lock)
        if cluster:
            wait_for_all(strategy)  # who leaves early looks lost to the others
        return done
    finally:
        lock.release()


def _train(
    run: Run,
    resumed: Commit | None,
    clock: Goodput,
    profiler: Profiler | None,
    stop: Stop,
    mirror: Mirror | None,
    cluster: Cluster | None,
    elsewhere: pathlib.Path | None,
    lock: Lock,
) -> dict:
    step = resumed.step if resumed else 0
    journal = start.open_journal(run, resumed)
    clock.replays(journal.steps.dropped)
    console = Console(run.total_steps, step)
    meter = Meter(run.config.examples_a_step)
    watchdog = Watchdog(
        run.config.step_timeout, functools.partial(ending.tell_hung, run.config, journal)
    )
    saver = Saver(run, resumed, journal, clock, mirror, elsewhere, lock)
    asked = make_largest(run.strategy, run.stop) if cluster else None
    observers = Observers(
        journal, console, meter, clock, profiler, stop, watchdog, saver, asked_of_any=asked
    )
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


def _advance_to_the_end(run: Run, resumed: Commit | None, step: int, observers: Observers) -> dict:
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
        raise ending.stopped(run, step, observers) from None
    except UserError:
        ending.tell_goodput(step, journal, clock)
        raise
    console.close()
    _, counts, predictions = evaluated
    done = ending.done(saver, counts, observers.meter)
    reporting.say(f"done: {done['checkpoint']}")
    observers.watchdog.beat("the last evaluation")
    with clock.during(goodput.REPORT):
        faults.at("report")
        ending.write_page(run, predictions, iterator, clock, done, saver.name_of)
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
        raise ending.too_large(run, error) from error
    except tf.errors.OpError as error:
        return bad_batches.leave_out(run, step, error, observers.saver, journal, console), True
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
    observers.saver.finish()  # it may be what the run goes back to
    step = nonfinite.recover(run, health, reached, journal, console)
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
        counts, predictions = run.evaluate(
            progress=lambda done, of: observers.progressed_together(
                f"step {step}, {done} of {of} evaluated"
            )
        )
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
