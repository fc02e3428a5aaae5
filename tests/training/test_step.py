import numpy as np
import pytest
import references
import tensorflow as tf

from resnet_tf import input, models
from resnet_tf.layers import Conv2D, Dense, he_normal, named_variables
from resnet_tf.training import schedules
from resnet_tf.training.gradient import Gradient
from resnet_tf.training.optimizers import SGD
from resnet_tf.training.step import TrainingState, make_train_step

BATCH = 8
ONE = tf.distribute.get_strategy()  # no strategy: one replica


def reader(records=40, size=8, classes=4):
    """A few pictures of noise."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (records, size, size, 3), np.uint8)
    return input.ArrayReader(images, random.integers(0, classes, records))


PAPER = ("cifar_resnet", {})


CONSTANT = schedules.constant(0.05)


def normalized(images):
    return input.normalize(images, mean=(127.0,) * 3, std=(60.0,) * 3)


def make(strategy, state, preprocess=normalized, schedule=CONSTANT):
    variables = state.model.trainable_variables
    gradient = Gradient(state.model, variables, preprocess=preprocess, batch_size=BATCH)
    return make_train_step(strategy, state, gradient, schedule=schedule)


def start(strategy, sync=False, network=PAPER, preprocess=normalized, weight_decay=0.0):
    name, options = network
    with strategy.scope():
        model = models.create(
            name, depth=8, width_multiplier=0.25, num_classes=4, sync_batch_norm=sync, **options
        )
        optimizer = SGD(model, nesterov=True, weight_decay=weight_decay)
        state = TrainingState(model, optimizer, tf.Variable(0, dtype=tf.int64, trainable=False))
    return state, make(strategy, state, preprocess)


def batches(strategy, first_step=0):
    return iter(
        input.training_batches(
            strategy,
            reader(),
            input.Order((40,), seed=1),
            batch_size=BATCH,
            augmentation=input.Augmentation(pad=1, flip=True),
            first_step=first_step,
        )
    )


def values(state):
    slots = {f"slot/{name}": v for name, v in state.optimizer.slots.items()}
    everything = {**named_variables(state.model), **slots}
    return {name: v.numpy() for name, v in everything.items()}


def moves(before, after):
    """By how much each variable moved, in one long vector."""
    return np.concatenate([(after[k] - before[k]).ravel() for k in sorted(after)])


def apart(one, two):
    """The difference of two vectors over the length of the first."""
    return np.linalg.norm(one - two) / np.linalg.norm(one)


def largest_difference(first, second):
    return max(np.abs(first[k] - second[k]).max() for k in first)


def test_fingerprints_of_order_and_pictures(two_replicas):
    """By their formula, in Python's whole numbers; the same on one replica and on two."""
    iterator = batches(ONE)
    _, train = start(ONE)
    health = train(batches(ONE), tf.constant(3))
    _, train_two = start(two_replicas)
    health_two = train_two(batches(two_replicas), tf.constant(3))
    for step in range(3):
        marks = next(iterator)[2].numpy().tolist()
        for column, name in enumerate(("order", "pictures")):
            total = sum(
                (2 * i + 1) * 0x9E3779B97F4A7C15 * mark[column] for i, mark in enumerate(marks)
            )
            assert health[name][step].numpy() == (total + 2**63) % 2**64 - 2**63
            assert health_two[name][step].numpy() == health[name][step].numpy()


def test_one_step_equals_a_step_written_out():
    state, train = start(ONE, weight_decay=0.1)
    before = values(state)
    health = train(batches(ONE), tf.constant(1))
    after = values(state)

    images, labels, _ = next(batches(ONE))
    twin = models.create("cifar_resnet", depth=8, width_multiplier=0.25, num_classes=4)
    x = (images.numpy().astype(np.float32) - 127) / 60
    with tf.GradientTape() as tape:
        logits = twin(x, training=True)
        loss = references.cross_entropy(logits.numpy(), labels.numpy()).mean()
        total = tf.reduce_sum(
            tf.nn.softmax_cross_entropy_with_logits(tf.one_hot(labels, 4), logits)
        )
    variables = twin.trainable_variables
    gradients = [g / BATCH for g in tape.gradient(total, variables)]
    names = {id(v): name for name, v in named_variables(twin).items()}
    for variable, gradient in zip(variables, gradients, strict=True):
        name = names[id(variable)]
        decay = 0.1 * before[name] if name.endswith("kernel") else 0.0
        step = 0.05 * 1.9 * (gradient.numpy() + decay)  # Nesterov from rest: g + 0.9 · g
        np.testing.assert_allclose(after[name], before[name] - step, atol=2e-6)
    for name, variable in named_variables(twin).items():
        if "moving" in name:  # the twin moved its own, outside any tape
            np.testing.assert_allclose(after[name], variable.numpy(), atol=1e-5)
    norm = np.sqrt(sum(np.square(g.numpy()).sum() for g in gradients))
    np.testing.assert_allclose(health["loss"].numpy(), [loss], rtol=1e-5)
    np.testing.assert_allclose(health["gradient_norm"].numpy(), [norm], rtol=1e-4)
    right = (logits.numpy().argmax(axis=1) == labels.numpy()).sum()
    assert health["correct"].numpy().tolist() == [right]
    assert health["finite"].numpy().tolist() == [True] and state.step.numpy() == 1


@pytest.mark.parametrize("network, sync", [
    (PAPER, False),
    (PAPER, True),
    (("cifar_resnet_ordering", {"ordering": "b"}), True),
    (("cifar_resnet_ordering", {"ordering": "e"}), True),
])  # fmt: skip
def test_two_replicas_train_as_one_where_statistics_are_synchronized(two_replicas, network, sync):
    results = []
    for strategy in (ONE, two_replicas):
        state, train = start(strategy, sync=sync, network=network)
        before = values(state)
        health = train(batches(strategy), tf.constant(1))
        results.append((health["loss"].numpy(), moves(before, values(state))))
    (loss_one, one), (loss_two, two) = results
    if sync:
        np.testing.assert_allclose(loss_one, loss_two, rtol=1e-5)
        # Rounding carries single ReLUs over their corner, so not entry by entry.
        assert apart(one, two) < 0.02
    else:
        assert apart(one, two) > 0.2


def test_replicas_keep_equal_weights_and_statistics(two_replicas):
    state, train = start(two_replicas)
    train(batches(two_replicas), tf.constant(4))
    for variable in (*state.model.variables, *state.optimizer.slots.values(), state.step):
        first, second = (v.numpy() for v in two_replicas.experimental_local_results(variable))
        np.testing.assert_array_equal(first, second)


def test_steps_in_one_call_or_in_several_are_the_same_steps():
    (state, train), (other, train_other) = start(ONE), start(ONE)
    together = train(batches(ONE), tf.constant(6))
    iterator = batches(ONE)
    apart = [train_other(iterator, tf.constant(k)) for k in (1, 2, 3)]
    joined = np.concatenate([h["loss"].numpy() for h in apart])
    np.testing.assert_array_equal(together["loss"].numpy(), joined)
    assert largest_difference(values(state), values(other)) == 0
    assert train_other.experimental_get_tracing_count() == 1


def test_the_rate_follows_the_step():
    state, _ = start(ONE)
    schedule = schedules.with_warmup(schedules.constant(1.0), 9)
    train = make(ONE, state, schedule=schedule)
    health = train(batches(ONE), tf.constant(3))
    np.testing.assert_allclose(health["learning_rate"].numpy(), [0.1, 0.2, 0.3], rtol=1e-6)
    assert (health["input_wait"].numpy() >= 0).all()


def poisoned(step, where):
    """Input normalisation that turns the batch bad at one step, on one replica."""

    def preprocess(images):
        context = tf.distribute.get_replica_context()
        here = tf.equal(step, 2) & tf.equal(context.replica_id_in_sync_group, where)
        factor = tf.where(here, np.float32(np.nan), 1.0)
        return tf.cast(images, tf.float32) / 60 * factor

    return preprocess


@pytest.mark.parametrize("replicas, where", [(1, 0), (2, 0), (2, 1)])
def test_a_step_that_is_not_finite_changes_nothing_on_any_replica(two_replicas, replicas, where):
    strategy = two_replicas if replicas == 2 else ONE
    with strategy.scope():
        clock = tf.Variable(0, dtype=tf.int64, trainable=False)
    state, train = start(strategy, preprocess=poisoned(clock, where))
    iterator = batches(strategy)
    train(iterator, tf.constant(2))
    before = values(state)
    clock.assign(2)
    health = train(iterator, tf.constant(3))
    assert health["finite"].numpy().tolist() == [False]  # the call ends there
    assert largest_difference(before, values(state)) == 0
    assert state.step.numpy() == 2  # and the step does not count
    clock.assign(3)
    assert train(iterator, tf.constant(1))["finite"].numpy().tolist() == [True]
    assert largest_difference(before, values(state)) > 0
    assert state.step.numpy() == 3


def test_a_network_without_batch_norm_trains():
    class Plain(models.Classifier):
        def __init__(self):
            super().__init__(models.Classifier.Options())
            self.conv = Conv2D(3, 4, 3, init=he_normal(0))
            self.head = Dense(4, 4, init=he_normal(1))

        def features(self, images, training):
            return {"final": tf.nn.relu(self.conv(images))}

    model = Plain()
    state = TrainingState(model, SGD(model), tf.Variable(0, dtype=tf.int64, trainable=False))
    train = make(ONE, state)
    before = values(state)
    assert train(batches(ONE), tf.constant(2))["finite"].numpy().all()
    assert largest_difference(before, values(state)) > 0
