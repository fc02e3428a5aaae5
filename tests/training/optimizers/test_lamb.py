import math

import numpy as np
import optimized
import pytest
import references
from optimized import Model, run

from resnet_tf.training.optimizers import LAMB


def made(**options):
    model = Model(kernel=[[3.0], [4.0]])
    return model, LAMB(model, **{"beta1": 0.5, "beta2": 0.75, "epsilon": 0.0, **options})


def test_three_steps_by_hand():
    """All gradients are 2 or -2, so the corrected v is 4 at every step; β₁ = 1/2, ε = 0."""
    model, optimizer = made()
    rate = 0.2 * 2**0.5
    run(optimizer, model, [([2.0, -2.0], 2.0)], rate)
    # d = [1, -1], ratio 5 / √2; the bias has no ratio
    assert model.values() == [pytest.approx([2.0, 5.0]), pytest.approx([2 - rate])]
    run(optimizer, model, [([2.0, 2.0], 2.0)], rate)
    # m = [1.5, 0.5], of which 4/3 is [2, 2/3]: d = [1, 1/3], ‖d‖ = √10 / 3
    length = math.hypot(2, 5)
    second = [2 - rate * length * 3 / 10**0.5, 5 - rate * length / 10**0.5]
    assert model.values()[0] == pytest.approx(second, rel=1e-5)
    run(optimizer, model, [([-2.0, -2.0], 2.0)], rate)
    # m = [-0.25, -0.75], of which 8/7 is [-2/7, -6/7]: d = [-1/7, -3/7], ‖d‖ = √10 / 7
    length = math.hypot(*second)
    third = [second[0] + rate * length / 10**0.5, second[1] + rate * length * 3 / 10**0.5]
    assert model.values() == [pytest.approx(third, rel=1e-5), pytest.approx([2 - 3 * rate])]


def test_epsilon_is_added_to_the_corrected_root():
    model, optimizer = made(epsilon=2.0)
    run(optimizer, model, [([2.0, 2.0], 2.0)])
    # 2 / (2 + 2), and the same direction of any length for the kernel
    assert model.values()[1] == [1.75]
    assert model.values()[0] == pytest.approx([3 - 2.5 / 2**0.5, 4 - 2.5 / 2**0.5])


def test_the_bias_of_the_moments_is_corrected_to_the_last_digits_from_the_first_step():
    model = Model(bias=0.0)
    run(LAMB(model, epsilon=0.0), model, [(1.0, 3.0)])
    # d = g / √g²; with 1 - β₂ᵗ in float32 it is wrong by 6e-6
    assert model.values()[1] == [pytest.approx(-0.5, rel=1e-6)]


def test_coupled_decay_is_a_part_of_the_direction_that_the_ratio_scales():
    model, optimizer = made(weight_decay=0.5)
    run(optimizer, model, [([2.0, -2.0], 2.0)])
    # d = [1, -1] + [1.5, 2], ratio 5 / ‖d‖; no decay of the bias
    ratio = 5 / math.hypot(2.5, 1)
    expected = [3 - 0.5 * ratio * 2.5, 4 - 0.5 * ratio]
    assert model.values() == [pytest.approx(expected), pytest.approx([1.5])]


def test_coupled_decay_stays_out_of_the_moments():
    model, optimizer = made(weight_decay=0.5)
    run(optimizer, model, [([2.0, -2.0], 2.0)])
    assert optimizer.first["dense/kernel"].numpy().ravel().tolist() == [1.0, -1.0]


def test_decoupled_decay_is_outside_direction_and_ratio():
    model, optimizer = made(weight_decay=0.5, decoupled=True)
    run(optimizer, model, [([2.0, -2.0], 2.0)])
    # by the norm before decay, 5 / √2; decay 0.5 · 0.5 · w
    expected = [3 - 2.5 / 2**0.5 - 0.75, 4 + 2.5 / 2**0.5 - 1]
    assert model.values() == [pytest.approx(expected), pytest.approx([1.5])]


def test_the_ratio_is_one_where_a_norm_is_zero():
    model = Model(kernel=[[0.0], [0.0]])
    run(LAMB(model), model, [([2.0, -2.0], 0.0)])
    assert model.values()[0] == pytest.approx([-0.5, 0.5], rel=1e-5)
    model, optimizer = made(epsilon=1.0)
    run(optimizer, model, [([0.0, 0.0], 0.0)])
    assert model.values() == [[3.0, 4.0], [2.0]]


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("decoupled", [False, True])
def test_agrees_with_the_paper_s_algorithm_over_fifty_random_steps(decay, decoupled):
    told = {"beta1": 0.8, "beta2": 0.95, "epsilon": 0.01, "decoupled": decoupled}
    optimized.assert_agrees_with_reference(
        LAMB, {**told, "weight_decay": decay}, references.lamb, {**told, "decay": decay}
    )


def test_agrees_with_keras_over_fifty_random_steps():
    """Keras scales biases, too, so here all that is trained decays."""
    keras = pytest.importorskip("keras")

    class AllDecay(Model):
        decayed_variables = Model.pair

    model, twin = (AllDecay([[1.0, -2.0], [0.5, 3.0]], [1.0, -1.5]) for _ in range(2))
    optimizer, peer = LAMB(model), keras.optimizers.Lamb(0.05, epsilon=1e-6)
    random = np.random.default_rng(0)
    for _ in range(50):
        gradients = [random.normal(size=v.shape).astype(np.float32) for v in model.pair]
        run(optimizer, model, [gradients], rate=0.05)
        peer.apply(gradients, twin.pair)
        for ours, theirs in zip(model.pair, twin.pair):
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-3, atol=1e-4)


def test_the_defaults_are_those_of_the_paper():
    optimizer = LAMB(Model())
    assert (optimizer.beta1, optimizer.beta2, optimizer.epsilon) == (0.9, 0.999, 1e-6)


def test_the_state():
    model = Model()
    optimizer = LAMB(model)
    run(optimizer, model, [(2.0, -1.0)])
    found = {name: variable.numpy().item() for name, variable in optimizer.state.items()}
    expected = {  # (1 - 0.9) · g and (1 - 0.999) · g²
        "lamb_first/dense/kernel": 0.2, "lamb_first/dense/bias": -0.1,
        "lamb_second/dense/kernel": 0.004, "lamb_second/dense/bias": 0.001, "lamb_updates": 1,
    }  # fmt: skip
    assert found == pytest.approx(expected, rel=1e-6)
