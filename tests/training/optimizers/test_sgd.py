import optimized
import pytest
import tensorflow as tf
from optimized import Model, run

from resnet_tf.training.optimizers import SGD


def test_three_steps_of_momentum_by_hand():
    model = Model()
    run(SGD(model, momentum=0.5), model, [(1.0, 0.0), (1.0, 4.0), (-2.0, 0.0)])
    # kernel: v = 1, 1.5, -1.25 -> 1 - 0.5, - 0.75, + 0.625; bias: v = 0, 4, 2
    assert model.values() == [[0.375], [-1.0]]


def test_three_steps_of_nesterov_by_hand():
    model = Model()
    run(SGD(model, momentum=0.5, nesterov=True), model, [(1.0, 0.0), (1.0, 4.0), (-2.0, 0.0)])
    # kernel: g + v/2 = 1.5, 1.75, -2.625; bias: 0, 6, 1
    assert model.values() == [[1 - 0.5 * (1.5 + 1.75 - 2.625)], [2 - 0.5 * 7]]


@pytest.mark.parametrize("nesterov", [False, True])
def test_three_steps_without_momentum_by_hand(nesterov):
    model = Model()
    optimizer = SGD(model, momentum=0.0, nesterov=nesterov)
    run(optimizer, model, [(1.0, 0.0), (1.0, 4.0), (-2.0, 0.0)])
    assert model.values() == [[1 - 0.5 * (1 + 1 - 2)], [2 - 0.5 * 4]]


def test_the_rate_is_outside_the_slot():
    model = Model()
    optimizer = SGD(model, momentum=0.5)
    run(optimizer, model, [(1.0, 0.0)], rate=0.5)
    run(optimizer, model, [(0.0, 0.0)], rate=0.0)
    assert model.values() == [[0.5], [2.0]]


def test_coupled_decay_by_hand_only_where_it_is_declared():
    model = Model()
    optimizer = SGD(model, momentum=0.0, weight_decay=0.5)
    run(optimizer, model, [(0.0, 0.0), (1.0, 1.0)])
    # kernel: 1 - 0.5·0.5 = 0.75, then 0.75 - 0.5·(1 + 0.375) = 0.0625; bias: 2 - 0.5
    assert model.values() == [[0.0625], [1.5]]


def test_decoupled_decay_by_hand_only_where_it_is_declared():
    model = Model()
    optimizer = SGD(model, momentum=0.5, weight_decay=0.5, decoupled=True)
    run(optimizer, model, [(0.0, 0.0), (1.0, 1.0), (0.0, 0.0)])
    # kernel: 1 - 0.25·1 = 0.75; 0.75 - 0.25·0.75 - 0.5 = 0.0625; 0.0625·0.75 - 0.25:
    # the slot holds the gradient alone; bias: 2 - 0.5 - 0.25
    assert model.values() == [[0.0625 * 0.75 - 0.25], [1.25]]


@pytest.mark.parametrize("decay", ["none", "coupled", "decoupled"])
@pytest.mark.parametrize("momentum, nesterov", [(0.0, False), (0.9, False), (0.9, True)], ids=str)
def test_agrees_with_keras_over_fifty_random_steps(momentum, nesterov, decay):
    keras = pytest.importorskip("keras")
    options = {"momentum": momentum, "nesterov": nesterov}
    beside = 0.1 if decay == "decoupled" else None
    peer = keras.optimizers.SGD(0.05, weight_decay=beside, **options)
    if decay != "none":
        options |= {"weight_decay": 0.1, "decoupled": decay == "decoupled"}
    optimized.assert_agrees_with_keras(SGD, options, peer, 0.1 if decay == "coupled" else 0.0)


def test_the_defaults():
    optimizer = SGD(Model())
    assert (optimizer.momentum, optimizer.nesterov) == (0.9, False)


def test_slots_are_named_after_their_variables_and_start_at_zero():
    optimizer = SGD(Model())
    assert {k: v.numpy().item() for k, v in optimizer.slots.items()} == {
        "dense/kernel": 0.0,
        "dense/bias": 0.0,
    }
    assert {slot.dtype for slot in optimizer.slots.values()} == {tf.float32}


def test_the_state_is_the_slots():
    optimizer = SGD(Model())
    assert optimizer.state.keys() == {"momentum/dense/kernel", "momentum/dense/bias"}
    for name, slot in optimizer.slots.items():
        assert optimizer.state[f"momentum/{name}"] is slot


def test_without_momentum_there_are_no_slots():
    optimizer = SGD(Model(), momentum=0.0)
    assert (optimizer.slots, optimizer.state, optimizer.variables) == ({}, {}, ())
