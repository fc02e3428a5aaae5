"""What a run does about a batch with a record that cannot be used."""

import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.input import service
from resnet_tf.reporting import Console, Journal
from resnet_tf.training.run import Run
from resnet_tf.training.saving import Saver


def leave_out(
    run: Run,
    begun: int,
    error: tf.errors.OpError,
    saver: Saver,
    journal: Journal,
    console: Console,
) -> int:
    """After a call that failed: finds the record, and leaves it out where that is allowed.

    The steps before the one that asked for the record are whole, and the step counter says how
    many they are.

    Args:
      run: whose call failed.
      begun: the step at which that began.
      error: with which it failed.
      saver: of its commits.
      journal, console: where it is reported.

    Returns:
      The step to go on from.

    Raises:
      UserError: 65 naming the record, 74 for a data service that lost its place, once all steps
        before it are committed.
    """
    step, known = int(run.step.numpy()), len(run.feed.bad.found)
    try:
        if run.feed.skip_bad(step) is None:
            raise service.explained(error)  # it was no record
    except UserError as bad:
        if step > (saver.last.step if saver.last else 0):
            saver.save(step)
        kept = f"step {step} is committed" if saver.last else "no step was made"
        if not saver.writes:
            kept = "what process 0 has committed stays"
        raise bad.adding(_what_is_left(run, kept, bad)) from error
    tell(run, known, step, journal, console)
    if step > begun:  # what a call tells of its steps is lost with the call
        journal.write("rows_lost", first=begun + 1, last=step)
    return step


def _what_is_left(run: Run, kept: str, bad: UserError) -> str:
    """What a run has and can do, that a bad record stopped."""
    if bad.code != errors.BAD_DATA:
        return kept
    if run.config.bad_records == "fail":
        return f"{kept}; --bad_records=skip goes on without it"
    known, limit = len(run.feed.bad.found), run.config.bad_records_limit
    return f"{kept}; {known} records are left out, of --bad_records_limit={limit}"


def tell(run: Run, known: int, step: int, journal: Journal, console: Console) -> None:
    """Says which records are left out from this step on."""
    found = list(run.feed.bad.found.items())
    for number, (record, error) in enumerate(found[known:], start=known + 1):
        journal.write("bad_record", step=step, record=record, error=str(error), left_out=number)
        console.say(f"left out from step {step} on: {error}")
