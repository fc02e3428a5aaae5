"""One training step, traced once and run several times a call.

This file knows gradients and replicas; it knows nothing of files, intervals or epochs.
"""

import dataclasses
from collections.abc import Callable, Iterator

import tensorflow as tf

from resnet_tf.layers import NoiseStream, StatisticsTape
from resnet_tf.training.losses import cross_entropy
from resnet_tf.training.metrics import correct_in_top
from resnet_tf.training.optimizers import Optimizer
from resnet_tf.training.schedules import Schedule


@dataclasses.dataclass
class TrainingState:
    """What changes from step to step; `step` counts finished steps (int64 scalar)."""

    model: tf.Module
    optimizer: Optimizer
    step: tf.Variable


def make_train_step(
    strategy: tf.distribute.Strategy,
    state: TrainingState,
    *,
    batch_size: int,
    schedule: Schedule,
    preprocess: Callable[[tf.Tensor], tf.Tensor],
    label_smoothing: float = 0.0,
    seed: int = 0,
) -> Callable[[Iterator, tf.Tensor], dict[str, tf.Tensor]]:
    """Builds the function that trains.

    The loss is the sum of the examples' losses over the *global* batch size, so gradients
    are summed over replicas and one replica or many give the same update. Moving statistics
    of batch norms move by the mean of the replicas' batch statistics. Where loss, gradients
    or statistics are not finite, on any replica, no variable changes on any of them.

    Args:
      strategy: whose replicas run the step; variables were made in its scope.
      state: updated in place.
      batch_size: examples a step, over all replicas.
      schedule: learning rate by step.
      preprocess: from pixels `[b, H, W, C]`, uint8 or float32, to the network's float32 input.
      label_smoothing: of the loss.
      seed: of what the layers drop, together with the step.

    Returns:
      `train(iterator, count)`, for `count` steps (int32 scalar tensor) on batches of
      `input.training_batches`. It returns vectors with an entry a step: `loss`,
      `gradient_norm` and `learning_rate` (float32), `correct` (int64, of the batch),
      `finite` (bool) and `input_wait` (float64, seconds that the first replica waited for
      its batch).
    """
    variables = state.model.trainable_variables

    def replica_step(images, labels, rate):
        noise = NoiseStream(seed, state.step)
        with tf.GradientTape() as tape, StatisticsTape() as statistics, noise:
            logits = state.model(preprocess(images), training=True)
            loss = tf.reduce_sum(cross_entropy(logits, labels, label_smoothing)) / batch_size
        correct = tf.reduce_sum(tf.cast(correct_in_top(logits, labels, 1), tf.float32))
        gradients, means, loss, correct = _over_replicas(
            tape.gradient(loss, variables), statistics.updates, loss, correct
        )
        norm = tf.linalg.global_norm(gradients)
        sums = [tf.reduce_sum(mean) for mean in means]
        finite = tf.reduce_all(tf.math.is_finite(tf.stack([loss, norm, *sums])))

        def update():
            state.optimizer.apply(gradients, variables, rate)
            for (variable, _, speed), mean in zip(statistics.updates, means, strict=True):
                tf.raw_ops.AssignSubVariableOp(
                    resource=variable.handle, value=speed * (variable - mean)
                )

        tf.cond(finite, update, lambda: None)
        return {
            "loss": loss,
            "gradient_norm": norm,
            "correct": tf.cast(correct, tf.int64),
            "finite": finite,
        }

    @tf.function
    def train(iterator, count):
        record = {
            name: tf.TensorArray(dtype, count, element_shape=()) for name, dtype in _HEALTH.items()
        }
        for i in tf.range(count):
            (images, labels, _), wait = _timed_next(strategy, iterator)
            rate = schedule(state.step)
            result = strategy.run(replica_step, args=(images, labels, rate))
            health = {k: strategy.experimental_local_results(v)[0] for k, v in result.items()}
            health |= {"learning_rate": rate, "input_wait": wait}
            record = {name: array.write(i, health[name]) for name, array in record.items()}
            # The step counts once its batch has come: where that fails, no step was made.
            with tf.control_dependencies([health["finite"]]):
                state.step.assign_add(1)
        return {name: array.stack() for name, array in record.items()}

    return train


_HEALTH = {
    "loss": tf.float32,
    "gradient_norm": tf.float32,
    "learning_rate": tf.float32,
    "correct": tf.int64,
    "finite": tf.bool,
    "input_wait": tf.float64,
}


def _timed_next(strategy, iterator):
    """The next batch, and the seconds that the first replica waited for it (float64 scalar).

    Where several logical CPUs share their threads, the clock may stop as late as a step
    later, and the figure is then no measure of the input.
    """
    before = tf.timestamp()
    with tf.control_dependencies([before]):
        batch = next(iterator)
    arrived = [strategy.experimental_local_results(part)[0] for part in batch]
    with tf.control_dependencies(arrived):
        return batch, tf.timestamp() - before


def _over_replicas(gradients, updates, loss, correct):
    """Sums over replicas, and means of batch statistics, in one all-reduce.

    The small numbers travel as one vector, so that a network with a hundred batch norms
    costs one transfer more, not two hundred.
    """
    replicas = tf.distribute.get_replica_context()
    statistics = [target for _, target, _ in updates]
    sizes = [statistic.shape.num_elements() for statistic in statistics]
    small = tf.concat([*statistics, [loss, correct]], axis=0)
    *gradients, small = replicas.all_reduce(tf.distribute.ReduceOp.SUM, [*gradients, small])
    *means, totals = tf.split(small, [*sizes, 2])
    means = [mean / replicas.num_replicas_in_sync for mean in means]
    return gradients, means, totals[0], totals[1]
