"""Counts, over a whole split, how many labels a network gets right."""

import math
from collections.abc import Callable

import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.input import Reader, evaluation_batches, faults
from resnet_tf.input.stored import StoredReader
from resnet_tf.training.losses import cross_entropy
from resnet_tf.training.metrics import correct_in_top

_TOTALS = {
    "examples": tf.int64,
    "correct_top1": tf.int64,
    "correct_top5": tf.int64,
    "loss": tf.float64,
}


def make_evaluation(
    strategy: tf.distribute.Strategy,
    model: tf.Module,
    preprocess: Callable[[tf.Tensor], tf.Tensor],
    *,
    steps_per_call: int = 10,
) -> Callable[..., dict]:
    """Builds `evaluate(reader, batch_size, progress)`.

    Counts are integers and the loss a float64 sum, each record with weight 1 and padding
    with weight 0, so they do not depend on batch size or devices, but for the rounding of
    the network itself.

    Args:
      strategy: whose replicas share the batches.
      model: evaluated with its stored statistics.
      preprocess: from pixels uint8 `[b, H, W, C]` to the network's float32 input.
      steps_per_call: batches a call of the traced function.

    Returns:
      A function that gives `examples`, `correct_top1`, `correct_top5` (also where there are
      fewer than 5 classes), `top1`, `top5` (shares) and `loss` (mean cross-entropy) of
      a reader's records. `progress`, where given, is called with (batches done, batches).
      It raises UserError 65 unless it has counted each record exactly once, naming the first
      that cannot be used; 66 where a shard is gone.
    """

    def replica_step(images, labels, weights):
        logits = model(preprocess(images), training=False)

        def count(flags):
            return tf.reduce_sum(tf.cast(flags, tf.int64) * weights)

        losses = tf.cast(cross_entropy(logits, labels), tf.float64)
        return {
            "examples": tf.reduce_sum(weights),
            "correct_top1": count(correct_in_top(logits, labels, 1)),
            "correct_top5": count(correct_in_top(logits, labels, 5)),
            # Not a product: 0 times the NaN of a padded record would be NaN.
            "loss": tf.reduce_sum(tf.where(weights > 0, losses, 0.0)),
        }

    @tf.function
    def add(iterator, count, totals):
        for _ in tf.range(count):
            sums = strategy.run(replica_step, args=next(iterator))
            totals = {
                name: total + strategy.reduce(tf.distribute.ReduceOp.SUM, sums[name], axis=None)
                for name, total in totals.items()
            }
        return totals

    def evaluate(reader: Reader, batch_size: int, progress=lambda done, of: None) -> dict:
        batches, steps = evaluation_batches(strategy, reader, batch_size=batch_size)
        iterator = iter(batches)
        totals = {name: tf.zeros([], dtype) for name, dtype in _TOTALS.items()}
        for done in range(0, steps, steps_per_call):
            count = min(steps_per_call, steps - done)
            try:
                totals = add(iterator, tf.constant(count), totals)
            except tf.errors.OpError as error:
                largest = batch_size + strategy.num_replicas_in_sync - 1
                asked_for = range(done * min(batch_size, reader.records), (done + count) * largest)
                if bad := _first_bad(reader, asked_for):
                    raise bad from error
                raise
            progress(done + count, steps)
        return _result({name: total.numpy().item() for name, total in totals.items()}, reader)

    return evaluate


def _first_bad(reader: Reader, asked_for: range) -> UserError | None:
    """The error that names the first record that cannot be used; None where all can."""
    if not isinstance(reader, StoredReader):
        return None
    records = (i for i in asked_for if i < reader.records)
    found = (faults.find(reader.manifest, reader.split, record) for record in records)
    return next(filter(None, found), None)


def _result(totals: dict, reader: Reader) -> dict:
    examples = totals["examples"]
    if examples != reader.records:
        raise UserError(
            errors.BAD_DATA,
            f"counted {examples} of {reader.records} records",
            "evaluation",
            "report this as a bug of resnet_tf",
        )
    return {
        **totals,
        "top1": round(totals["correct_top1"] / examples, 6),
        "top5": round(totals["correct_top5"] / examples, 6),
        # JSON has no NaN.
        "loss": totals["loss"] / examples if math.isfinite(totals["loss"]) else None,
    }
