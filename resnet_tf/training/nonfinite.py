"""What happens at a step whose loss or gradient is not finite.

The call of the traced function ends there, with the state as it was before that step, so the
step can be looked at again: its records, rate and loss scale, and in each layer the largest
weight, gradient and output. Then, as `on_nonfinite` says:

    stop       the run ends with code 76
    skip       the step changes nothing and counts
    rollback   back to the newest commit before that step, and on from there at half the rate

skip and rollback stop, too, once they have been needed more than `nonfinite_limit` times.
"""

import math

import numpy as np
import tensorflow as tf

from resnet_tf import checkpoint, errors
from resnet_tf.checkpoint import Commit, directory
from resnet_tf.errors import UserError
from resnet_tf.layers import NoiseStream, StatisticsTape, Values, named_variables
from resnet_tf.reporting import Console, Journal
from resnet_tf.training.gradient import Batch
from resnet_tf.training.run import Run

_SHOWN_RECORDS = 16


def recover(
    run: Run,
    health: dict[str, np.ndarray],
    step: int,
    last: Commit | None,
    journal: Journal,
    console: Console,
) -> int:
    """Deals with the last step of a call, which is not finite.

    Args:
      run: in the state before that step.
      health: what the call returned.
      step: finished steps.
      last: the newest commit, if there is any.
      journal, console: where it is reported.

    Returns:
      The step to go on from; below `step` after a rollback.

    Raises:
      UserError: 76, naming the step, where the run shall not go on.
    """
    found, config = _examine(run, health, step), run.config
    times = _times_before(run, journal) + 1
    if config.on_nonfinite == "stop" or times > config.nonfinite_limit:
        # Of the step that was not made, so that a resumed run does not count it.
        journal.write("nonfinite", step=step + 1, **found)
        raise _stop(run, found, times, last)
    what = f"step {step + 1} is not finite (records {_listed(found['records'])})"
    if config.on_nonfinite == "skip":
        run.step.assign(step + 1)
        journal.write("nonfinite", step=step + 1, **found)
        console.say(f"{what}: left out")
        return step + 1
    # Not the commit of this very step: its gradient does not depend on the rate.
    back = directory.before(run.commits, step)
    checkpoint.restore(back, run.variables)
    run.state.rate_factor.assign(0.5**times)
    journal.rewind(back.step)
    journal.write("nonfinite", step=back.step, **found)
    console.say(f"{what}: back to step {back.step}, at {0.5**times:g} of the rate")
    return back.step


def _times_before(run: Run, journal: Journal) -> int:
    """How often the run went on after such a step."""
    if run.state.rate_factor is not None:
        return round(-math.log2(run.state.rate_factor.numpy()))
    return journal.count("nonfinite")


def _examine(run: Run, health: dict[str, np.ndarray], step: int) -> dict:
    """Everything about the step that comes next, as plain numbers."""
    numbers = {
        name: _plain(health[name][-1])
        for name in ("loss", "gradient_norm", "learning_rate", "loss_scale")
    }
    images, labels, _ = next(iter(run.feed.batches(step)))
    probe = _make_probe(run)
    # Part by part as the step was, since each has its own batch statistics.
    parts = [probe(images, labels, tf.constant(i)) for i in range(run.config.accumulate)]
    layers = {
        name: [_plain(value) for value in np.max([_over_replicas(run, p[name]) for p in parts], 0)]
        for name in parts[0]
    }
    return {
        "at_step": step + 1,
        "records": run.feed.records_of(step),
        **numbers,
        "layers": layers,
    }


def _make_probe(run: Run):
    """A function from a batch and a part's number to name -> the largest |value|s of each layer."""
    gradient, state = run.gradient, run.state

    def probe(images, labels, number):
        replica = tf.distribute.get_replica_context()
        values = [tf.convert_to_tensor(variable) for variable in gradient.variables]
        first = replica.replica_id_in_sync_group * tf.shape(images)[0]
        step, scale = state.step.read_value(), state.loss_scale.value()
        part = Batch(images, labels, first, step, scale).part(number, run.config.accumulate)
        sums = gradient(values, part)
        by_id = {id(v): g for v, g in zip(gradient.variables, sums.gradients)}
        names = named_variables(state.model).items()
        found = {
            f"weights {name}": [_largest(v), _largest(by_id[id(v)])] if id(v) in by_id else
            [_largest(v)]
            for name, v in names
        }  # fmt: skip
        examples = run.config.examples_a_step
        noise = NoiseStream(run.config.seed, step, part.first, examples, stride=part.stride)
        with Values(gradient.variables, values), StatisticsTape(), noise:
            outputs = state.model.features(gradient.prepared(part.images), training=True)
        found |= {f"output {name}": [_largest(x)] for name, x in outputs.items()}
        return found

    # Traced as a whole: a sum over replicas cannot stand in a function of its own.
    return tf.function(lambda *batch: run.strategy.run(probe, args=batch), autograph=False)


def _largest(x):
    """The largest |x|; infinite where one entry is, NaN where one is."""
    x = tf.abs(tf.cast(x, tf.float32))
    nan = tf.reduce_any(tf.math.is_nan(x))
    return tf.where(nan, tf.constant(math.nan), tf.reduce_max(x))


def _over_replicas(run, values):
    return [
        np.max([local.numpy() for local in run.strategy.experimental_local_results(value)])
        for value in values
    ]


def _plain(number) -> float | str:
    """A number of JSON, which has no infinity."""
    number = float(number)
    return number if math.isfinite(number) else str(number)


def _shown(number: float | str, digits: int = 4) -> str:
    """What `_plain` gave, to so many digits."""
    return number if isinstance(number, str) else f"{number:.{digits}g}"


def _listed(records: list[int]) -> str:
    shown = ", ".join(map(str, records[:_SHOWN_RECORDS]))
    more = len(records) - _SHOWN_RECORDS
    return f"{shown} and {more} more" if more > 0 else shown


def _stop(run: Run, found: dict, times: int, last: Commit | None) -> UserError:
    kept = f"the last commit is step {last.step}" if last else "nothing is committed yet"
    asked = run.config.on_nonfinite
    most = run.config.nonfinite_limit
    limit = "" if asked == "stop" else f", and {asked} may be needed {most} times, not {times}"
    rows = [("layer", "largest", "largest gradient")]
    for name, values in found["layers"].items():
        cells = [_shown(value) for value in values]
        rows.append((name, *cells, *[""] * (2 - len(cells))))
    return UserError(
        errors.NUMERICAL,
        f"loss or gradient is not finite at step {found['at_step']}{limit}"
        f" (loss {found['loss']}, gradient norm {found['gradient_norm']},"
        f" rate {_shown(found['learning_rate'], 6)}, loss scale {_shown(found['loss_scale'], 8)};"
        f" records {_listed(found['records'])})",
        run.config.model_dir,
        f"start anew in another --model_dir with a lower --learning_rate, more --warmup or"
        f" --clip=norm; {kept}",
        details=errors.table(_sorted_by_trouble(rows)),
    )


def _sorted_by_trouble(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The heading, then the layers with values that are not finite, then the others."""
    heading, *layers = rows
    return [heading, *sorted(layers, key=lambda row: not {"inf", "nan"} & set(row[1:]))]
