"""Optimizer, loss, clipping, accumulation, noise and average: one replica, two, and by hand."""

import functools

import numpy as np
import pytest
import references
from small_steps import (
    BATCH,
    CLASSES,
    ONE,
    Smooth,
    after,
    apart,
    batches,
    everything,
    labels,
    pictures,
    soft_labels,
    start,
)

from resnet_tf.layers import NoiseStream, StatisticsTape, named_variables
from resnet_tf.training import clipping
from resnet_tf.training.losses import make_loss
from resnet_tf.training.optimizers import LAMB, LARS, SGD, Adam, RMSprop

import tensorflow as tf  # isort: skip

SYNC = functools.partial(Smooth, sync=True)
BARE = functools.partial(Smooth, norm=False)
# Rounding, which Adam's division by the gradient's own size makes larger.
CLOSE = 1e-3
OPTIMIZERS = {
    "sgd": functools.partial(SGD, momentum=0.0),
    "momentum": SGD,
    "momentum with decay": functools.partial(SGD, weight_decay=0.1),
    "nesterov": functools.partial(SGD, nesterov=True),
    "adam": functools.partial(Adam, weight_decay=0.1),
    "adamw": functools.partial(Adam, weight_decay=0.1, decoupled=True),
    "rmsprop": RMSprop,
    "lars": functools.partial(LARS, weight_decay=0.1),
    "lamb": functools.partial(LAMB, weight_decay=0.1),
}
CLIPS = {
    "norm": lambda model: clipping.by_norm(0.1),
    "value": lambda model: clipping.by_value(0.005),
    "adaptive": lambda model: clipping.adaptive(0.01, excluded=model.head.trainable_variables),
}


def gradient_of(kind="softmax", **told):
    return {"loss": make_loss(kind, **told)}


@functools.cache
def alone(optimizer, soft=False, steps=1):
    """On one replica, with nothing else told."""
    targets = soft_labels(steps) if soft else labels(steps)
    told = {"network": SYNC, "optimizer": OPTIMIZERS[optimizer], "steps": steps}
    return after(ONE, targets=targets, **told)


# --- one replica and two


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_updates_two_replicas_as_one(two_replicas, name):
    one, health = alone(name, steps=2)
    two, others = after(two_replicas, network=SYNC, optimizer=OPTIMIZERS[name], steps=2)
    assert apart(one, two) < CLOSE
    np.testing.assert_allclose(health["loss"], others["loss"], rtol=1e-4)
    np.testing.assert_array_equal(health["correct"], others["correct"])


def test_optimizers_differ_from_each_other():
    kernels = [alone(name, steps=2)[0]["stem/kernel"].tobytes() for name in OPTIMIZERS]
    assert len(set(kernels)) == len(OPTIMIZERS)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("told", [
    {"smoothing": 0.1}, {"kind": "sigmoid"}, {"kind": "sigmoid", "smoothing": 0.1},
    {"kind": "focal", "gamma": 1.5}, {"class_weights": (1.0, 0.0, 2.0, 0.5)},
    {"kind": "focal", "class_weights": (1.0, 0.0, 2.0, 0.5)},
])  # fmt: skip
def test_every_loss_updates_two_replicas_as_one(two_replicas, told, soft):
    settings = {"network": SYNC, "of_gradient": gradient_of(**told)}
    if soft:
        settings["targets"] = soft_labels()
    (one, health), (two, others) = (after(s, **settings) for s in (ONE, two_replicas))
    assert apart(one, two) < CLOSE
    np.testing.assert_allclose(health["loss"], others["loss"], rtol=1e-5)
    plain, plain_health = alone("momentum", soft)
    assert apart(plain, one) > 0.01 and plain_health["loss"] != health["loss"]


@pytest.mark.parametrize("name", CLIPS)
def test_every_clipping_updates_two_replicas_as_one(two_replicas, name):
    told = {"network": SYNC, "clip": CLIPS[name], "optimizer": OPTIMIZERS["sgd"]}
    (one, health), (two, others) = (after(s, **told) for s in (ONE, two_replicas))
    assert apart(one, two) < CLOSE
    free, free_health = alone("sgd")
    # The norm is that before the clipping, so it is the same with and without.
    for found in (health, others):
        np.testing.assert_allclose(found["gradient_norm"], free_health["gradient_norm"], rtol=1e-4)
    assert apart(free, one) > 0.1


def test_clipping_by_norm_by_hand():
    """The whole move of plain SGD has the length rate · most."""
    moves, health = after(
        ONE, clip=CLIPS["norm"], optimizer=OPTIMIZERS["sgd"], network=BARE, rate=0.5
    )
    assert health["gradient_norm"] > 0.1
    length = np.sqrt(sum(np.square(move.astype(np.float64)).sum() for move in moves.values()))
    np.testing.assert_allclose(length, 0.5 * 0.1, rtol=1e-5)


# --- accumulation


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("clip", [None, "norm"])
def test_without_batch_norm_parts_give_the_update_of_the_whole(two_replicas, replicas, parts, clip):
    strategy = two_replicas if replicas == 2 else ONE
    told = {"network": BARE, "steps": 2, "clip": CLIPS.get(clip)}
    whole, health = after(ONE, **told)
    found, others = after(strategy, accumulate=parts, **told)
    assert apart(whole, found) < 1e-5
    np.testing.assert_allclose(health["loss"], others["loss"], rtol=1e-6)
    np.testing.assert_allclose(health["gradient_norm"], others["gradient_norm"], rtol=1e-5)
    np.testing.assert_array_equal(health["correct"], others["correct"])


def test_no_part_begins_before_the_one_before_it_has_ended():
    """Their memory is that of one part; the outer loop is that of the steps."""
    _, train = start(ONE, accumulate=4)
    function = train.get_concrete_function(batches(ONE, pictures(), labels()), tf.constant(1))
    inner = function.graph.as_graph_def().library.function
    loops = [node for f in inner for node in f.node_def if node.op in ("While", "StatelessWhile")]
    assert [node.attr["parallel_iterations"].i for node in loops] == [1]


def combined(parts):
    """Moves of plain SGD at rate 1 from batch norms that see one part each, by hand.

    Args:
      parts: numbers of the examples in each.
    """
    model, images, targets = Smooth(), pictures(), labels()
    names = {id(v): name for name, v in named_variables(model).items()}
    trained = model.trainable_variables
    gradients = [np.zeros(v.shape) for v in trained]
    means, variances = [], []
    for part in parts:
        with tf.GradientTape() as tape, StatisticsTape():
            logits = model(tf.constant(images[part]), training=True)
            target = tf.one_hot(targets[part], CLASSES)
            loss = tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(target, logits))
        for total, gradient in zip(gradients, tape.gradient(loss, trained), strict=True):
            total += gradient.numpy() / BATCH
        seen = references.conv2d(images[part], model.stem.kernel.numpy())
        mean, variance, n = references.batch_statistics(seen)
        means.append(mean)
        variances.append(variance * n / (n - 1))
    moves = {names[id(v)]: -g for v, g in zip(trained, gradients, strict=True)}
    moves["stem_norm/moving_mean"] = 0.1 * np.mean(means, axis=0)
    moves["stem_norm/moving_variance"] = 0.1 * (np.mean(variances, axis=0) - 1)
    return moves


def compare(moves, expected):
    slots = {name for name in moves if name.startswith("slot/")}
    assert moves.keys() - slots == expected.keys()
    for name, move in expected.items():
        np.testing.assert_allclose(moves[name], move, atol=2e-6, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("replicas, parts", [(1, 1), (1, 2), (1, 4), (2, 1), (2, 2)])
def test_each_part_of_each_replica_has_its_own_statistics_and_their_mean_moves(
    two_replicas, replicas, parts
):
    strategy = two_replicas if replicas == 2 else ONE
    moves, _ = after(strategy, accumulate=parts, optimizer=OPTIMIZERS["sgd"], rate=1.0)
    shares = np.arange(BATCH).reshape(replicas, -1)
    compare(moves, combined([share[k::parts] for share in shares for k in range(parts)]))


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_a_part_is_normalized_over_all_replicas_where_they_are_synchronized(
    two_replicas, replicas, parts
):
    strategy = two_replicas if replicas == 2 else ONE
    told = {"network": SYNC, "accumulate": parts, "optimizer": OPTIMIZERS["sgd"], "rate": 1.0}
    moves, _ = after(strategy, **told)
    # Every parts-th example: the same ones for any number of replicas.
    compare(moves, combined([np.arange(BATCH)[k::parts] for k in range(parts)]))


# --- noise


def dropping(step, seed=5):
    """Moves of plain SGD at rate 1 with the noise of a step, by hand."""
    model = Smooth(norm=False, dropout=0.5, stochastic_depth=0.5)
    names = {id(v): name for name, v in named_variables(model).items()}
    with tf.GradientTape() as tape, NoiseStream(seed, tf.constant(step, tf.int64)):
        logits = model(tf.constant(pictures()), training=True)
        target = tf.one_hot(labels(), CLASSES)
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(target, logits))
    trained = model.trainable_variables
    return {names[id(v)]: -g.numpy() for v, g in zip(trained, tape.gradient(loss, trained))}


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_replicas_and_parts_drop_what_the_whole_batch_does(two_replicas, replicas, parts):
    strategy = two_replicas if replicas == 2 else ONE
    state, train = start(
        strategy,
        network=functools.partial(Smooth, norm=False, dropout=0.5, stochastic_depth=0.5),
        optimizer=OPTIMIZERS["sgd"],
        rate=1.0,
        accumulate=parts,
        of_gradient={"seed": 5},
    )
    first = everything(state)
    for step in (0, 3):
        for name, variable in named_variables(state.model).items():
            variable.assign(first[name])
        state.step.assign(step)
        train(batches(strategy, pictures(), labels()), tf.constant(1))
        moves = {name: value - first[name] for name, value in everything(state).items()}
        compare(moves, dropping(step))
    assert apart(dropping(0), dropping(3)) > 0.1 < apart(dropping(0), dropping(0, seed=6))


# --- the average of the weights


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("parts", [1, 2])
def test_the_average_of_four_steps_by_hand(two_replicas, replicas, parts):
    strategy = two_replicas if replicas == 2 else ONE
    state, train = start(strategy, ema=0.2, accumulate=parts)
    names = list(named_variables(state.model))
    iterator = batches(strategy, pictures(4), labels(4))
    seen = [everything(state)]
    for _ in range(4):
        train(iterator, tf.constant(1))
        seen.append(everything(state))
    assert seen[-1]["average_updates"] == 4
    for name in names:
        values = [step[name].astype(np.float64) for step in seen]
        expected = references.moving_average(values[0], values[1:], 0.2)
        np.testing.assert_allclose(seen[-1][f"average/{name}"], expected, rtol=1e-5, atol=1e-7)
    assert np.abs(seen[-1]["average/stem/kernel"] - seen[-1]["stem/kernel"]).max() > 1e-4
    assert train.experimental_get_tracing_count() == 1
