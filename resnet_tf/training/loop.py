"""The loop: when to do what, and nothing of how.

lock the directory · decide what to resume · build · for each K steps: update, journal,
health, save, evaluate, signals · final save, final evaluation, report · unlock
"""

import pathlib
import time

import tensorflow as tf

from resnet_tf import checkpoint, errors, input, reporting
from resnet_tf.checkpoint import Commit, commit
from resnet_tf.config import Config
from resnet_tf.distribution import DeviceRequest, make_strategy
from resnet_tf.errors import UserError
from resnet_tf.files import make_directory
from resnet_tf.preparation import cached
from resnet_tf.reporting import Console, Journal
from resnet_tf.reporting import journal as journals
from resnet_tf.training import resume
from resnet_tf.training.meter import Meter
from resnet_tf.training.run import Run, build


def train(config: Config) -> dict:
    """Trains as `config` says, from where an earlier command stopped, to the end.

    Returns:
      The "done" event: step, epoch, examples_seen, images_per_second, train_loss, eval,
      checkpoint and digest.

    Raises:
      UserError: for all that a user can mend; what was committed stays.
    """
    manifest = input.Manifest.load(cached.directory_of(config.data_dir, say=reporting.say))
    # The lock on the model directory is taken here, and given back at the end.
    resumed, damaged = resume.choose(config)
    run = build(config, make_strategy(DeviceRequest.parse(config.devices)), manifest)
    if resumed:
        resume.refuse_mismatch(resumed, config, run.describe, run.total_steps)
        checkpoint.restore(resumed, run.variables)
        if config.bad_records == "skip":
            run.feed.leave_out(resumed.manifest.get("bad_records", []))
        if finished := _finished(run, resumed):
            reporting.say(f"already complete at step {resumed.step}: {config.model_dir}")
            journals.emit(finished)
            return finished
        if reason := resume.inexact(resumed, run.describe):
            reporting.say(f"not bit-exact from here on: {reason}")
        resume.set_aside(damaged, resumed, reporting.say)
    journal = _open_journal(run, resumed)
    try:
        return _train(run, resumed, journal)
    finally:
        journal.close()


def _train(run: Run, resumed: Commit | None, journal: Journal) -> dict:
    config, step = run.config, resumed.step if resumed else 0
    console = Console(run.total_steps, step)
    meter = Meter(config.batch_size)
    saved, evaluated = resumed, (-1, {})
    _tell_bad(run, 0, step, journal, console)  # those found when the data was read
    iterator = iter(run.feed.batches(step))
    try:
        while step < run.total_steps:
            count = _steps_until_next_event(run, step)
            meter.start_call()
            try:
                health = {k: v.numpy() for k, v in run.train(iterator, tf.constant(count)).items()}
            except tf.errors.OpError as error:
                step, saved = _leave_bad_out(run, error, saved, journal, console)
                iterator = iter(run.feed.batches(step))
                continue
            meter.end_call(health)
            _refuse_non_finite(health, step, run, saved)
            step += count
            console.advance_to(step)
            if _due(step, config.log_every_steps, run.total_steps):
                _log(meter, step, run, journal, console)
            if _due(step, config.save_every_steps, run.total_steps):
                saved = _save(run, step, journal)
            if _due(step, config.eval_every_steps, run.total_steps):
                evaluated = step, _evaluate(run, step, journal, console)
            if step in run.feed.resizes:
                iterator = iter(run.feed.batches(step))
            # Signals and --max_runtime are looked at here.
        if evaluated[0] != step:
            evaluated = step, _evaluate(run, step, journal, console)
    finally:
        console.close()
    return _report(run, saved, evaluated[1], meter, journal)


def _steps_until_next_event(run: Run, step: int) -> int:
    """Steps to the nearest multiple of any interval or other size, at most one call's worth."""
    config = run.config
    intervals = (config.log_every_steps, config.save_every_steps, config.eval_every_steps)
    to_next = [every - step % every for every in intervals if every]
    to_next += [resize - step for resize in run.feed.resizes if resize > step]
    return min(config.steps_per_call, run.total_steps - step, *to_next)


def _due(step: int, every: int, total: int) -> bool:
    return step == total or bool(every and step % every == 0)


def _leave_bad_out(
    run: Run, error: tf.errors.OpError, saved: Commit | None, journal: Journal, console: Console
) -> tuple[int, Commit | None]:
    """After a call that failed: finds the record, and leaves it out where that is allowed.

    The steps before the one that asked for the record are whole, and the step counter says how
    many they are.

    Returns:
      The step to go on from, and the last commit.

    Raises:
      UserError: 65 naming the record, once all steps before it are committed.
    """
    step, known = int(run.step.numpy()), len(run.feed.bad.found)
    try:
        if run.feed.skip_bad(step) is None:
            raise error  # it was no record
    except UserError as bad:
        if step > (saved.step if saved else 0):
            saved = _save(run, step, journal)
        raise bad.adding(_what_is_left(run, step if saved else 0, bad)) from error
    _tell_bad(run, known, step, journal, console)
    return step, saved


def _what_is_left(run: Run, step: int, bad: UserError) -> str:
    """What a run has and can do, that a bad record stopped."""
    kept = f"step {step} is committed" if step else "no step was made"
    if bad.code != errors.BAD_DATA:
        return kept
    if run.config.bad_records == "fail":
        return f"{kept}; --bad_records=skip goes on without it"
    known, limit = len(run.feed.bad.found), run.config.bad_records_limit
    return f"{kept}; {known} records are left out, of --bad_records_limit={limit}"


def _tell_bad(run: Run, known: int, step: int, journal: Journal, console: Console) -> None:
    """Says which records are left out from this step on."""
    found = list(run.feed.bad.found.items())
    for number, (record, error) in enumerate(found[known:], start=known + 1):
        journal.write("bad_record", step=step, record=record, error=str(error), left_out=number)
        console.say(f"left out from step {step} on: {error}")


def _refuse_non_finite(health: dict, first: int, run: Run, saved: Commit | None) -> None:
    if health["finite"].all():
        return
    i = int((~health["finite"]).argmax())
    kept = f"the last commit is step {saved.step}" if saved else "nothing is committed yet"
    raise UserError(
        errors.NUMERICAL,
        f"loss or gradient is not finite at step {first + i + 1} (loss {health['loss'][i]},"
        f" gradient norm {health['gradient_norm'][i]}, rate {health['learning_rate'][i]:.6g})",
        run.config.model_dir,
        f"start anew in another --model_dir with a lower --learning_rate or more --warmup; {kept}",
    )


def _log(meter: Meter, step: int, run: Run, journal: Journal, console: Console) -> None:
    numbers = meter.interval()
    epoch = step * run.config.batch_size / run.records
    journal.write("train", step=step, epoch=round(epoch, 4), **numbers)
    rate = numbers["images_per_second"]
    left = (run.total_steps - step) * run.config.batch_size / rate if rate else None
    speed = {"img/s": f"{rate:,.0f}", "input wait": f"{numbers['input_wait_share']:.1%}"}
    console.report(
        step,
        left,
        loss=f"{numbers['loss']:.4f}",
        top1=f"{numbers['top1']:.2%}",
        **(speed if rate else {}),  # the first call traces, and is not timed
    )


def _save(run: Run, step: int, journal: Journal) -> Commit:
    begin = time.perf_counter()
    saved = run.save(step)
    try:
        commit.sweep(run.commits, run.config.keep)
    except OSError as error:
        reporting.say(f"an old commit could not be removed: {error}")
    seconds = round(time.perf_counter() - begin, 3)
    journal.write("save", step=step, checkpoint=str(saved.path), seconds=seconds)
    return saved


def _evaluate(run: Run, step: int, journal: Journal, console: Console) -> dict:
    result = {"split": run.config.eval_split, **run.evaluate()}
    journal.write("eval", step=step, **result)
    console.say(
        f"step {step}: {result['split']} {result['correct_top1']}/{result['examples']} right,"
        f" top-1 {result['top1']:.2%}"
    )
    return result


def _report(run: Run, saved: Commit, evaluated: dict, meter: Meter, journal: Journal) -> dict:
    done = {
        "step": saved.step,
        "epoch": round(saved.manifest["epoch"], 4),
        "examples_seen": saved.manifest["examples_seen"],
        **meter.total(),
        "eval": evaluated,
        "checkpoint": str(saved.path),
        "digest": saved.manifest["digest"],
    }
    journal.write("done", **done)
    reporting.say(f"done: {saved.path}; what happened: {run.config.model_dir}/journal.jsonl")
    return {"event": "done", **done}


def _open_journal(run: Run, resumed: Commit | None) -> Journal:
    model_dir = pathlib.Path(run.config.model_dir)
    try:
        make_directory(model_dir)
        journal = Journal(model_dir, resumed.step if resumed else 0)
    except OSError as error:
        raise UserError(
            errors.NOT_WRITABLE if model_dir.is_dir() else errors.CANNOT_CREATE,
            f"cannot write in the model directory: {error.strerror}",
            model_dir,
            "give another --model_dir",
        ) from error
    start = resumed.step if resumed else 0
    reporting.say(f"{'resumed from' if resumed else 'starting at'} step {start}: {model_dir}")
    journal.write("start", step=start, total_steps=run.total_steps, config=run.config.to_json())
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
