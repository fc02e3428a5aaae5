import optimized
import pytest
import tensorflow as tf
from optimized import Model, run

from resnet_tf.training.optimizers import RMSprop


def test_three_steps_by_hand():
    """With ρ = 3/4 and ε = 0: s = 1, 1, 7 for the kernel and 1, 4, 3 for the bias."""
    model = Model()
    gradients = [(2.0, 2.0), (-1.0, 13**0.5), (5.0, 0.0)]
    run(RMSprop(model, rho=0.75, epsilon=0.0), model, gradients)
    kernel, bias = 1 - 0.5 * (2 - 1 + 5 / 7**0.5), 2 - 0.5 * (2 + 13**0.5 / 2)
    assert model.values() == [pytest.approx([kernel]), pytest.approx([bias])]


def test_three_steps_of_momentum_by_hand():
    model = Model()
    optimizer = RMSprop(model, rho=0.75, momentum=0.5, epsilon=0.0)
    run(optimizer, model, [(2.0, 2.0), (-1.0, 13**0.5), (5.0, 0.0)])
    # kernel: u = 1, 0.5 - 0.5, 2.5/√7; bias: u = 1, 0.5 + √13/4, and half of that
    kernel, bias = 1 - 1 - 2.5 / 7**0.5, 2 - 1 - 1.5 * (0.5 + 13**0.5 / 4)
    assert model.values() == [pytest.approx([kernel]), pytest.approx([bias])]


def test_epsilon_is_added_under_the_root():
    model = Model()
    run(RMSprop(model, rho=0.75, epsilon=3.0), model, [(2.0, 0.0)])
    # s = 1: 0.5 · 2 / √(1 + 3)
    assert model.values() == [[0.5], [2.0]]


def test_the_rate_is_inside_the_slot():
    model = Model()
    optimizer = RMSprop(model, rho=0.75, momentum=0.5, epsilon=3.0)
    run(optimizer, model, [(2.0, 0.0)], rate=0.5)
    run(optimizer, model, [(0.0, 0.0)], rate=0.0)
    # u = 0.5, then 0.25
    assert model.values() == [[0.25], [2.0]]


def test_coupled_decay_is_a_part_of_the_gradient_and_only_where_it_is_declared():
    model = Model(kernel=4.0)
    run(RMSprop(model, rho=0.75, epsilon=3.0, weight_decay=0.5), model, [(0.0, 0.0)])
    # g = 0.5 · 4 = 2, as above
    assert model.values() == [[3.5], [2.0]]


def test_decoupled_decay_is_beside_the_update_and_only_where_it_is_declared():
    model = Model(kernel=4.0)
    optimizer = RMSprop(model, rho=0.75, epsilon=3.0, weight_decay=0.5, decoupled=True)
    run(optimizer, model, [(2.0, 2.0)])
    assert model.values() == [[4 - 0.5 - 0.5 * 0.5 * 4], [1.5]]


@pytest.mark.parametrize("decay", ["none", "coupled", "decoupled"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_agrees_with_keras_over_fifty_random_steps(momentum, decay):
    """Keras has ε under the root, too; a large one shows it."""
    keras = pytest.importorskip("keras")
    options = {"rho": 0.8, "momentum": momentum, "epsilon": 0.1}
    beside = 0.1 if decay == "decoupled" else None
    peer = keras.optimizers.RMSprop(0.05, weight_decay=beside, **options)
    if decay != "none":
        options |= {"weight_decay": 0.1, "decoupled": decay == "decoupled"}
    optimized.assert_agrees_with_keras(RMSprop, options, peer, 0.1 if decay == "coupled" else 0.0)


def test_the_defaults():
    optimizer = RMSprop(Model())
    assert (optimizer.rho, optimizer.momentum, optimizer.epsilon) == (0.9, 0.0, 1e-7)


def test_the_state_starts_at_zero_and_has_steps_where_there_is_momentum():
    squares = {"rmsprop_square/dense/kernel", "rmsprop_square/dense/bias"}
    steps = {"rmsprop_momentum/dense/kernel", "rmsprop_momentum/dense/bias"}
    assert RMSprop(Model()).state.keys() == squares
    model = Model()
    state = RMSprop(model, momentum=0.9).state
    assert state.keys() == squares | steps
    for name, variable in state.items():
        assert variable.numpy().item() == 0 and variable.dtype == tf.float32, name


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_goes_on_from_its_state(momentum):
    gradients = [(1.0, 2.0), (-3.0, 0.5), (2.0, 2.0), (0.1, -1.0)]
    straight, model = Model(), Model()
    run(RMSprop(straight, momentum=momentum), straight, gradients)
    before = RMSprop(model, momentum=momentum)
    run(before, model, gradients[:2])
    after = RMSprop(model, momentum=momentum)
    for name, variable in after.state.items():
        variable.assign(before.state[name])
    run(after, model, gradients[2:])
    assert model.values() == straight.values()
