import numpy as np
import pytest
import references
import tensorflow as tf

from resnet_tf.training.losses import (
    class_weighted,
    cross_entropy,
    focal,
    make_loss,
    sigmoid_cross_entropy,
)

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


# --- sigmoid


HARD_AND_SOFT = pytest.mark.parametrize("labels", [LABELS, SOFT], ids=["hard", "soft"])


def gradient(loss, logits, labels):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total = tf.reduce_sum(loss(logits, tf.constant(labels)))
    return tape.gradient(total, logits).numpy()


@HARD_AND_SOFT
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_sigmoid_cross_entropy_equals_its_formula(labels, smoothing):
    found = sigmoid_cross_entropy(tf.constant(LOGITS), tf.constant(labels), smoothing).numpy()
    target = references.target(labels, 7, smoothing)
    assert found.shape == (6,) and found.dtype == np.float32
    expected = references.sigmoid_cross_entropy(LOGITS, target)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_sigmoid_cross_entropy_by_hand_is_a_sum_over_classes():
    # σ of log 3 is 3/4, of 0 1/2 and of -log 3 1/4
    logits = tf.math.log([[3.0, 1.0, 1 / 3]])
    found = sigmoid_cross_entropy(logits, tf.constant([0])).numpy()
    np.testing.assert_allclose(found, [-np.log(3 / 4 * 1 / 2 * 3 / 4)], rtol=1e-6)


@HARD_AND_SOFT
def test_gradient_of_sigmoid_cross_entropy_is_sigmoid_minus_target(labels):
    found = gradient(lambda *of: sigmoid_cross_entropy(*of, 0.1), LOGITS, labels)
    expected = references.sigmoid(LOGITS) - references.target(labels, 7, 0.1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_sigmoid_cross_entropy_of_large_logits_is_finite():
    logits = np.array([[1000, -1000], [-1000, 1000]], np.float32)
    labels = np.array([0, 0])
    found = sigmoid_cross_entropy(tf.constant(logits), tf.constant(labels)).numpy()
    np.testing.assert_allclose(found, [0, 2000])
    found = gradient(sigmoid_cross_entropy, logits, labels)
    np.testing.assert_allclose(found, [[0, 0], [-1, 1]])


def test_several_classes_may_be_right_at_once():
    both, none = tf.constant([[1.0, 1.0]]), tf.constant([[0.0, 0.0]])
    logits = tf.math.log([[3.0, 1 / 3]])
    for labels, probability in ((both, 3 / 16), (none, 3 / 16)):  # 3/4 · 1/4, 1/4 · 3/4
        found = sigmoid_cross_entropy(logits, labels).numpy()
        np.testing.assert_allclose(found, [-np.log(probability)], rtol=1e-6)


def test_sigmoid_cross_entropy_agrees_with_another_implementation():
    keras = pytest.importorskip("keras")
    peer = keras.losses.binary_crossentropy(SOFT, tf.constant(LOGITS), from_logits=True)
    found = sigmoid_cross_entropy(tf.constant(LOGITS), tf.constant(SOFT)).numpy()
    np.testing.assert_allclose(found, 7 * peer.numpy(), rtol=1e-5)  # its mean over 7 classes


# --- focal


@HARD_AND_SOFT
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_equals_its_formula(labels, gamma, smoothing):
    found = focal(tf.constant(LOGITS), tf.constant(labels), gamma, smoothing).numpy()
    assert found.shape == (6,) and found.dtype == np.float32
    expected = references.focal(LOGITS, references.target(labels, 7, smoothing), gamma)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_focal_by_hand():
    # softmax of (log 3, 0) is 3/4, 1/4; γ is 2 where nothing is said
    logits = tf.math.log([[3.0, 1.0], [3.0, 1.0]])
    found = focal(logits, tf.constant([0, 1])).numpy()
    expected = [-np.log(3 / 4) / 16, -np.log(1 / 4) * 9 / 16]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@HARD_AND_SOFT
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_with_gamma_0_is_cross_entropy(labels, smoothing):
    found = focal(tf.constant(LOGITS), tf.constant(labels), 0.0, smoothing).numpy()
    expected = cross_entropy(tf.constant(LOGITS), tf.constant(labels), smoothing).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_gradient_of_focal_by_differences(gamma):
    logits = LOGITS[:2].astype(np.float64) / 3
    target = references.target(LABELS[:2], 7)
    expected = references.numeric_gradient(
        lambda z: references.focal(z, target, gamma).sum(), logits, step=1e-5
    )
    found = gradient(lambda *of: focal(*of, gamma), logits.astype(np.float32), LABELS[:2])
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.5, 1.0, 2.0, 5.0])
def test_focal_is_finite_and_flat_where_the_answer_is_sure(gamma):
    """At p = 1 loss and gradient are 0, also where (1 - p)^γ alone has an infinite slope."""
    logits = np.array([[1000, 0], [30, 0], [17, 0], [12, 0]], np.float32)
    labels = np.zeros(4, np.int64)
    losses = focal(tf.constant(logits), tf.constant(labels), gamma).numpy()
    slopes = gradient(lambda *of: focal(*of, gamma), logits, labels)
    assert losses[0] == 0 and (slopes[0] == 0).all()
    assert np.isfinite(slopes).all() and (abs(slopes) <= 1e-5).all() and (losses <= 1e-5).all()
    # At 12, 1 - p is 6e-6, of which float32 keeps 1 % in log p; the loss is its power γ + 1.
    expected = references.focal(logits[3:], references.target(labels[3:], 2), gamma)
    np.testing.assert_allclose(losses[3:], expected, rtol=0.01 * (gamma + 1))


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_of_an_answer_that_is_wrong_for_sure(gamma):
    logits, labels = np.array([[-1000, 0]], np.float32), np.array([0])
    assert focal(tf.constant(logits), tf.constant(labels), gamma).numpy() == [1000]
    found = gradient(lambda *of: focal(*of, gamma), logits, labels)
    np.testing.assert_allclose(found, [[-1, 1]])


def test_focal_agrees_with_another_implementation():
    keras = pytest.importorskip("keras")
    peer = keras.losses.categorical_focal_crossentropy(
        SOFT, tf.constant(LOGITS), alpha=1.0, gamma=1.5, from_logits=True
    )
    found = focal(tf.constant(LOGITS), tf.constant(SOFT), 1.5).numpy()
    np.testing.assert_allclose(found, peer.numpy(), rtol=1e-4)


# --- weights of classes

WEIGHTS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)


@pytest.mark.parametrize("loss", [cross_entropy, sigmoid_cross_entropy, focal])
def test_an_example_counts_as_its_class_does(loss):
    plain = loss(tf.constant(LOGITS), tf.constant(LABELS)).numpy()
    found = class_weighted(loss, WEIGHTS)(tf.constant(LOGITS), tf.constant(LABELS)).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, plain * LABELS / 2, rtol=1e-6)  # weights_k is k / 2


def test_a_soft_label_counts_as_the_mean_of_its_classes():
    logits, labels = tf.zeros([2, 3]), tf.constant([[0.25, 0.75, 0.0], [0.0, 0.0, 1.0]])
    found = class_weighted(cross_entropy, (1.0, 2.0, 10.0))(logits, labels).numpy()
    np.testing.assert_allclose(found, np.log(3) * np.array([1.75, 10]), rtol=1e-6)


@HARD_AND_SOFT
def test_smoothing_is_not_in_the_weight(labels):
    smoothed = make_loss("softmax", 0.5)(tf.constant(LOGITS), tf.constant(labels)).numpy()
    loss = make_loss("softmax", 0.5, class_weights=WEIGHTS)
    found = loss(tf.constant(LOGITS), tf.constant(labels)).numpy()
    factors = references.target(labels, 7) @ WEIGHTS
    np.testing.assert_allclose(found, factors * smoothed, rtol=1e-5)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_weights_that_no_class_can_have(weight):
    with pytest.raises(ValueError, match=rf"class weights must be 0 or more, got \[1.0, {weight}"):
        class_weighted(cross_entropy, (1.0, weight))


@HARD_AND_SOFT
def test_weights_must_be_as_many_as_the_classes(labels):
    for weights in (WEIGHTS[:6], (*WEIGHTS, 1.0)):
        loss = class_weighted(cross_entropy, weights)
        with pytest.raises(ValueError, match=f"7 classes need as many .* got {len(weights)}"):
            loss(tf.constant(LOGITS), tf.constant(labels))


# --- by name

KINDS = {
    "softmax": lambda logits, target, gamma: references.focal(logits, target, 0),
    "sigmoid": lambda logits, target, gamma: references.sigmoid_cross_entropy(logits, target),
    "focal": references.focal,
}


@HARD_AND_SOFT
@pytest.mark.parametrize("compiled", [False, True], ids=["traced", "compiled"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_as_a_step_runs_it(kind, labels, compiled):
    loss = make_loss(kind, 0.1, 1.5, WEIGHTS)

    @tf.function(jit_compile=compiled)
    def step(logits, labels):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            losses = loss(logits, labels)
        return losses, tape.gradient(losses, logits)

    found, slopes = step(tf.constant(LOGITS), tf.constant(labels))
    factors = references.target(labels, 7) @ WEIGHTS
    target = references.target(labels, 7, 0.1)
    np.testing.assert_allclose(found, factors * KINDS[kind](LOGITS, target, 1.5), rtol=1e-4)
    expected = references.numeric_gradient(
        lambda z: (factors * KINDS[kind](z, target, 1.5)).sum(), LOGITS.astype(np.float64), 1e-5
    )
    np.testing.assert_allclose(slopes, expected, atol=1e-4)


def test_the_defaults_are_no_smoothing_gamma_2_and_no_weights():
    logits, labels = tf.constant(LOGITS), tf.constant(LABELS)
    for kind, reference in KINDS.items():
        expected = reference(LOGITS, references.target(LABELS, 7), 2)
        np.testing.assert_allclose(make_loss(kind)(logits, labels), expected, rtol=1e-4)


@pytest.mark.parametrize("told, message", [
    ({"kind": "hinge"}, "no loss is called 'hinge'; there are softmax, sigmoid, focal"),
    ({"kind": "softmax", "smoothing": 1.0}, r"smoothing must be in \[0, 1\), got 1.0"),
    ({"kind": "softmax", "smoothing": -0.1}, r"smoothing must be in \[0, 1\), got -0.1"),
    ({"kind": "focal", "gamma": -1.0}, "gamma must be 0 or more, got -1.0"),
    ({"kind": "focal", "gamma": float("nan")}, "gamma must be 0 or more, got nan"),
    ({"kind": "focal", "gamma": float("inf")}, "gamma must be 0 or more, got inf"),
    ({"kind": "focal", "class_weights": (1.0, -2.0)}, "class weights must be 0 or more"),
])  # fmt: skip
def test_what_makes_no_loss(told, message):
    with pytest.raises(ValueError, match=message):
        make_loss(**told)
