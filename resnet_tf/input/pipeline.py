"""From a position to a batch on the device.

Each replica asks for its own slice of the global batch: element k of a dataset is made for
step k div R and replica k mod R, which is the order in which `tf.distribute` hands elements
out. Nothing is split, gathered or dropped afterwards.
"""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from resnet_tf.input import service
from resnet_tf.input.augmentation import Augmentation
from resnet_tf.input.bad_records import BadRecords
from resnet_tf.input.order import Order
from resnet_tf.input.readers import Reader
from resnet_tf.input.slices import Slices
from resnet_tf.preprocessing import Preprocessing


def training_batches(
    strategy: tf.distribute.Strategy,
    reader: Reader,
    order: Order,
    *,
    batch_size: int,
    augmentation: Augmentation,
    pictures: Preprocessing | None = None,
    classes: int = 0,
    bad: BadRecords | None = None,
    first_step: int = 0,
    period: int = 0,
    services: Sequence[str] = (),
) -> tf.distribute.DistributedDataset:
    """Endless training batches from step `first_step` on.

    Args:
      strategy: whose replicas are fed.
      reader: of the training split.
      order: of its records.
      batch_size: over all replicas, a multiple of their number.
      augmentation: of the pictures.
      pictures: their size, where it is not the reader's.
      classes: their number, for soft labels.
      bad: records to leave out; none by default.
      first_step: 0, or the step of the commit that is resumed.
      period: number of batches after which the first comes again, with the same noise; 0: never.
      services: addresses of the machines that make the batches; none: this one does.

    Returns:
      A dataset of (images `[b, H, W, C]`, labels, marks int64 `[b, 2]`), with b = batch_size /
      replicas. Images are uint8, or float32 in the same units where the augmentation leaves whole
      levels; labels are int64 `[b]`, or float32 `[b, classes]` where it mixes them. The marks of
      a picture are the id of its record and a fingerprint of its pixels.
    """
    bad = bad or BadRecords.none()
    pictures = pictures or reader.pictures

    def pipeline(context, local, first_replica):
        per_replica = batch_size // context.num_replicas_in_sync
        whole = Slices(first_step, batch_size, per_replica, first_replica, local)

        def part_of(part, parts):
            return batches_of(dataclasses.replace(whole, part=part, parts=parts), local)

        return service.made_elsewhere(services, part_of) if services else batches_of(whole, local)

    def batches_of(slices, local):
        def wanted(positions):
            ids, noise = order.at(positions % (period * batch_size) if period else positions)
            return {"ids": bad.replace(ids), "noise": noise, **augmentation.draws(noise)}

        def fit(encoded, row):
            return augmentation.fit(encoded, row, pictures)

        def augment(rows, images, labels):
            images = augmentation.augmented(images, rows["noise"])
            images, labels = augmentation.mixed(images, labels, rows["noise"], classes)
            return images, labels, tf.stack([rows["ids"], _fingerprints(images)], axis=1)

        batches = reader.ordered(slices, order, bad, wanted, fit)
        return batches.map(augment, num_parallel_calls=2 * local, deterministic=True)

    return _distribute(strategy, pipeline)


def evaluation_batches(
    strategy: tf.distribute.Strategy, reader: Reader, *, batch_size: int
) -> tuple[tf.distribute.DistributedDataset, int]:
    """Every record once, in order, in batches of one shape.

    What the last batches have too much repeats the last record with weight 0.

    Args:
      strategy: whose replicas are fed.
      reader: of the split.
      batch_size: over all replicas, at most the number of records; rounded up to a multiple
        of the replicas' number.

    Returns:
      A dataset of (images uint8 `[b, H, W, C]`, labels int64 `[b]`, record ids int64 `[b]`,
      weights int64 `[b]`, 1 or 0), and the number of steps that it lasts.
    """
    replicas = strategy.num_replicas_in_sync
    per_replica = -(-min(batch_size, reader.records) // replicas)
    steps = -(-reader.records // (per_replica * replicas))

    def pipeline(context, local, first_replica):
        slices = Slices(0, per_replica * replicas, per_replica, first_replica, local)

        def wanted(positions):
            return {
                "ids": tf.minimum(positions, reader.records - 1),
                "weights": tf.cast(positions < reader.records, tf.int64),
            }

        batches = reader.batches(slices.batches().map(wanted))
        return batches.map(
            lambda rows, images, labels: (images, labels, rows["ids"], rows["weights"])
        )

    return _distribute(strategy, pipeline), steps


def _fingerprints(images: tf.Tensor) -> tf.Tensor:
    """64 bits of each picture's bytes (FarmHash): `[b, H, W, C]` to int64 `[b]`."""
    data = images if images.dtype == tf.uint8 else tf.bitcast(images, tf.uint8)
    data = tf.reshape(data, [tf.shape(images)[0], -1])
    return tf.bitcast(tf.raw_ops.Fingerprint(data=data, method="farmhash64"), tf.int64)


def _distribute(strategy, make):
    """The endless dataset that `make` gives each pipeline, prefetched to its devices.

    Endless, also for evaluation, which counts its steps: the strategy then needs no check
    for a last, smaller batch, and no replica ever meets an empty one.
    """

    @tf.autograph.experimental.do_not_convert
    def pipeline(context: tf.distribute.InputContext) -> tf.data.Dataset:
        local = context.num_replicas_in_sync // context.num_input_pipelines
        dataset = make(context, local, context.input_pipeline_id * local)
        options = tf.data.Options()
        options.autotune.enabled = False
        return dataset.prefetch(2 * local).with_options(options)

    return strategy.distribute_datasets_from_function(pipeline)


def normalize(images: tf.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> tf.Tensor:
    """(x - mean) / std a channel, in pixel units: uint8 or float32 `[N, H, W, C]` to float32."""
    return (tf.cast(images, tf.float32) - tf.constant(mean)) * (1 / tf.constant(std))
