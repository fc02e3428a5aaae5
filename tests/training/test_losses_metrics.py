import numpy as np
import pytest
import references
import tensorflow as tf

from resnet_tf.training.losses import cross_entropy
from resnet_tf.training.metrics import correct_in_top

LOGITS = references.ramp((6, 7), -5, 5)
LABELS = np.array([0, 6, 3, 2, 5, 1])


def test_cross_entropy_equals_its_formula():
    found = cross_entropy(tf.constant(LOGITS), tf.constant(LABELS, tf.int64)).numpy()
    np.testing.assert_allclose(found, references.cross_entropy(LOGITS, LABELS), rtol=1e-5)


def test_cross_entropy_of_large_logits_is_finite():
    logits = tf.constant([[1000.0, 0.0], [-1000.0, 0.0]])
    found = cross_entropy(logits, tf.constant([1, 0], tf.int64)).numpy()
    np.testing.assert_allclose(found, [1000, 1000])


def test_cross_entropy_gradient_is_softmax_minus_one_hot():
    logits = tf.constant(LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total = tf.reduce_sum(cross_entropy(logits, tf.constant(LABELS, tf.int64)))
    softmax = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        tape.gradient(total, logits).numpy(), softmax - np.eye(7)[LABELS], atol=1e-6
    )


def smoothed_targets(smoothing):
    """(1 - s) of the label's one, and s / K for each of the K classes."""
    return (1 - smoothing) * np.eye(7)[LABELS] + smoothing / 7


def log_softmax(logits):
    logits = logits.astype(np.float64)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5, 0.99])
def test_smoothed_cross_entropy_equals_its_formula(smoothing):
    labels = tf.constant(LABELS, tf.int64)
    found = cross_entropy(tf.constant(LOGITS), labels, smoothing).numpy()
    expected = -(smoothed_targets(smoothing) * log_softmax(LOGITS)).sum(axis=1)
    assert found.shape == (6,) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_smoothing_by_hand():
    # softmax of (log 3, 0) is 3/4, 1/4; with s = 0.2 the target is 0.9, 0.1
    logits = tf.math.log([[3.0, 1.0], [3.0, 1.0]])
    found = cross_entropy(logits, tf.constant([0, 1], tf.int64), 0.2).numpy()
    log = np.log([3 / 4, 1 / 4])
    np.testing.assert_allclose(
        found, [-0.9 * log[0] - 0.1 * log[1], -0.1 * log[0] - 0.9 * log[1]], rtol=1e-6
    )


@pytest.mark.parametrize("smoothing", [0.1, 0.6])
def test_gradient_of_smoothed_cross_entropy_is_softmax_minus_target(smoothing):
    logits = tf.constant(LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total = tf.reduce_sum(cross_entropy(logits, tf.constant(LABELS, tf.int64), smoothing))
    expected = np.exp(log_softmax(LOGITS)) - smoothed_targets(smoothing)
    np.testing.assert_allclose(tape.gradient(total, logits).numpy(), expected, atol=1e-6)


def test_smoothed_cross_entropy_of_large_logits_is_finite():
    logits = tf.constant([[1000.0, 0.0], [-1000.0, 0.0]])
    found = cross_entropy(logits, tf.constant([0, 0], tf.int64), 0.1).numpy()
    # 1000 too large: 0.05 of the target; 1000 too small: all but 0.05
    np.testing.assert_allclose(found, [50, 950], rtol=1e-5)


def test_smoothing_of_a_perfect_answer_is_no_zero():
    """The smallest loss is the entropy of the target, where softmax equals it."""
    logits = tf.constant(np.log(smoothed_targets(0.1)), tf.float32)
    labels = tf.constant(LABELS, tf.int64)
    target = smoothed_targets(0.1)
    entropy = -(target * np.log(target)).sum(axis=1)
    np.testing.assert_allclose(cross_entropy(logits, labels, 0.1).numpy(), entropy, rtol=1e-5)
    surer = cross_entropy(3 * logits, labels, 0.1).numpy()
    assert (surer > entropy).all()


@pytest.mark.parametrize("k", [1, 2, 5, 7, 9])
def test_correct_in_top_by_sorting(k):
    found = correct_in_top(tf.constant(LOGITS), tf.constant(LABELS, tf.int64), k).numpy()
    order = np.argsort(-LOGITS, axis=1)[:, :k]
    np.testing.assert_array_equal(found, [LABELS[i] in order[i] for i in range(6)])


def test_equal_logits_rank_by_class_so_that_exactly_k_are_in_the_top_k():
    logits = tf.zeros([4, 4])
    for k in (1, 2, 3):
        found = correct_in_top(logits, tf.constant([0, 1, 2, 3], tf.int64), k).numpy()
        np.testing.assert_array_equal(found, np.arange(4) < k)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_example_with_a_non_finite_logit_is_never_correct(bad):
    logits = tf.constant([[3.0, bad, 0.0], [3.0, 1.0, 0.0]])
    found = correct_in_top(logits, tf.constant([0, 0], tf.int64), 3).numpy()
    np.testing.assert_array_equal(found, [False, True])


SOFT = np.random.default_rng(3).dirichlet(np.ones(7), 6).astype(np.float32)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_cross_entropy_of_soft_labels_equals_its_formula(smoothing):
    found = cross_entropy(tf.constant(LOGITS), tf.constant(SOFT), smoothing).numpy()
    target = (1 - smoothing) * SOFT.astype(np.float64) + smoothing / 7
    assert found.shape == (6,) and found.dtype == np.float32
    np.testing.assert_allclose(found, -(target * log_softmax(LOGITS)).sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_soft_label_that_is_hard_costs_the_same(smoothing):
    soft = cross_entropy(tf.constant(LOGITS), tf.one_hot(LABELS, 7), smoothing).numpy()
    hard = cross_entropy(tf.constant(LOGITS), tf.constant(LABELS, tf.int64), smoothing).numpy()
    np.testing.assert_allclose(soft, hard, rtol=1e-6)


def test_gradient_of_soft_labels_is_softmax_minus_label():
    logits = tf.constant(LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total = tf.reduce_sum(cross_entropy(logits, tf.constant(SOFT)))
    expected = np.exp(log_softmax(LOGITS)) - SOFT
    np.testing.assert_allclose(tape.gradient(total, logits).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_of_a_soft_label_the_largest_counts(k):
    found = correct_in_top(tf.constant(LOGITS), tf.constant(SOFT), k).numpy()
    order = np.argsort(-LOGITS, axis=1)[:, :k]
    np.testing.assert_array_equal(found, [SOFT[i].argmax() in order[i] for i in range(6)])
    equal = correct_in_top(tf.constant([[0.0, 1.0]]), tf.constant([[0.5, 0.5]]), 1)
    assert equal.numpy().tolist() == [False]  # of two halves the first
