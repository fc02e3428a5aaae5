import math

import numpy as np
import pytest
import tensorflow as tf

from resnet_tf.training import schedules

STEPS = np.arange(0, 120)


def rates(schedule):
    """Eager, traced, one at a time, all at once and in a matrix must agree."""
    together = schedule(tf.constant(STEPS, tf.int64)).numpy()
    traced = tf.function(schedule)
    single = [traced(tf.constant(int(s), tf.int64)) for s in STEPS[::17]]
    assert all(rate.shape == () for rate in single)
    np.testing.assert_array_equal(together[::17], single)
    matrix = traced(tf.constant(STEPS.reshape(6, 20), tf.int64))
    np.testing.assert_array_equal(together.reshape(6, 20), matrix)
    assert together.dtype == np.float32
    return together


def at(schedule, *steps):
    return schedule(tf.constant(steps, tf.int64)).numpy().tolist()


def close(*expected):
    return pytest.approx(list(expected), rel=1e-6, abs=1e-9)


def test_constant():
    assert (rates(schedules.constant(0.25)) == 0.25).all()


def test_steps_change_at_their_boundaries():
    found = rates(schedules.steps(0.5, [10, 60], [1.0, 0.1, 0.02]))
    expected = [0.5 if s < 10 else 0.05 if s < 60 else 0.01 for s in STEPS]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_steps_without_boundaries_are_constant():
    np.testing.assert_allclose(rates(schedules.steps(0.5, [], [0.5])), 0.25)


def test_steps_may_begin_with_their_second_factor():
    assert at(schedules.steps(1.0, [0], [0.5, 0.25]), 0, 1) == [0.25, 0.25]


def test_piecewise_by_hand():
    """Up by 0.2 a step to 2 at step 10, down by 0.08 a step to nothing at step 35."""
    schedule = schedules.piecewise(2.0, [10, 35], [0.0, 1.0, 0.0])
    assert at(schedule, 0, 1, 5, 9, 10) == close(0.0, 0.2, 1.0, 1.8, 2.0)
    assert at(schedule, 11, 20, 34, 35, 36) == close(1.92, 1.2, 0.08, 0.0, 0.0)
    assert at(schedule, 35, 2**40) == [0.0, 0.0]  # exactly


def test_piecewise_is_what_numpy_interpolates():
    found = rates(schedules.piecewise(0.4, [7, 50, 51, 100], [0.3, 1.0, 0.6, 0.1, 0.25]))
    expected = 0.4 * np.interp(STEPS, [0, 7, 50, 51, 100], [0.3, 1.0, 0.6, 0.1, 0.25])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_piecewise_without_boundaries_is_constant():
    np.testing.assert_allclose(rates(schedules.piecewise(0.5, [], [0.5])), 0.25)


def test_a_line_to_nothing_is_never_below_it():
    """Sums of differences of 1, 0.1 and 0 would end at -3e-17."""
    found = rates(schedules.piecewise(0.1, [33, 100], [1.0, 0.1, 0.0]))
    assert (found[:100] > 0).all() and (found[100:] == 0).all()


@pytest.mark.parametrize("make", [schedules.steps, schedules.piecewise])
@pytest.mark.parametrize("boundaries", [[60, 10], [10, 10]])
def test_boundaries_that_do_not_rise(make, boundaries):
    with pytest.raises(ValueError, match=rf"boundaries must rise, got \[{boundaries[0]}, 10\]"):
        make(0.5, boundaries, [1, 1, 1])


@pytest.mark.parametrize("make", [schedules.steps, schedules.piecewise])
@pytest.mark.parametrize("factors", [[1, 1], [1, 1, 1, 1]])
def test_another_number_of_factors(make, factors):
    message = f"2 boundaries need one factor more, got {len(factors)}"
    with pytest.raises(ValueError, match=message):
        make(0.5, [1, 2], factors)


def test_piecewise_has_a_factor_at_step_0_already():
    with pytest.raises(ValueError, match=r"boundaries must be 1 or more, got \[0, 5\] steps"):
        schedules.piecewise(0.5, [0, 5], [1, 1, 1])


def test_exponential_by_hand():
    """A half every 10 steps: at 5 by 1/√2."""
    schedule = schedules.exponential(0.8, 0.5, 10)
    assert at(schedule, 0, 5, 10, 30, 100) == close(
        0.8, 0.5656854249, 0.4, 0.1, 0.8 / 1024
    )  # fmt: skip
    expected = [0.8 * 0.5 ** (s / 10) for s in STEPS]
    np.testing.assert_allclose(rates(schedule), expected, rtol=1e-6)


def test_staircase_by_hand():
    schedule = schedules.exponential(0.8, 0.5, 10, staircase=True)
    assert at(schedule, 0, 9, 10, 19, 20, 39) == close(0.8, 0.8, 0.4, 0.4, 0.2, 0.1)
    np.testing.assert_allclose(rates(schedule), [0.8 * 0.5 ** (s // 10) for s in STEPS], rtol=1e-6)


def test_a_factor_above_1_rises():
    assert at(schedules.exponential(0.1, 2.0, 1), 0, 1, 3) == close(0.1, 0.2, 0.8)


@pytest.mark.parametrize("every", [0, -3])
def test_exponential_needs_a_step_or_more(every):
    with pytest.raises(ValueError, match=f"every must be 1 step or more, got {every}"):
        schedules.exponential(0.1, 0.5, every)


@pytest.mark.parametrize("factor", [0, -0.5])
def test_exponential_needs_a_factor_above_0(factor):
    with pytest.raises(ValueError, match=f"factor must be above 0, got {factor}"):
        schedules.exponential(0.1, factor, 1)


def test_polynomial_is_a_straight_line_unless_told():
    schedule = schedules.polynomial(0.4, 20, 100)
    assert at(schedule, 0, 20, 40, 60, 99, 100, 119) == close(
        0.4, 0.4, 0.3, 0.2, 0.005, 0.0, 0.0
    )  # fmt: skip
    assert (rates(schedule)[100:] == 0).all()


def test_polynomial_by_hand():
    """Half way a square has a quarter left: 0.4 · (0.9 / 4 + 0.1); after 3/4, 0.9 / 16."""
    schedule = schedules.polynomial(0.4, 20, 100, power=2.0, end_factor=0.1)
    assert at(schedule, 0, 20, 60, 80, 100, 119) == close(0.4, 0.4, 0.13, 0.0625, 0.04, 0.04)
    left = 1 - np.clip((STEPS - 20) / 80, 0, 1)
    np.testing.assert_allclose(rates(schedule), 0.4 * (0.9 * left**2 + 0.1), rtol=1e-6)
    root = schedules.polynomial(1.0, 0, 100, power=0.5)
    assert at(root, 0, 19, 75, 96, 100) == close(1.0, 0.9, 0.5, 0.2, 0.0)


@pytest.mark.parametrize("power", [0, -1.5])
def test_polynomial_needs_a_power_above_0(power):
    with pytest.raises(ValueError, match=f"power must be above 0, got {power}"):
        schedules.polynomial(0.1, 0, 10, power)


def test_cosine_by_its_formula():
    found = rates(schedules.cosine(0.4, 20, 100))
    expected = [0.2 * (1 + math.cos(math.pi * min(max(s - 20, 0) / 80, 1))) for s in STEPS]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    assert found[20] == np.float32(0.4) and found[60] == np.float32(0.2) and found[100] == 0


def test_cosine_by_hand():
    """cos 60° is 1/2: a third of the way 3/4 are left, after two thirds 1/4."""
    schedule = schedules.cosine(0.4, 30, 90, end_factor=0.2)
    assert at(schedule, 0, 30, 50, 60, 70, 90, 119) == close(
        0.4, 0.4, 0.4 * (0.8 * 0.75 + 0.2), 0.24, 0.4 * (0.8 * 0.25 + 0.2), 0.08, 0.08
    )  # fmt: skip
    assert rates(schedule).min() >= np.float32(0.08)


def test_one_cycle_by_hand():
    """1/10 to 1 in 30 steps, to 1/100 in 60 more; thirds of the way are 1/4 and 3/4 of it."""
    schedule = schedules.one_cycle(2.0, 90, peak=1 / 3, start_factor=0.1, end_factor=0.01)
    assert at(schedule, 0, 10, 15, 20, 30) == close(0.2, 0.65, 1.1, 1.55, 2.0)
    assert at(schedule, 50, 60, 70, 90, 119) == close(1.505, 1.01, 0.515, 0.02, 0.02)
    assert rates(schedule).argmax() == 30


def test_one_cycle_as_it_is_unless_told():
    """Top at 3/10 of 100 steps, from 1/25, to 1/100,000."""
    found = rates(schedules.one_cycle(0.5, 100))
    assert [found[0], found[15], found[30], found[65], found[100], found[119]] == close(
        0.02, 0.26, 0.5, 0.2500025, 5e-6, 5e-6
    )  # fmt: skip
    assert (np.diff(found[:31]) > 0).all() and (np.diff(found[30:101]) < 0).all()


def test_one_cycle_of_one_step():
    """Its top is between the two steps."""
    assert at(schedules.one_cycle(0.5, 1), 0, 1, 2) == close(0.02, 5e-6, 5e-6)


@pytest.mark.parametrize("peak", [0, 1, -0.2, 1.5])
def test_one_cycle_needs_its_top_inside(peak):
    with pytest.raises(ValueError, match=rf"peak must be in \(0, 1\), got {peak}"):
        schedules.one_cycle(0.1, 100, peak)


def test_one_cycle_needs_a_step():
    with pytest.raises(ValueError, match="end must be 1 step or more, got 0"):
        schedules.one_cycle(0.1, 0)


def test_inverse_square_root_by_hand():
    """Four times the steps, half the rate."""
    schedule = schedules.inverse_sqrt(0.6, 10)
    assert at(schedule, 0, 10, 40, 90, 1000) == close(0.6, 0.6, 0.3, 0.2, 0.06)
    expected = [0.6 * math.sqrt(10 / max(s, 10)) for s in STEPS]
    np.testing.assert_allclose(rates(schedule), expected, rtol=1e-6)


def test_inverse_square_root_from_the_first_step_on():
    assert at(schedules.inverse_sqrt(0.6, 0), 0, 1, 4, 9) == close(0.6, 0.6, 0.3, 0.2)


def test_steps_beyond_float32_are_told_apart():
    """2^24 + 1 is no float32."""
    schedule = schedules.polynomial(2.0**24, 2**24, 2**25)
    assert at(schedule, 2**24, 2**24 + 1, 2**25 - 1) == [2**24, 2**24 - 1, 1]


def test_warmup_rises_linearly_to_the_schedule():
    found = rates(schedules.with_warmup(schedules.constant(1.0), 4))
    np.testing.assert_allclose(found[:6], [0.2, 0.4, 0.6, 0.8, 1.0, 1.0], rtol=1e-6)


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.constant(1.0),
        schedules.steps(1.0, [60], [1.0, 0.1]),
        schedules.piecewise(1.0, [9, 100], [1.0, 1.0, 0.0]),
        schedules.exponential(1.0, 0.5, 10),
        schedules.polynomial(1.0, 9, 100),
        schedules.cosine(1.0, 9, 100),
        schedules.one_cycle(1.0, 100),
        schedules.inverse_sqrt(1.0, 9),
    ],
    ids=["constant", "steps", "piecewise", "exponential", "polynomial", "cosine", "one_cycle",
         "inverse_sqrt"],
)  # fmt: skip
def test_warmup_goes_before_any_schedule(schedule):
    found, alone = rates(schedules.with_warmup(schedule, 9)), rates(schedule)
    np.testing.assert_allclose(found[:10], alone[9] * np.arange(1, 11) / 10, rtol=1e-6)
    np.testing.assert_array_equal(found[9:], alone[9:])


def test_warmup_before_cosine_starts_it_at_its_top():
    found = rates(schedules.with_warmup(schedules.cosine(1.0, 9, 100), 9))
    np.testing.assert_allclose(found[:10], np.arange(1, 11) / 10, rtol=1e-6)
    assert found[10] < found[9]


def test_no_warmup_leaves_the_schedule_as_it_is():
    schedule = schedules.constant(1.0)
    assert schedules.with_warmup(schedule, 0) is schedule


@pytest.mark.parametrize(
    ("rule", "batch_size", "expected"),
    [
        ("none", 1024, 0.1), ("linear", 1024, 0.4), ("sqrt", 1024, 0.2),
        ("none", 64, 0.1), ("linear", 64, 0.025), ("sqrt", 64, 0.05),
        ("linear", 256, 0.1), ("sqrt", 256, 0.1),
    ],
)  # fmt: skip
def test_the_rate_of_another_batch_size(rule, batch_size, expected):
    found = schedules.scaled_rate(0.1, rule, batch_size, 256)
    assert isinstance(found, float) and found == pytest.approx(expected, rel=1e-12)


def test_another_rule_of_scaling():
    with pytest.raises(ValueError, match="rule must be none, linear or sqrt, got 'cubic'"):
        schedules.scaled_rate(0.1, "cubic", 256, 256)
