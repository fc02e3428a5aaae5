import itertools

import numpy as np
import pytest
import record_files
import references
import tensorflow as tf

from resnet_tf.errors import UserError
from resnet_tf.evaluation import evaluate as evaluation
from resnet_tf.evaluation import make_evaluation
from resnet_tf.input import ArrayReader, Manifest
from resnet_tf.input.stored import IndexedReader
from resnet_tf.preprocessing import Preprocessing

ONE = tf.distribute.get_strategy()
CLASSES = 7


class Reader(ArrayReader):
    """Pictures whose first pixels are their logits."""

    def __init__(self, records, classes=CLASSES):
        random = np.random.default_rng(records)
        images = random.integers(0, 256, (records, 1, 1, classes), np.uint8)
        super().__init__(images, random.integers(0, classes, records))


def logits_of(images, training):
    assert training is False
    return tf.reshape(images, [-1, images.shape[-1]])


def preprocess(images):
    return tf.cast(images, tf.float32) / 25


def expected(reader):
    labels = reader.labels.numpy()
    logits = reader.images.numpy().reshape(reader.records, -1) / np.float32(25)
    order = np.argsort(-logits, axis=1, kind="stable")
    hits = order == labels[:, None]
    return {
        "examples": reader.records,
        "correct_top1": int(hits[:, :1].sum()),
        "correct_top5": int(hits[:, :5].sum()),
        "top1": pytest.approx(hits[:, :1].sum() / reader.records, abs=1e-6),
        "top5": pytest.approx(hits[:, :5].sum() / reader.records, abs=1e-6),
        "loss": pytest.approx(references.cross_entropy(logits, labels).mean(), rel=1e-6),
    }


@pytest.fixture(scope="module")
def evaluators(two_replicas):
    return [
        make_evaluation(s, logits_of, preprocess, steps_per_call=3) for s in (ONE, two_replicas)
    ]


@pytest.mark.parametrize("records", [1, 2, 5, 16, 17, 33, 130])
@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_every_record_counts_once_for_any_batch_and_devices(evaluators, records, batch_size):
    """# fault G13"""
    reader = Reader(records)
    for evaluate in evaluators:
        found = evaluate(reader, batch_size)
        assert found.counts() == expected(reader)
        logits = reader.images.numpy().reshape(records, CLASSES) / np.float32(25)
        order = np.argsort(-logits, axis=1, kind="stable")
        labels = reader.labels.numpy()
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_array_equal(found.labels, labels)
        np.testing.assert_array_equal(found.ranks, (order == labels[:, None]).argmax(axis=1))
        np.testing.assert_array_equal(found.top, order[:, :5])
        np.testing.assert_allclose(
            found.scores, np.take_along_axis(shares, order[:, :5], axis=1), rtol=1e-5
        )
        losses = references.cross_entropy(logits, labels)
        np.testing.assert_allclose(found.losses, losses, rtol=1e-4, atol=1e-6)
        assert found.logits is None


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", range(1, 17))
def test_counts_for_each_number_of_records_up_to_130(evaluators, batch_size):
    """# fault G13"""
    for records in range(1, 131):
        reader = Reader(records)
        for evaluate in evaluators:
            assert evaluate(reader, batch_size).counts() == expected(reader), records


def test_fewer_classes_than_five(evaluators):
    reader = Reader(20, classes=3)
    found = evaluators[0](reader, 6)
    assert found.counts() == expected(reader) and found.counts()["correct_top5"] == 20
    assert found.top.shape == found.scores.shape == (20, 3)


def test_logits_where_they_are_asked_for(two_replicas):
    for strategy in (ONE, two_replicas):
        evaluate = make_evaluation(strategy, logits_of, preprocess, keep_logits=True)
        reader = Reader(11)
        logits = reader.images.numpy().reshape(11, CLASSES) / np.float32(25)
        np.testing.assert_allclose(evaluate(reader, 4).logits, logits, rtol=1e-6)


@pytest.mark.parametrize(("seconds", "expected"), [(0.01, [1, 4, 7, 9]), (1, range(1, 10))])
def test_progress_is_told(evaluators, monkeypatch, seconds, expected):
    """After three batches at most, and after each where they are slow: it may be a stop."""
    clock = itertools.count(step=seconds)
    monkeypatch.setattr(evaluation.time, "monotonic", lambda: next(clock))
    told = []
    evaluators[0](Reader(17), 2, lambda done, of: told.append((done, of)))
    assert told == [(done, 9) for done in expected]


def test_logits_that_are_not_finite_count_as_wrong_and_the_loss_is_unknown():
    evaluate = make_evaluation(ONE, lambda x, training: logits_of(x, training) * np.nan, preprocess)
    result = evaluate(Reader(9), 4).counts()
    assert (result["correct_top1"], result["correct_top5"], result["loss"]) == (0, 0, None)
    assert result["examples"] == 9


@pytest.mark.parametrize("fault", ["lost", "twice", "swapped"])
def test_a_count_that_is_not_exact_is_an_error(monkeypatch, fault):
    real = evaluation.evaluation_batches

    def faulty(*arguments, **options):
        batches, steps = real(*arguments, **options)
        if fault == "twice":
            batches = batches.map(lambda x, y, ids, w: (x, y, tf.minimum(ids, 7), w))
        if fault == "swapped":
            batches = batches.map(lambda x, y, ids, w: (x, y, ids ^ 1, w))
        return batches, steps - (fault == "lost")

    monkeypatch.setattr(evaluation, "evaluation_batches", faulty)
    seen, different = {"lost": (8, 8), "twice": (10, 8), "swapped": (10, 10)}[fault]
    found = f"10 are in the split, {seen} were seen, {different} of them different"
    with pytest.raises(UserError, match=f"ERROR 65: not every record .* {found}") as caught:
        make_evaluation(ONE, logits_of, preprocess)(Reader(10), 4)
    assert caught.value.code == 65


def test_traced_once(evaluators):
    traces = []

    def counting(images, training):
        traces.append(images.shape)
        return logits_of(images, training)

    evaluate = make_evaluation(ONE, counting, preprocess, steps_per_call=2)
    evaluate(Reader(21), 4)
    assert traces == [(4, 1, 1, CLASSES)]


@pytest.mark.parametrize("record", [0, 14, 32])
def test_a_record_that_cannot_be_read_is_named(evaluators, tmp_path, record):
    payloads = record_files.sound_records(33)
    (file,) = record_files.write_set(tmp_path, payloads)
    reader = IndexedReader(
        Manifest.load(tmp_path), "train", Preprocessing(1, 1, 3, (0.0,) * 3, (255.0,) * 3)
    )
    path, byte = tmp_path / file, record_files.frames(payloads)[record]
    damaged = bytearray(path.read_bytes())
    damaged[byte + 60] ^= 1
    path.write_bytes(damaged)
    for evaluate in evaluators:
        with pytest.raises(UserError) as error:
            evaluate(reader, 4)
        assert str(error.value).startswith(
            f"ERROR 65: the record fails its checksum (record {record} at byte {byte}) | {path} |"
        )


def test_a_shard_that_is_gone_is_named(tmp_path):
    (file,) = record_files.write_set(tmp_path, record_files.sound_records(5))
    reader = IndexedReader(
        Manifest.load(tmp_path), "train", Preprocessing(1, 1, 3, (0.0,) * 3, (255.0,) * 3)
    )
    (tmp_path / file).unlink()
    with pytest.raises(UserError, match="ERROR 66: cannot read a shard"):
        make_evaluation(ONE, logits_of, preprocess)(reader, 4)
