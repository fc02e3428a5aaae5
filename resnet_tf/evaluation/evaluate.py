"""Looks at every record of a split, once."""

import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from resnet_tf import errors
from resnet_tf.distribution import processes
from resnet_tf.errors import UserError
from resnet_tf.evaluation.predictions import Predictions
from resnet_tf.input import Reader, evaluation_batches, faults
from resnet_tf.input.stored import StoredReader
from resnet_tf.training.losses import cross_entropy
from resnet_tf.training.metrics import classes_ahead

_TOP = 5
_CALL = 0.5  # seconds
_COLUMNS = {
    "ids": tf.int64,
    "labels": tf.int64,
    "ranks": tf.int32,
    "losses": tf.float32,
    "top": tf.int32,
    "scores": tf.float32,
}


def make_evaluation(
    strategy: tf.distribute.Strategy,
    model: Callable[..., tf.Tensor],
    preprocess: Callable[[tf.Tensor], tf.Tensor],
    *,
    steps_per_call: int = 10,
    keep_logits: bool = False,
) -> Callable[..., Predictions]:
    """Builds `evaluate(reader, batch_size, progress)`.

    Every record gives a row of its own and padding none, so nothing depends on batch size or
    devices, but for the rounding of the network itself.

    Args:
      strategy: whose replicas share the batches.
      model: from images to logits; called with training=False.
      preprocess: from pixels uint8 `[b, H, W, C]` to the network's float32 input.
      steps_per_call: batches a call of the traced function, at most; fewer where they take more
        than half a second, since only between calls anybody can stop it. One of several processes
        makes one, as many calls as the others.
      keep_logits: give them, too; they take 4 bytes a record and class.

    Returns:
      A function that gives the `Predictions` for a reader's records. `progress`, where given,
      is called with (batches done, batches). It raises UserError 65 unless it has seen each
      record exactly once, naming the first that cannot be used; 66 where a shard is gone.
    """

    def replica_step(images, labels, ids, weights):
        logits = tf.cast(model(preprocess(images), training=False), tf.float32)
        values, top = tf.math.top_k(logits, min(_TOP, logits.shape[1]))
        rows = {
            "ids": tf.where(weights > 0, ids, -1),
            "labels": labels,
            "ranks": classes_ahead(logits, labels),
            "losses": cross_entropy(logits, labels),
            "top": top,
            "scores": tf.exp(values - tf.reduce_logsumexp(logits, axis=1, keepdims=True)),
        }
        return rows | ({"logits": logits} if keep_logits else {})

    together = processes(strategy) > 1
    columns = _COLUMNS | ({"logits": tf.float32} if keep_logits else {})

    @tf.function(autograph=False)
    def look(iterator, count):
        table = {name: tf.TensorArray(dtype, size=count) for name, dtype in columns.items()}

        def one(step, table):
            rows = strategy.run(replica_step, args=next(iterator))
            rows = {name: strategy.gather(values, axis=0) for name, values in rows.items()}
            return step + 1, {name: array.write(step, rows[name]) for name, array in table.items()}

        _, table = tf.while_loop(lambda step, _: step < count, one, (tf.constant(0), table))
        return {name: array.concat() for name, array in table.items()}

    def evaluate(reader: Reader, batch_size: int, progress=lambda done, of: None) -> Predictions:
        batches, steps = evaluation_batches(strategy, reader, batch_size=batch_size)
        iterator, found, done, at_once = iter(batches), [], 0, 1
        while done < steps:
            count, begin = min(at_once, steps - done), time.monotonic()
            try:
                rows = {k: v.numpy() for k, v in look(iterator, tf.constant(count)).items()}
            except tf.errors.OpError as error:
                largest = batch_size + strategy.num_replicas_in_sync - 1
                asked_for = range(done * min(batch_size, reader.records), (done + count) * largest)
                if bad := _first_bad(reader, asked_for):
                    raise bad from error
                raise
            real = rows["ids"] >= 0
            found.append({name: values[real] for name, values in rows.items()})
            done += count
            if not together:
                fit = _CALL * count / max(time.monotonic() - begin, 1e-6)
                at_once = max(1, min(steps_per_call, int(fit)))
            progress(done, steps)
        return _joined(found, reader)

    return evaluate


def _first_bad(reader: Reader, asked_for: range) -> UserError | None:
    """The error that names the first record that cannot be used; None where all can."""
    if not isinstance(reader, StoredReader):
        return None
    records = (i for i in asked_for if i < reader.records)
    found = (faults.find(reader.manifest, reader.split, record) for record in records)
    return next(filter(None, found), None)


def _joined(calls: list[dict[str, np.ndarray]], reader: Reader) -> Predictions:
    rows = {name: np.concatenate([call[name] for call in calls]) for name in calls[0]}
    ids = rows.pop("ids")
    if not np.array_equal(ids, np.arange(reader.records)):
        raise UserError(
            errors.BAD_DATA,
            f"not every record was counted once, in order: {reader.records} are in the split,"
            f" {len(ids)} were seen, {len(np.unique(ids))} of them different",
            "evaluation",
            "report this as a bug of resnet_tf",
        )
    return Predictions(**rows)
