import math

import optimized
import pytest
import references
from optimized import Model, run

from resnet_tf.training.optimizers import LARS

# ‖w‖ = 5 at first. The second gradient's direction is 0.5 · 3 / 2 of itself.
GRADIENTS = [([0.0, 2.0], 1.0), ([2.0, 0.0], 1.0), ([0.0, -4.0], 0.0)]


def made(**options):
    model = Model(kernel=[[3.0], [4.0]])
    return model, LARS(model, **{"trust_coefficient": 0.5, "momentum": 0.5, **options})


def test_three_steps_by_hand():
    """c = 1/2: the direction of a kernel is half as long as the kernel, whatever the gradient."""
    model, optimizer = made()
    run(optimizer, model, GRADIENTS, rate=1.6)
    # d = [0, 2.5], [1.5, 0]; v = [0, 2.5], [1.5, 1.25]; w = [3, 0], [0.6, -2]
    # d = [0, -‖w‖/2], v = [0.75, 0.625 - ‖w‖/2]
    third = 0.625 - math.hypot(0.6, 2) / 2
    # The bias has no ratio: v = 1, 1.5, 0.75.
    expected = [0.6 - 1.6 * 0.75, -2 - 1.6 * third], [2 - 1.6 * (1 + 1.5 + 0.75)]
    assert model.values() == [pytest.approx(value, rel=1e-5) for value in expected]


def test_three_steps_of_nesterov_by_hand():
    model, optimizer = made(nesterov=True)
    run(optimizer, model, GRADIENTS, rate=0.8)
    # d = v = [0, 2.5], so w = [3, 4 - 0.8 · 3.75 = 1]
    d = math.hypot(3, 1) / 2
    # v = [d, 1.25], w = [3 - 0.8 · 1.5 · d, 1 - 0.8 · 0.625]
    second = 3 - 1.2 * d, 0.5
    e = math.hypot(*second) / 2
    # v = [d / 2, 0.625 - e], to half of which d = [0, -e] is added
    third = [second[0] - 0.8 * d / 4, second[1] - 0.8 * (-e + 0.3125 - e / 2)]
    # bias: v = 1, 1.5, 0.75; g + v/2 = 1.5, 1.75, 0.375
    expected = third, [2 - 0.8 * (1.5 + 1.75 + 0.375)]
    assert model.values() == [pytest.approx(value, rel=1e-5) for value in expected]


def test_coupled_decay_is_in_the_direction_and_in_the_ratio():
    model, optimizer = made(weight_decay=0.4)
    run(optimizer, model, [([3.0, 0.0], 1.0)], rate=1.0)
    # ratio 0.5 · 5 / (3 + 0.4 · 5) = 0.5; d = 0.5 · [3 + 1.2, 1.6]; no decay of the bias
    assert model.values() == [pytest.approx([3 - 2.1, 4 - 0.8]), [1.0]]


def test_decoupled_decay_is_outside_direction_and_ratio():
    model, optimizer = made(weight_decay=0.4, decoupled=True)
    run(optimizer, model, [([3.0, 0.0], 1.0)], rate=0.5)
    # d = [2.5, 0] by the norm before decay; decay 0.5 · 0.4 · w
    assert model.values() == [pytest.approx([3 - 1.25 - 0.6, 4 - 0.8]), [1.5]]


def test_epsilon_is_added_to_the_ratio_s_denominator():
    model, optimizer = made(epsilon=2.0)
    run(optimizer, model, [([3.0, 0.0], 1.0)], rate=1.0)
    # ratio 2.5 / (3 + 2)
    assert model.values() == [pytest.approx([1.5, 4.0]), [1.0]]


def test_the_ratio_is_one_where_a_norm_is_zero():
    model = Model(kernel=[[0.0], [0.0]])
    run(LARS(model), model, [([3.0, 4.0], 0.0)])
    assert model.values()[0] == [-1.5, -2.0]
    model, optimizer = made()
    run(optimizer, model, [([0.0, 0.0], 0.0)])
    assert model.values() == [[3.0, 4.0], [2.0]]


@pytest.mark.parametrize("decay", ["none", "coupled", "decoupled"])
@pytest.mark.parametrize("momentum, nesterov", [(0.0, False), (0.9, False), (0.9, True)], ids=str)
def test_agrees_with_the_paper_s_algorithm_over_fifty_random_steps(momentum, nesterov, decay):
    told = {"momentum": momentum, "nesterov": nesterov, "epsilon": 0.01, "coefficient": 0.1}
    told |= {"decay": 0.0 if decay == "none" else 0.1, "decoupled": decay == "decoupled"}
    options = dict(told, trust_coefficient=told["coefficient"], weight_decay=told["decay"])
    del options["coefficient"], options["decay"]
    optimized.assert_agrees_with_reference(LARS, options, references.lars, told)


def test_the_defaults():
    optimizer = LARS(Model())
    found = optimizer.trust_coefficient, optimizer.momentum, optimizer.nesterov, optimizer.epsilon
    assert found == (0.001, 0.9, False, 0.0)


def test_the_state():
    optimizer = LARS(Model())
    names = {"lars_momentum/dense/kernel", "lars_momentum/dense/bias"}
    assert optimizer.state.keys() == names
    assert all(slot.numpy().item() == 0 for slot in optimizer.state.values())
    assert LARS(Model(), momentum=0.0).state == {}
