"""All readers give the same records, pixel by pixel, in the order of the formula."""

import made
import numpy as np
import pytest

from resnet_tf import input
from resnet_tf.evaluation import make_evaluation
from resnet_tf.input import records
from resnet_tf.input.bad_records import BadRecords
from resnet_tf.input.memory import MemoryReader
from resnet_tf.input.slices import Slices
from resnet_tf.input.stored import EncodedMemoryReader, IndexedReader
from resnet_tf.input.windowed import WindowedReader

import tensorflow as tf  # isort: skip

ONE = tf.distribute.get_strategy()
SIZES = (5, 0, 4, 3, 6)
N, BATCH, SEED = sum(SIZES), 5, 3
STEPS = -(-3 * N // BATCH)  # three epochs
SIDE = 8

PLAIN = input.Augmentation()
SHIFTED = input.Augmentation(pad=2, flip=True)
COLOURED = input.Augmentation(flip=True, brightness=0.2, saturation=0.5)
CROPPED = input.Augmentation(crop_scale=(0.3, 1.0), flip=True, repeats=2)


def payloads(label_offset=0, features=records.USUAL):
    """JPEG and PNG in turn, of odd sizes, labelled with their own number."""
    found = []
    for i in range(N):
        image = made.pixels(i, 9 + 3 * i % 14, 9 + 5 * i % 11)
        encoded = (made.png, made.jpeg)[i % 2](image)
        found.append(made.record(encoded, i + label_offset, features))
    return found


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    return made.data_set(directory, {"train": made.split_up(payloads(), SIZES)}, classes=N)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """The same with labels from 1 on, and fields of other names."""
    shards = made.split_up(payloads(1, made.FOREIGN), SIZES)
    directory = tmp_path_factory.mktemp("foreign")
    return made.data_set(
        directory, {"train": shards}, classes=N, label_offset=1, features=made.FOREIGN
    )


def encoded_in_memory(manifest, split, pictures):
    return EncodedMemoryReader(manifest, split, pictures, BadRecords.none())


STORED = {"encoded": encoded_in_memory, "indexed": IndexedReader, "windowed": WindowedReader}
KINDS = {"memory": MemoryReader} | STORED


def whole(strategy, batch):
    parts = ([p.numpy() for p in strategy.experimental_local_results(x)] for x in batch)
    return [np.concatenate(part) for part in parts]


def batches(manifest, kind, how=PLAIN, *, window=0, steps=STEPS, first_step=0, strategy=ONE,
            batch_size=BATCH):  # fmt: skip
    """Images, labels and ids of some steps, one after another."""
    made_by = KINDS[kind](manifest, "train", manifest.pictures(SIDE, SIDE))
    iterator = iter(
        input.training_batches(
            strategy, made_by, input.Order(SIZES, SEED, window, how.repeats),
            batch_size=batch_size, augmentation=how, first_step=first_step,
        )
    )  # fmt: skip
    found = [whole(strategy, next(iterator)) for _ in range(steps)]
    images, labels, marks = (np.concatenate(part) for part in zip(*found, strict=True))
    return [images, labels, marks[:, 0]]


def same(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def formula(window, repeats=1, first=0, count=STEPS * BATCH):
    order = input.Order(SIZES, SEED, window, repeats)
    return order.at(tf.range(first, first + count, dtype=tf.int64))[0].numpy()


@pytest.mark.parametrize("window", [0, 2])
@pytest.mark.parametrize("how", [PLAIN, SHIFTED], ids=["plain", "shifted"])
def test_whole_pictures_are_the_same_by_all_readers(manifest, how, window):
    expected = batches(manifest, "memory", how, window=window)
    np.testing.assert_array_equal(expected[2], formula(window))
    np.testing.assert_array_equal(expected[1], expected[2])  # labels are the records' numbers
    for kind in STORED:
        same(batches(manifest, kind, how, window=window), expected)


def test_pixels_are_those_of_the_file(manifest):
    """Independently of any reader: decoded, resized, rounded."""
    images, _, ids = batches(manifest, "windowed", window=2)
    encoded = [
        tf.train.Example.FromString(p).features.feature["image/encoded"].bytes_list.value[0]
        for p in payloads()
    ]
    for image, record in zip(images[:N], ids):
        pixels = tf.io.decode_image(encoded[record]).numpy()  # of JPEG with the fast inverse DCT
        expected = tf.image.resize(pixels, [SIDE, SIDE], antialias=True).numpy()
        assert np.abs(image - expected).max() <= (0.51 if record % 2 == 0 else 6)


@pytest.mark.parametrize("how, window", [(CROPPED, 2), (COLOURED, 0)])
def test_pictures_that_are_no_whole_levels_are_the_same_by_all_readers(manifest, how, window):
    expected = batches(manifest, "indexed", how, window=window)
    np.testing.assert_array_equal(expected[2], formula(window, how.repeats))
    assert expected[0].dtype == (np.uint8 if how is CROPPED else np.float32)
    for kind in ("encoded", "windowed"):
        same(batches(manifest, kind, how, window=window), expected)


def test_each_copy_and_each_epoch_is_cropped_differently(manifest):
    images, _, ids = batches(manifest, "indexed", CROPPED)
    of_first = images[ids == ids[0]]
    assert len(of_first) >= 2
    assert all((of_first[0] != other).any() for other in of_first[1:])


@pytest.mark.parametrize("kind", KINDS)
def test_labels_from_1_and_fields_of_other_names(foreign, manifest, kind):
    same(batches(foreign, kind, steps=4), batches(manifest, kind, steps=4))


BREAKS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)


@pytest.mark.parametrize("kind, how", [
    ("memory", SHIFTED), ("indexed", CROPPED), ("windowed", PLAIN),
])  # fmt: skip
def test_after_ten_breaks_in_three_epochs_the_list_goes_on_exactly(manifest, kind, how):
    """Batches of 5 of 18 records: in the middle of windows, over the ends of epochs."""
    assert N % BATCH and BREAKS[-1] < STEPS
    undisturbed = batches(manifest, kind, how, window=2)
    for step in BREAKS:
        resumed = batches(manifest, kind, how, window=2, first_step=step, steps=1)
        same(resumed, [x[step * BATCH : (step + 1) * BATCH] for x in undisturbed])


@pytest.mark.parametrize("kind, how", [("indexed", CROPPED), ("windowed", SHIFTED)])
def test_two_replicas_get_the_same_examples_as_one(manifest, two_replicas, kind, how):
    one = batches(manifest, kind, how, window=2, batch_size=10, steps=8, first_step=1)
    two = batches(
        manifest, kind, how, window=2, batch_size=10, steps=8, first_step=1, strategy=two_replicas
    )
    same(two, one)


# fault C17
@pytest.mark.parametrize("kind, count", [("indexed", 2), ("windowed", 2), ("windowed", 4)])
def test_the_pipelines_of_several_workers_share_one_list(manifest, kind, count):
    """As `tf.distribute` would call for them: each with its own slice, one replica a worker."""
    order, size = input.Order(SIZES, SEED, 2), 8
    expected = batches(manifest, kind, window=2, batch_size=size, steps=6)
    parts = []
    for worker in range(count):
        slices = Slices(0, size, size // count, worker, 1)

        def wanted(positions):
            ids, noise = order.at(positions)
            return {"ids": ids, "noise": noise}

        by = KINDS[kind](manifest, "train", manifest.pictures(SIDE, SIDE))

        def fit(encoded, row, by=by):
            return PLAIN.fit(encoded, row, by.pictures)

        data = by.ordered(slices, order, BadRecords.none(), wanted, fit).take(6)
        parts.append([(i, t, rows["ids"]) for rows, i, t in data.as_numpy_iterator()])
    together = [
        np.concatenate([part[step][k] for step in range(6) for part in parts]) for k in range(3)
    ]
    same(together, expected)


@pytest.mark.parametrize("batch_size", [1, 7, N, 50])
def test_evaluation_has_each_record_once(manifest, two_replicas, batch_size):
    expected = KINDS["memory"](manifest, "train", manifest.pictures(SIDE, SIDE))
    found = KINDS["indexed"](manifest, "train", manifest.pictures(SIDE, SIDE))
    for strategy in (ONE, two_replicas):
        data, steps = input.evaluation_batches(strategy, found, batch_size=batch_size)
        iterator = iter(data)
        parts = [whole(strategy, next(iterator)) for _ in range(steps)]
        images, labels, _, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
        np.testing.assert_array_equal(labels[weights == 1], np.arange(N))
        np.testing.assert_array_equal(images[weights == 1], expected.images.numpy())


def test_evaluation_counts_the_same_from_disk_and_from_memory(manifest, two_replicas):
    def logits(images, training):
        return tf.reshape(images, [-1, SIDE * SIDE * 3])[:, :N]

    def preprocess(images):
        return tf.cast(images, tf.float32) / 25

    results = []
    for strategy in (ONE, two_replicas):
        evaluate = make_evaluation(strategy, logits, preprocess)
        for kind in ("memory", "indexed"):
            made_by = KINDS[kind](manifest, "train", manifest.pictures(SIDE, SIDE))
            results += [evaluate(made_by, size).counts() for size in (4, 18)]
    assert results[0]["examples"] == N
    for result in results[1:]:
        assert result == results[0] | {"loss": pytest.approx(results[0]["loss"], rel=1e-6)}
