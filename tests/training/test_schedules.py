import math

import numpy as np
import pytest
import tensorflow as tf

from resnet_tf.training import schedules

STEPS = np.arange(0, 120)


def rates(schedule):
    """Eager, traced, one at a time and all at once must agree."""
    together = schedule(tf.constant(STEPS, tf.int64)).numpy()
    traced = tf.function(schedule)
    single = [traced(tf.constant(int(s), tf.int64)).numpy() for s in STEPS[::17]]
    np.testing.assert_array_equal(together[::17], single)
    assert together.dtype == np.float32
    return together


def test_constant():
    assert (rates(schedules.constant(0.25)) == 0.25).all()


def test_piecewise_changes_at_its_boundaries():
    found = rates(schedules.piecewise(0.5, [10, 60], [1.0, 0.1, 0.02]))
    expected = [0.5 if s < 10 else 0.05 if s < 60 else 0.01 for s in STEPS]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_piecewise_without_boundaries_is_constant():
    np.testing.assert_allclose(rates(schedules.piecewise(0.5, [], [0.5])), 0.25)


@pytest.mark.parametrize("boundaries", [[60, 10], [10, 10]])
def test_piecewise_refuses_boundaries_that_do_not_rise(boundaries):
    with pytest.raises(ValueError, match="boundaries must rise"):
        schedules.piecewise(0.5, boundaries, [1, 1, 1])


def test_piecewise_refuses_another_number_of_factors():
    with pytest.raises(ValueError, match="2 boundaries need one factor more, got 2"):
        schedules.piecewise(0.5, [1, 2], [1, 1])


def test_cosine_by_its_formula():
    found = rates(schedules.cosine(0.4, 20, 100))
    expected = [0.2 * (1 + math.cos(math.pi * min(max(s - 20, 0) / 80, 1))) for s in STEPS]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    assert found[20] == np.float32(0.4) and found[60] == np.float32(0.2) and found[100] == 0


def test_warmup_rises_linearly_to_the_schedule():
    found = rates(schedules.with_warmup(schedules.constant(1.0), 4))
    np.testing.assert_allclose(found[:6], [0.2, 0.4, 0.6, 0.8, 1.0, 1.0], rtol=1e-6)


def test_warmup_before_cosine_starts_it_at_its_top():
    found = rates(schedules.with_warmup(schedules.cosine(1.0, 9, 100), 9))
    np.testing.assert_allclose(found[:10], np.arange(1, 11) / 10, rtol=1e-6)
    assert found[10] < found[9]


def test_no_warmup_leaves_the_schedule_as_it_is():
    schedule = schedules.constant(1.0)
    assert schedules.with_warmup(schedule, 0) is schedule
