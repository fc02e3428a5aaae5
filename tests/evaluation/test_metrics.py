"""`evaluation.metrics` against scikit-learn, SciPy and hand arithmetic, on real and odd inputs."""

import math

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn import metrics as peer

from resnet_tf.evaluation import metrics


def random_table(seed, records, classes, right=0.6):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, records)
    predicted = np.where(rng.random(records) < right, labels, rng.integers(0, classes, records))
    return labels, predicted


TABLES = {
    "usual": random_table(0, 500, 7),
    "many classes, some never seen": random_table(1, 60, 100),
    "two": random_table(2, 9, 2),
    "one record": (np.array([1]), np.array([2])),
    "all right": (np.arange(5), np.arange(5)),
    "all wrong": (np.arange(5), (np.arange(5) + 1) % 5),
    "always the same class": (np.array([0, 1, 2, 1]), np.zeros(4, int)),
    "one class only": (np.zeros(6, int), np.zeros(6, int)),
}


@pytest.mark.parametrize("name", TABLES)
def test_scores_equal_scikit_learn(name):
    labels, predicted = TABLES[name]
    classes = int(max(labels.max(), predicted.max())) + 3  # two are never seen
    matrix = metrics.confusion_matrix(labels, predicted, classes)
    every = np.arange(classes)
    np.testing.assert_array_equal(matrix, peer.confusion_matrix(labels, predicted, labels=every))
    assert matrix.dtype == np.int64 and matrix.sum() == len(labels)
    found = metrics.ClassScores.of(matrix)
    expected = peer.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0
    )
    for mine, theirs in zip((found.precision, found.recall, found.f1, found.support), expected):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=0)
    for average, mine in (("macro", found.macro()), ("weighted", found.weighted())):
        theirs = peer.precision_recall_fscore_support(
            labels, predicted, average=average, zero_division=0
        )[:3]
        assert list(mine) == ["precision", "recall", "f1"]
        np.testing.assert_allclose(list(mine.values()), theirs, rtol=1e-12)


@pytest.mark.parametrize("correct, number", [(0, 1), (1, 1), (0, 30), (30, 30), (7, 10),
                                             (49_000, 50_000), (1, 1_281_167)])  # fmt: skip
def test_interval_of_wilson_equals_scipy(correct, number):
    found = metrics.wilson_interval(correct, number)
    theirs = stats.binomtest(correct, number).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(found, (theirs.low, theirs.high), rtol=1e-9, atol=1e-12)
    assert 0 <= found[0] <= correct / number <= found[1] <= 1


@pytest.mark.parametrize("correct, number", [(-1, 5), (6, 5), (0, 0)])
def test_interval_of_what_cannot_be(correct, number):
    with pytest.raises(ValueError, match="correct must be from 0 to number"):
        metrics.wilson_interval(correct, number)


def test_most_confused_pairs():
    matrix = np.array([[5, 2, 0], [3, 9, 2], [0, 0, 1]])
    assert metrics.most_confused(matrix, 10) == [(1, 0, 3), (0, 1, 2), (1, 2, 2)]
    assert metrics.most_confused(matrix, 2) == [(1, 0, 3), (0, 1, 2)]
    assert metrics.most_confused(np.diag([4, 4]), 3) == []
    assert matrix[0, 0] == 5  # left as it was


def test_calibration_by_hand():
    confidence = np.array([0.05, 0.1, 0.15, 0.95, 1.0, 0.9])
    correct = np.array([False, True, False, True, True, False])
    found = metrics.Calibration.of(confidence, correct, bins=10)
    assert found.records.tolist() == [2, 1, 0, 0, 0, 0, 0, 0, 1, 2]  # an edge belongs below
    np.testing.assert_allclose(found.confidence[[0, 1, 8, 9]], [0.075, 0.15, 0.9, 0.975])
    np.testing.assert_allclose(found.accuracy[[0, 1, 8, 9]], [0.5, 0, 0, 1])
    by_hand = (2 * 0.425 + 0.15 + 0.9 + 2 * 0.025) / 6
    assert found.error == pytest.approx(by_hand)
    assert len(metrics.Calibration.of(confidence, correct).records) == 15


def test_calibration_of_extremes():
    sure = metrics.Calibration.of(np.ones(4), np.array([True, True, True, True]))
    assert sure.error == 0
    assert metrics.Calibration.of(np.ones(4), np.zeros(4, bool)).error == 1
    assert metrics.Calibration.of(np.zeros(1), np.ones(1, bool)).error == 1


def sampled(seed, records, classes, temperature):
    """Logits, and labels drawn by softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    logits = 4 * rng.normal(size=(records, classes))
    noise = rng.gumbel(size=logits.shape)
    return logits.astype(np.float32), (logits / temperature + noise).argmax(axis=1)


@pytest.mark.parametrize("true", [0.3, 1.0, 2.5, 9.0])
def test_temperature_is_where_scipy_finds_the_least_loss(true):
    logits, labels = sampled(0, 800, 10, true)
    found = metrics.fit_temperature(logits, labels)
    theirs = optimize.minimize_scalar(
        lambda log_t: metrics.cross_entropy(logits / math.exp(log_t), labels),
        bounds=(-4, 4), method="bounded", options={"xatol": 1e-10},
    )  # fmt: skip
    assert found == pytest.approx(math.exp(theirs.x), rel=1e-4)
    assert found == pytest.approx(true, rel=0.25)
    assert metrics.fit_temperature(logits / 10, labels) == pytest.approx(found / 10, rel=1e-4)


def test_temperature_of_a_network_that_is_always_right_or_always_wrong():
    logits, _ = sampled(1, 100, 5, 1)
    assert metrics.fit_temperature(logits, logits.argmax(axis=1)) == pytest.approx(0.01)
    assert metrics.fit_temperature(logits, logits.argmin(axis=1)) == pytest.approx(100)
    assert 0.01 <= metrics.fit_temperature(np.zeros((3, 4)), np.zeros(3, int)) <= 100


def test_cross_entropy_equals_scikit_learn():
    logits, labels = sampled(2, 200, 6, 1)
    shares = np.exp(logits.astype(np.float64))
    shares /= shares.sum(axis=1, keepdims=True)
    expected = peer.log_loss(labels, shares, labels=np.arange(6))
    assert metrics.cross_entropy(logits, labels) == pytest.approx(expected, rel=1e-9)
    assert metrics.cross_entropy(np.array([[1000.0, 0.0]]), np.array([1])) == 1000
