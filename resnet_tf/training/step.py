"""One training step, traced once and run several times a call.

This file knows replicas and updates; it knows nothing of files, intervals or epochs. What a
step does, in this order:

1. read every variable once
2. loss, gradients and batch statistics (`gradient`), `accumulate` parts one after the other
3. sums over replicas, in one all-reduce
4. divide by the loss scale, clip
5. if all of it is finite: optimizer, moving statistics, average of the weights
"""

import dataclasses
from collections.abc import Callable, Iterator

import tensorflow as tf

from resnet_tf.training import clock
from resnet_tf.training.averaging import Average
from resnet_tf.training.clipping import Clip
from resnet_tf.training.gradient import Batch, Gradient, Sums
from resnet_tf.training.optimizers import Optimizer
from resnet_tf.training.precision import FixedScale, LossScale
from resnet_tf.training.schedules import Schedule


@dataclasses.dataclass
class TrainingState:
    """What changes from step to step.

    Attributes:
      model: the network.
      optimizer: with its slots.
      step: counts finished steps; int64 scalar.
      average: of the weights, where there is one.
      loss_scale: of 16-bit gradients.
      rate_factor: of every learning rate, float32 scalar, where there is one.
    """

    model: tf.Module
    optimizer: Optimizer
    step: tf.Variable
    average: Average | None = None
    loss_scale: LossScale = dataclasses.field(default_factory=FixedScale)
    rate_factor: tf.Variable | None = None


def make_train_step(
    strategy: tf.distribute.Strategy,
    state: TrainingState,
    gradient: Gradient,
    *,
    schedule: Schedule,
    accumulate: int = 1,
    clip: Clip | None = None,
    xla: bool = False,
    stop: tf.Variable | None = None,
    several: bool = False,
) -> Callable[[Iterator, tf.Tensor], dict[str, tf.Tensor]]:
    """Builds the function that trains.

    The loss is the sum of the examples' losses over the *global* batch size, so gradients
    are summed over replicas and one replica or many give the same update. Moving statistics
    of batch norms move by the mean of the batch statistics, over replicas and parts. Where
    loss, gradients or statistics are not finite, on any replica, no variable changes on any:
    the call ends there, without counting the step, unless the loss scale was at fault.

    Args:
      strategy: whose replicas run the step; variables were made in its scope.
      state: updated in place.
      gradient: of the network, for the examples of a whole step.
      schedule: learning rate by step.
      accumulate: parts into which a replica's share of a batch is cut, to save memory. The
        update is that of the whole batch, but that each part has its own batch statistics.
      clip: of the summed gradients; none by default.
      xla: compile `gradient`.
      stop: int64 scalar, 0 until another thread sets it to 1, 2 or 3: the call ends after the
        step under way, in every process.
      several: whether the strategy spans several processes.

    Returns:
      `train(iterator, count)`, for at most `count` steps (int32 scalar) on batches of
      `input.training_batches`. It returns vectors with an entry a step: `loss`,
      `gradient_norm` (before it is clipped), `learning_rate` and `loss_scale` (float32),
      `correct` (int64, of the batch), `asked` (int64, the largest `stop` of any process),
      `finite`, `overflowed` (bool: the step was left out, for the loss scale's sake), `order`
      and `pictures` (int64, fingerprints of record ids and pixels) and `input_wait` (float64,
      seconds that the first replica waited for its batch).
    """
    replica_step = _make_replica_step(state, gradient, accumulate, clip, xla)
    together, now = _make_together(strategy, several, stop), clock.choose()

    @tf.function(autograph=False)
    def train(iterator, count):
        record = {
            name: tf.TensorArray(dtype, size=count, element_shape=[])
            for name, dtype in _HEALTH.items()
        }

        def one(done, going, record):
            (images, labels, marks), wait = _timed_next(strategy, iterator, now)
            rate = schedule(state.step)
            if state.rate_factor is not None:
                rate *= state.rate_factor
            result = strategy.run(replica_step, args=(images, labels, rate))
            health = {k: strategy.experimental_local_results(v)[0] for k, v in result.items()}
            order, pictures, asked = together(marks)
            health |= {"order": order, "pictures": pictures, "asked": asked}
            health |= {"learning_rate": rate, "input_wait": wait}
            record = {name: array.write(done, health[name]) for name, array in record.items()}
            going = health["finite"] | health["overflowed"]
            # The step counts once its batch has come: where that fails, no step was made.
            with tf.control_dependencies([health["finite"]]):
                state.step.assign_add(tf.cast(going, tf.int64))
                going &= asked == 0
            return done + 1, going, record

        done, _, record = tf.while_loop(
            lambda done, going, record: going & (done < count),
            one,
            (tf.constant(0), tf.constant(True), record),
        )
        return {name: array.stack()[:done] for name, array in record.items()}

    return train


def _make_replica_step(
    state: TrainingState, gradient: Gradient, accumulate: int, clip: Clip | None, xla: bool
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """What each replica does with its share of a batch at a rate; gives the step's health."""
    compute = _in_parts(gradient, accumulate, xla)

    def replica_step(images, labels, rate):
        replica = tf.distribute.get_replica_context()
        values = [tf.convert_to_tensor(variable) for variable in gradient.variables]
        scale = state.loss_scale.value()
        first = replica.replica_id_in_sync_group * tf.shape(images)[0]
        sums = compute(values, Batch(images, labels, first, state.step.read_value(), scale))
        sums = _over_replicas(sums, accumulate)
        trained = gradient.variables[: len(sums.gradients)]
        gradients = state.loss_scale.unscaled(sums.gradients)
        norm = tf.linalg.global_norm(gradients)
        forward = [sums.loss, *(tf.reduce_sum(seen) for seen in sums.statistics)]
        forward_finite = tf.reduce_all(tf.math.is_finite(tf.stack(forward)))
        finite = forward_finite & tf.math.is_finite(norm)
        overflowed = state.loss_scale.overflowed(forward_finite, finite)

        def update():
            clipped = clip(gradients, trained, norm) if clip else gradients
            state.optimizer.apply(clipped, trained, rate)
            for (variable, speed), seen in zip(gradient.moved, sums.statistics, strict=True):
                tf.raw_ops.AssignSubVariableOp(
                    resource=variable.handle, value=speed * (variable - seen)
                )
            if state.average:
                state.average.update()

        tf.cond(finite, update, lambda: None)
        state.loss_scale.update(finite, overflowed)
        return {
            "loss": sums.loss,
            "gradient_norm": norm,
            "correct": tf.cast(sums.correct, tf.int64),
            "finite": finite,
            "overflowed": overflowed,
            "loss_scale": scale,
        }

    return replica_step


_STOPS = 4  # values of `stop`
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # 2^64 divided by the golden ratio, as an int64
_HEALTH = {
    "loss": tf.float32,
    "gradient_norm": tf.float32,
    "learning_rate": tf.float32,
    "loss_scale": tf.float32,
    "correct": tf.int64,
    "finite": tf.bool,
    "overflowed": tf.bool,
    "order": tf.int64,
    "pictures": tf.int64,
    "asked": tf.int64,
    "input_wait": tf.float64,
}


def _in_parts(gradient: Gradient, parts: int, xla: bool) -> Callable[[list, Batch], Sums]:
    """The sums of a batch that is cut into parts, one after the other."""

    def flat(values, *batch):
        sums = gradient(values, Batch(*batch, stride=parts))
        return sums.gradients, sums.statistics, sums.loss, sums.correct

    # One graph for all parts; but a sum over replicas cannot stand in a function of its own.
    unrolled, call = gradient.synchronized, flat
    if not unrolled and (parts > 1 or xla):
        call = tf.function(flat, autograph=False, jit_compile=True if xla else None)

    def compute(values, batch):
        def part(number):
            return call(values, *_fields(batch.part(number, parts)))

        if parts == 1:
            return Sums(*call(values, *_fields(batch)))
        if unrolled:
            return Sums(*_added(*(part(number) for number in range(parts))))
        _, total = tf.while_loop(
            lambda number, _: number < parts,
            lambda number, total: (number + 1, _added(total, part(number))),
            (tf.constant(1), part(0)),
            parallel_iterations=1,  # else parts would overlap, and their memory with them
        )
        return Sums(*total)

    return compute


def _fields(batch):
    return batch.images, batch.labels, batch.first, batch.step, batch.scale


def _added(*totals):
    return tf.nest.map_structure(lambda *tensors: tf.add_n(tensors), *totals)


def _timed_next(strategy, iterator, now):
    """The next batch, and the seconds that the first replica waited for it (float64 scalar).

    Where several logical CPUs share their threads, the clock may stop as late as a step
    later, and the figure is then no measure of the input.
    """
    before = now()
    with tf.control_dependencies([before]):
        batch = next(iterator)
    arrived = [strategy.experimental_local_results(part)[0] for part in batch]
    with tf.control_dependencies(arrived):
        return batch, now() - before


def _make_together(strategy, several, stop):
    """What processes tell each other in a step, beside gradients: fingerprints and a stop.

    Returns:
      A function from the marks of a batch to two fingerprints of the whole batch and the largest
      value of `stop`, each int64.
    """

    def asked():
        return tf.constant(0, tf.int64) if stop is None else stop.read_value()

    def alone(marks):
        marks = tf.concat(strategy.experimental_local_results(marks), axis=0)
        return (*_fingerprints(marks, tf.constant(0, tf.int64)), asked())

    def of_replica(marks):
        replica = tf.distribute.get_replica_context()
        first = tf.shape(marks, tf.int64)[0] * tf.cast(replica.replica_id_in_sync_group, tf.int64)
        # Sums wrap as the fingerprints do. One count for each of the few values of a stop, so
        # that the largest can be told from their sums.
        counts = tf.one_hot(asked(), _STOPS, dtype=tf.int64)
        told = tf.concat([_fingerprints(marks, first), counts], axis=0)
        return replica.all_reduce(tf.distribute.ReduceOp.SUM, told)

    def with_others(marks):
        told = strategy.run(of_replica, args=(marks,))
        told = strategy.experimental_local_results(told)[0]
        seen = tf.where(told[2:] > 0, tf.range(_STOPS, dtype=tf.int64), 0)
        return told[0], told[1], tf.reduce_max(seen)

    return with_others if several else alone


def _fingerprints(marks: tf.Tensor, first: tf.Tensor) -> list[tf.Tensor]:
    """One number for the record ids of some pictures and one for their pixels.

    The sum over pictures i, from `first` on, of (2i + 1) · 0x9E3779B97F4A7C15 · mark i, modulo
    2^64; so that the sums of the parts of a batch are those of the batch.
    """
    odd = 2 * (first + tf.range(tf.shape(marks, tf.int64)[0])) + 1
    return tf.unstack(tf.reduce_sum(_GOLDEN * odd[:, None] * marks, axis=0))


def _over_replicas(sums: Sums, parts: int) -> Sums:
    """Sums over replicas, and means of batch statistics, in one all-reduce.

    The small numbers travel as one vector, so that a network with a hundred batch norms
    costs one transfer more, not two hundred.
    """
    replicas = tf.distribute.get_replica_context()
    sizes = [statistic.shape.num_elements() for statistic in sums.statistics]
    small = tf.concat([*sums.statistics, [sums.loss, sums.correct]], axis=0)
    *gradients, small = replicas.all_reduce(tf.distribute.ReduceOp.SUM, [*sums.gradients, small])
    *statistics, totals = tf.split(small, [*sizes, 2])
    number = parts * replicas.num_replicas_in_sync
    return Sums(gradients, [total / number for total in statistics], totals[0], totals[1])
