import numpy as np
import optimized
import pytest
import tensorflow as tf
from optimized import Model, run

from resnet_tf.training.optimizers import LAMB, Adam

COUNTING = pytest.mark.parametrize("kind", [Adam, LAMB])


def test_three_steps_by_hand():
    """With β₁ = 1/2, β₂ = 3/4 and ε = 0, every number is a root of a fraction."""
    model = Model(kernel=1.0)
    optimizer = Adam(model, beta1=0.5, beta2=0.75, epsilon=0.0)
    run(optimizer, model, [(2.0, 1.0)])
    # m = 1, v = 1; rate · √(1 - 3/4) / (1 - 1/2) = rate: the first step is the rate itself
    assert model.values() == [pytest.approx([0.5]), pytest.approx([1.5])]
    run(optimizer, model, [(-2.0, 1.0)])
    # m = 0.5 - 1 = -0.5, v = 0.75 + 1 = 1.75; factor √(1 - 9/16) / (1 - 1/4) = √7 / 3
    # step: 0.5 · √7/3 · -0.5 / √1.75 = -0.5 · √7/3 / √7 = -1/6
    second = 0.5 + 1 / 6
    assert model.values()[0] == pytest.approx([second], rel=1e-6)
    run(optimizer, model, [(0.0, 1.0)])
    # m = -0.25, v = 1.3125; factor √(1 - 27/64) / (1 - 1/8) = √37 / 7
    # step: 0.5 · √37/7 · -0.25 / √1.3125, of which 1.3125 = 21/16: -0.5 · √37 / (7 · √21)
    third = second + 0.5 * 37**0.5 / (7 * 21**0.5)
    assert model.values()[0] == pytest.approx([third], rel=1e-6)
    # The bias saw 1 three times, so m and √v are what the factor takes away: three times the rate.
    assert model.values()[1] == pytest.approx([2 - 3 * 0.5], rel=1e-6)


def test_epsilon_is_added_to_the_root():
    model = Model(kernel=1.0)
    run(Adam(model, beta1=0.5, beta2=0.75, epsilon=1.0), model, [(2.0, 0.0)])
    # m = 1, v = 1, factor 1: 0.5 · 1 / (1 + 1); nothing moves where there is no gradient
    assert model.values() == [pytest.approx([0.75]), [2.0]]


def test_the_defaults_are_those_of_the_paper_and_the_epsilon_of_keras():
    optimizer = Adam(Model())
    assert (optimizer.beta1, optimizer.beta2, optimizer.epsilon) == (0.9, 0.999, 1e-7)


def test_coupled_decay_is_a_part_of_the_gradient_and_only_where_it_is_declared():
    model = Model(kernel=4.0, bias=4.0)
    optimizer = Adam(model, beta1=0.5, beta2=0.75, epsilon=1.0, weight_decay=0.5)
    run(optimizer, model, [(0.0, 0.0)])
    # g = 0.5 · 4 = 2, as above: 4 - 0.25; decay beside the gradient would give 4 - 0.5 · 0.5 · 4
    assert model.values() == [pytest.approx([3.75]), [4.0]]


def test_decoupled_decay_is_beside_the_update_and_only_where_it_is_declared():
    model = Model(kernel=4.0, bias=4.0)
    beside = {"weight_decay": 0.5, "decoupled": True}
    optimizer = Adam(model, beta1=0.5, beta2=0.75, epsilon=1.0, **beside)
    run(optimizer, model, [(2.0, 2.0)])
    # 0.25 by the gradient, as above, and 0.5 · 0.5 · 4 by decay
    assert model.values() == [pytest.approx([4 - 0.25 - 1]), pytest.approx([3.75])]


@pytest.mark.parametrize("decay", ["none", "coupled", "decoupled"])
def test_agrees_with_keras_over_fifty_random_steps(decay):
    keras = pytest.importorskip("keras")
    if decay == "decoupled":
        peer = keras.optimizers.AdamW(0.05, weight_decay=0.1, epsilon=1e-7)
    else:
        peer = keras.optimizers.Adam(0.05, epsilon=1e-7)
    options = {} if decay == "none" else {"weight_decay": 0.1, "decoupled": decay == "decoupled"}
    optimized.assert_agrees_with_keras(Adam, options, peer, 0.1 if decay == "coupled" else 0.0)


def test_the_state():
    model = Model()
    optimizer = Adam(model)
    names = {
        "adam_first/dense/kernel", "adam_first/dense/bias", "adam_second/dense/kernel",
        "adam_second/dense/bias", "adam_updates",
    }  # fmt: skip
    assert optimizer.state.keys() == names
    assert all(np.all(variable.numpy() == 0) for variable in optimizer.state.values())
    assert optimizer.state["adam_first/dense/kernel"].shape == (1, 1)
    run(optimizer, model, [(2.0, -1.0)])
    found = {name: variable.numpy().item() for name, variable in optimizer.state.items()}
    expected = {  # (1 - 0.9) · g and (1 - 0.999) · g²
        "adam_first/dense/kernel": 0.2, "adam_first/dense/bias": -0.1,
        "adam_second/dense/kernel": 0.004, "adam_second/dense/bias": 0.001, "adam_updates": 1,
    }  # fmt: skip
    assert found == pytest.approx(expected, rel=1e-4)


@COUNTING
def test_updates_are_counted_once_a_step_also_where_it_is_traced(kind):
    model = Model()
    optimizer = kind(model)
    assert optimizer.updates.dtype == tf.int64

    @tf.function
    def three_steps():
        for _ in tf.range(3):
            gradients = [tf.constant([[1.0]]), tf.constant([1.0])]
            optimizer.apply(gradients, model.pair, tf.constant(0.5))

    three_steps()
    assert optimizer.updates.numpy() == 3
    # A gradient that stays the same moves by the rate each time (but for ε).
    assert model.values()[1] == pytest.approx([2 - 1.5], rel=1e-4)


@COUNTING
def test_goes_on_from_its_state(kind):
    """All that the next step depends on is in `state`, the count of the steps too."""
    gradients = [(1.0, 2.0), (-3.0, 0.5), (2.0, 2.0), (0.1, -1.0)]
    straight, model = Model(), Model()
    run(kind(straight), straight, gradients)
    before = kind(model)
    run(before, model, gradients[:2])
    after = kind(model)
    for name, variable in after.state.items():
        variable.assign(before.state[name])
    run(after, model, gradients[2:])
    assert model.values() == straight.values()
