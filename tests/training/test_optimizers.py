import numpy as np
import pytest
import tensorflow as tf

from resnet_tf.layers import Dense, zeros
from resnet_tf.training.optimizers import SGD, Adam, Optimizer


class Model(tf.Module):
    """One weight that decays and one that does not."""

    def __init__(self, kernel=1.0, bias=2.0):
        super().__init__()
        self.dense = Dense(1, 1, init=zeros)
        self.dense.kernel.assign([[kernel]])
        self.dense.bias.assign([bias])

    @property
    def decayed_variables(self):
        return [self.dense.kernel]

    def values(self):
        return self.dense.kernel.numpy().item(), self.dense.bias.numpy().item()


def run(optimizer, model, gradients, rate=0.5):
    variables = [model.dense.kernel, model.dense.bias]
    for of_kernel, of_bias in gradients:
        shaped = [tf.constant([[of_kernel]]), tf.constant([of_bias])]
        optimizer.apply(shaped, variables, tf.constant(rate))


def test_three_steps_of_momentum_by_hand():
    model = Model()
    run(SGD(model, momentum=0.5), model, [(1.0, 0.0), (1.0, 4.0), (-2.0, 0.0)])
    # kernel: v = 1, 1.5, -1.25 -> 1 - 0.5, - 0.75, + 0.625; bias: v = 0, 4, 2
    assert model.values() == (0.375, -1.0)


def test_three_steps_of_nesterov_by_hand():
    model = Model()
    run(SGD(model, momentum=0.5, nesterov=True), model, [(1.0, 0.0), (1.0, 4.0), (-2.0, 0.0)])
    # kernel: g + v/2 = 1.5, 1.75, -2.625; bias: 0, 6, 1
    assert model.values() == (1 - 0.5 * (1.5 + 1.75 - 2.625), 2 - 0.5 * 7)


def test_decay_by_hand_only_where_it_is_declared():
    model = Model()
    optimizer = SGD(model, momentum=0.0, weight_decay=0.5)
    run(optimizer, model, [(0.0, 0.0), (1.0, 1.0)])
    # kernel: 1 - 0.5·0.5 = 0.75, then 0.75 - 0.5·(1 + 0.375) = 0.0625; bias: 2 - 0.5
    assert model.values() == (0.0625, 1.5)


@pytest.mark.parametrize("nesterov", [False, True])
def test_agrees_with_another_implementation_over_fifty_random_steps(nesterov):
    keras = pytest.importorskip("keras")
    peer = keras.optimizers.SGD(learning_rate=0.05, momentum=0.9, nesterov=nesterov)
    model, other = Model(), tf.Variable([[1.0]])
    optimizer = SGD(model, momentum=0.9, nesterov=nesterov)
    for gradient in np.random.default_rng(0).normal(size=50).astype(np.float32).tolist():
        run(optimizer, model, [(gradient, 0.0)], rate=0.05)
        peer.apply([tf.constant([[gradient]])], [other])
    np.testing.assert_allclose(model.values()[0], other.numpy().item(), rtol=1e-5)


def test_slots_are_named_after_their_variables_and_start_at_zero():
    optimizer = SGD(Model())
    assert {k: v.numpy().item() for k, v in optimizer.slots.items()} == {
        "dense/kernel": 0.0,
        "dense/bias": 0.0,
    }


def test_the_state_of_sgd_is_its_slots():
    optimizer = SGD(Model())
    assert optimizer.state.keys() == {"momentum/dense/kernel", "momentum/dense/bias"}
    for name, slot in optimizer.slots.items():
        assert optimizer.state[f"momentum/{name}"] is slot


# --- Adam


def test_three_steps_of_adam_by_hand():
    """With β₁ = 1/2, β₂ = 3/4 and ε = 0, every number is a root of a fraction."""
    model = Model(kernel=1.0)
    optimizer = Adam(model, beta1=0.5, beta2=0.75, epsilon=0.0)
    run(optimizer, model, [(2.0, 1.0)])
    # m = 1, v = 1; rate · √(1 - 3/4) / (1 - 1/2) = rate: the first step is the rate itself
    assert model.values() == pytest.approx((0.5, 1.5))
    run(optimizer, model, [(-2.0, 1.0)])
    # m = 0.5 - 1 = -0.5, v = 0.75 + 1 = 1.75; factor √(1 - 9/16) / (1 - 1/4) = √7 / 3
    # step: 0.5 · √7/3 · -0.5 / √1.75 = -0.5 · √7/3 / √7 = -1/6
    second = 0.5 + 1 / 6
    assert model.values()[0] == pytest.approx(second, rel=1e-6)
    run(optimizer, model, [(0.0, 1.0)])
    # m = -0.25, v = 1.3125; factor √(1 - 27/64) / (1 - 1/8) = √37 / 7
    # step: 0.5 · √37/7 · -0.25 / √1.3125, of which 1.3125 = 21/16: -0.5 · √37 / (7 · √21)
    third = second + 0.5 * 37**0.5 / (7 * 21**0.5)
    assert model.values()[0] == pytest.approx(third, rel=1e-6)
    # The bias saw 1 three times, so m and √v are what the factor takes away: three times the rate.
    assert model.values()[1] == pytest.approx(2 - 3 * 0.5, rel=1e-6)


def test_epsilon_is_added_to_the_root():
    model = Model(kernel=1.0)
    run(Adam(model, beta1=0.5, beta2=0.75, epsilon=1.0), model, [(2.0, 0.0)])
    # m = 1, v = 1, factor 1: 0.5 · 1 / (1 + 1); nothing moves where there is no gradient
    assert model.values() == pytest.approx((0.75, 2.0))


def test_the_defaults_are_those_of_the_paper_and_the_epsilon_of_keras():
    optimizer = Adam(Model())
    found = optimizer.beta1, optimizer.beta2, optimizer.epsilon, optimizer.weight_decay
    assert found == (0.9, 0.999, 1e-7, 0.0)


def test_decay_of_adam_is_a_part_of_the_gradient_and_only_where_it_is_declared():
    model = Model(kernel=4.0, bias=4.0)
    optimizer = Adam(model, beta1=0.5, beta2=0.75, epsilon=1.0, weight_decay=0.5)
    run(optimizer, model, [(0.0, 0.0)])
    # g = 0.5 · 4 = 2, as above: 4 - 0.25; decay beside the gradient would give 4 - 0.5 · 0.5 · 4
    assert model.values() == pytest.approx((3.75, 4.0))


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_adam_agrees_with_another_implementation_over_fifty_random_steps(decay):
    keras = pytest.importorskip("keras")
    peer = keras.optimizers.Adam(learning_rate=0.05, epsilon=1e-7)
    model, other = Model(), tf.Variable([[1.0]])
    optimizer = Adam(model, weight_decay=decay)
    for gradient in np.random.default_rng(0).normal(size=50).astype(np.float32).tolist():
        run(optimizer, model, [(gradient, 0.0)], rate=0.05)
        peer.apply([tf.constant([[gradient]]) + decay * other], [other])
        np.testing.assert_allclose(model.values()[0], other.numpy().item(), rtol=1e-5)


def test_the_state_of_adam():
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


def test_updates_are_counted_once_a_step_also_where_it_is_traced():
    model = Model()
    optimizer = Adam(model)
    assert optimizer.updates.dtype == tf.int64

    @tf.function
    def three_steps():
        for _ in tf.range(3):
            optimizer.apply(
                [tf.constant([[1.0]]), tf.constant([1.0])],
                [model.dense.kernel, model.dense.bias],
                tf.constant(0.5),
            )

    three_steps()
    assert optimizer.updates.numpy() == 3
    # A gradient that stays the same moves by the rate each time (but for ε).
    assert model.values() == pytest.approx((1 - 1.5, 2 - 1.5), rel=1e-4)


def test_adam_goes_on_from_its_state():
    """All that the next step depends on is in `state`, the count of the steps too."""
    gradients = [(1.0, 2.0), (-3.0, 0.5), (2.0, 2.0), (0.1, -1.0)]
    straight, model = Model(), Model()
    run(Adam(straight), straight, gradients)
    before = Adam(model)
    run(before, model, gradients[:2])
    after = Adam(model)
    for name, variable in after.state.items():
        variable.assign(before.state[name])
    run(after, model, gradients[2:])
    assert model.values() == straight.values()


# --- the base class


class Halfway(Optimizer):
    """Says what its state is, and not how it updates."""

    @property
    def state(self):
        return {}


def test_a_subclass_must_say_what_its_state_and_its_update_are():
    with pytest.raises(NotImplementedError, match="Optimizer does not define state"):
        _ = Optimizer(Model()).state
    model = Model()
    with pytest.raises(NotImplementedError, match="Halfway does not define _update"):
        run(Halfway(model), model, [(1.0, 1.0)])


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_gradients_and_variables_must_be_as_many(kind):
    model = Model()
    with pytest.raises(ValueError, match="zip"):
        kind(model).apply([tf.constant([[1.0]])], [model.dense.kernel, model.dense.bias], 0.1)


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_moving_statistics_have_no_slots(kind):
    model = Model()
    model.statistic = tf.Variable([1.0], trainable=False)
    assert not any("statistic" in name for name in kind(model).state)
