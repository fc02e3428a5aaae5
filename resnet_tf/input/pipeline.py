"""From a position to a batch on the device.

Each replica asks for its own slice of the global batch: element k of a dataset is made for
step k div R and replica k mod R, which is the order in which `tf.distribute` hands elements
out. Nothing is split, gathered or dropped afterwards.
"""

import dataclasses

import tensorflow as tf

from resnet_tf.input import augment, order
from resnet_tf.input.memory import MemoryReader


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done to training pictures: shift by up to `pad` pixels, mirror with `flip`."""

    pad: int = 0
    flip: bool = False


def training_batches(
    strategy: tf.distribute.Strategy,
    reader: MemoryReader,
    *,
    batch_size: int,
    seed: int,
    augmentation: Augmentation,
    first_step: int = 0,
) -> tf.distribute.DistributedDataset:
    """Endless training batches from step `first_step` on, in the order of `order.record_at`.

    Args:
      strategy: whose replicas are fed.
      reader: of the training split.
      batch_size: over all replicas, a multiple of their number.
      seed: of order and augmentation.
      augmentation: of the pictures.
      first_step: 0, or the step of the commit that is resumed.

    Returns:
      A dataset of (images uint8 `[b, H, W, C]`, labels int64 `[b]`, record ids int64 `[b]`),
      with b = batch_size / replicas.
    """
    per_replica = batch_size // strategy.num_replicas_in_sync

    def batch(step, replica):
        start = step * batch_size + replica * per_replica
        positions = start + tf.range(per_replica, dtype=tf.int64)
        epochs = order.epoch_of(positions, reader.records)
        ids = order.record_at(positions, reader.records, seed)
        images, labels = reader.gather(ids)
        if augmentation.pad or augmentation.flip:
            noise = order.noise_for(ids, epochs, seed)
            images = augment.pad_crop_flip(images, noise, augmentation.pad, augmentation.flip)
        return images, labels, ids

    return _distribute(strategy, batch, first_step)


def evaluation_batches(
    strategy: tf.distribute.Strategy, reader: MemoryReader, *, batch_size: int
) -> tuple[tf.distribute.DistributedDataset, int]:
    """Every record once, in order, in batches of one shape.

    What the last batches have too much repeats the last record with weight 0.

    Args:
      strategy: whose replicas are fed.
      reader: of the split.
      batch_size: over all replicas, at most the number of records; rounded up to a multiple
        of the replicas' number.

    Returns:
      A dataset of (images uint8 `[b, H, W, C]`, labels int64 `[b]`, weights int64 `[b]`, 1 or
      0), and the number of steps that it lasts.
    """
    replicas = strategy.num_replicas_in_sync
    per_replica = -(-min(batch_size, reader.records) // replicas)
    steps = -(-reader.records // (per_replica * replicas))

    def batch(step, replica):
        start = (step * replicas + replica) * per_replica
        positions = start + tf.range(per_replica, dtype=tf.int64)
        images, labels = reader.gather(tf.minimum(positions, reader.records - 1))
        return images, labels, tf.cast(positions < reader.records, tf.int64)

    return _distribute(strategy, batch), steps


def _distribute(strategy, batch, first_step=0):
    """The endless dataset of `batch(step, replica)` for each replica, prefetched to its device.

    Endless, also for evaluation, which counts its steps: the strategy then needs no check
    for a last, smaller batch, and no replica ever meets an empty one.
    """

    def pipeline(context: tf.distribute.InputContext) -> tf.data.Dataset:
        local = context.num_replicas_in_sync // context.num_input_pipelines
        first_replica = context.input_pipeline_id * local
        dataset = tf.data.Dataset.counter(first_step * local).map(
            lambda k: batch(k // local, first_replica + k % local),
            num_parallel_calls=2 * local,
            deterministic=True,
        )
        options = tf.data.Options()
        options.autotune.enabled = False
        return dataset.prefetch(2 * local).with_options(options)

    return strategy.distribute_datasets_from_function(pipeline)


def normalize(images: tf.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> tf.Tensor:
    """(x - mean) / std a channel, in pixel units: uint8 `[N, H, W, C]` to float32."""
    return (tf.cast(images, tf.float32) - tf.constant(mean)) * (1 / tf.constant(std))
