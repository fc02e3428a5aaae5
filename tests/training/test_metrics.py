import numpy as np
import pytest
import references
import tensorflow as tf

from resnet_tf.training.metrics import correct_in_top

LOGITS = references.ramp((6, 7), -5, 5)
LABELS = np.array([0, 6, 3, 2, 5, 1])
SOFT = np.random.default_rng(3).dirichlet(np.ones(7), 6).astype(np.float32)


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


@pytest.mark.parametrize("k", [1, 3])
def test_of_a_soft_label_the_largest_counts(k):
    found = correct_in_top(tf.constant(LOGITS), tf.constant(SOFT), k).numpy()
    order = np.argsort(-LOGITS, axis=1)[:, :k]
    np.testing.assert_array_equal(found, [SOFT[i].argmax() in order[i] for i in range(6)])
    equal = correct_in_top(tf.constant([[0.0, 1.0]]), tf.constant([[0.5, 0.5]]), 1)
    assert equal.numpy().tolist() == [False]  # of two halves the first
