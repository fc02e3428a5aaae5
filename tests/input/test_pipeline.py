import numpy as np
import pytest
import tensorflow as tf

from resnet_tf import input
from resnet_tf.input import order

ONE = tf.distribute.get_strategy()
RECORDS, BATCH, SEED = 21, 6, 5


class Reader(input.ArrayReader):
    """Pictures of noise, and labels that are the record's own number."""

    def __init__(self, records=RECORDS):
        images = np.random.default_rng(1).integers(0, 256, (records, 8, 8, 3), np.uint8)
        super().__init__(images, np.arange(records))


def whole(strategy, batch):
    """The global batch: the replicas' parts one after another."""
    parts = ([p.numpy() for p in strategy.experimental_local_results(x)] for x in batch)
    return [np.concatenate(part) for part in parts]


def training(strategy, steps, augmentation, first_step=0, reader=None, seed=SEED):
    reader = reader or Reader()
    iterator = iter(
        input.training_batches(
            strategy, reader, input.Order((reader.records,), seed), batch_size=BATCH,
            augmentation=augmentation, first_step=first_step,
        )
    )  # fmt: skip
    batches = (whole(strategy, next(iterator)) for _ in range(steps))
    return [(images, labels, marks[:, 0]) for images, labels, marks in batches]


PLAIN, NOISY = input.Augmentation(), input.Augmentation(pad=2, flip=True)


def test_batches_follow_the_order_formula_across_epochs():
    found = np.concatenate([ids for _, _, ids in training(ONE, 12, PLAIN)])
    positions = tf.range(12 * BATCH, dtype=tf.int64)
    np.testing.assert_array_equal(found, order.record_at(positions, RECORDS, SEED).numpy())
    for epoch in range(3):
        assert sorted(found[epoch * RECORDS : (epoch + 1) * RECORDS]) == list(range(RECORDS))


def test_images_and_labels_belong_to_the_record():
    reader = Reader()
    for images, labels, ids in training(ONE, 3, PLAIN, reader=reader):
        np.testing.assert_array_equal(images, reader.images.numpy()[ids])
        np.testing.assert_array_equal(labels, ids)


@pytest.mark.parametrize("augmentation", [PLAIN, NOISY], ids=["plain", "augmented"])
def test_two_replicas_get_the_same_examples_as_one_in_the_same_order(two_replicas, augmentation):
    one, two = training(ONE, 8, augmentation), training(two_replicas, 8, augmentation)
    for first, second in zip(one, two, strict=True):
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("first_step", [1, 3, 7])
def test_a_resumed_pipeline_goes_on_as_if_it_had_never_stopped(two_replicas, first_step):
    for strategy in (ONE, two_replicas):
        undisturbed = training(strategy, 9, NOISY)[first_step:]
        resumed = training(strategy, 9 - first_step, NOISY, first_step)
        for first, second in zip(undisturbed, resumed, strict=True):
            for a, b in zip(first, second, strict=True):
                np.testing.assert_array_equal(a, b)


def test_fingerprints_tell_pictures_apart_and_replicas_do_not_matter(two_replicas):
    def prints(strategy, augmentation):
        data = input.training_batches(
            strategy, Reader(), input.Order((RECORDS,), SEED), batch_size=BATCH,
            augmentation=augmentation,
        )  # fmt: skip
        iterator = iter(data)
        parts = [whole(strategy, next(iterator)) for _ in range(6)]
        images, _, marks = (np.concatenate(part) for part in zip(*parts))
        return images, marks[:, 1]

    for augmentation in (PLAIN, NOISY, input.Augmentation(brightness=0.5)):
        images, one = prints(ONE, augmentation)
        _, two = prints(two_replicas, augmentation)
        np.testing.assert_array_equal(one, two)
        assert one.dtype == np.int64
        of_bytes = {}
        for image, number in zip(images, one):
            assert of_bytes.setdefault(image.tobytes(), number) == number
        assert len(set(of_bytes.values())) == len(of_bytes)


def test_augmentation_differs_from_epoch_to_epoch_and_seed_to_seed():
    reader = Reader(records=BATCH)

    def by_record(batch):
        images, _, ids = batch
        return images[np.argsort(ids)]

    first, second = (by_record(b) for b in training(ONE, 2, NOISY, reader=reader))
    other = by_record(training(ONE, 1, NOISY, reader=reader, seed=6)[0])
    assert (first != second).any() and (first != other).any()


@pytest.mark.parametrize("batch_size", [1, 2, 5, 8, 21, 50])
def test_evaluation_has_each_record_once_in_order(two_replicas, batch_size):
    reader = Reader()
    for strategy in (ONE, two_replicas):
        batches, steps = input.evaluation_batches(strategy, reader, batch_size=batch_size)
        iterator = iter(batches)
        images, labels, ids, weights = (
            np.concatenate(part)
            for part in zip(*(whole(strategy, next(iterator)) for _ in range(steps)), strict=True)
        )
        assert set(np.unique(weights)) <= {0, 1} and weights.sum() == RECORDS
        np.testing.assert_array_equal(labels[weights == 1], np.arange(RECORDS))
        np.testing.assert_array_equal(ids[weights == 1], np.arange(RECORDS))
        np.testing.assert_array_equal(images[weights == 1], reader.images.numpy())


def test_normalize_equals_its_formula():
    images = Reader().images.numpy()
    found = input.normalize(tf.constant(images), (10.0, 20.0, 30.0), (2.0, 3.0, 4.0))
    expected = (images.astype(np.float64) - [10, 20, 30]) / [2, 3, 4]
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
