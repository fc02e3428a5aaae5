import numpy as np
import pytest

from resnet_tf.training import meter as meters


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when it is told to."""
    now = [0.0]
    monkeypatch.setattr(meters.time, "perf_counter", lambda: now[0])
    return now


def call(meter, clock, seconds, losses, correct=0, wait=0.0):
    n = len(losses)
    meter.start_call()
    clock[0] += seconds
    meter.end_call({
        "loss": np.float32(losses), "correct": np.full(n, correct),
        "gradient_norm": np.arange(n, dtype=np.float32), "learning_rate": np.full(n, 0.5),
        "finite": np.full(n, True), "overflowed": np.full(n, False),
        "loss_scale": np.full(n, 1.0), "input_wait": np.full(n, wait),
    })  # fmt: skip


def test_means_of_an_interval_without_the_time_of_the_first_call(clock):
    """# fault P1"""
    meter = meters.Meter(batch_size=10)
    call(meter, clock, 100.0, [4.0], correct=1)
    clock[0] += 50  # saving, evaluation
    call(meter, clock, 2.0, [1.0, 1.0], correct=4, wait=0.25)
    assert meter.interval() == {
        "loss": 2.0, "top1": 0.3, "gradient_norm": 1.0, "learning_rate": 0.5,
        "images_per_second": 10.0, "input_wait_share": 0.25, "loss_scale": 1.0, "overflows": 0,
    }  # fmt: skip
    call(meter, clock, 1.0, [0.5])
    assert meter.interval()["images_per_second"] == 10.0
    assert meter.total() == {"images_per_second": 10.0, "train_loss": 0.5}


def test_a_run_of_one_call_has_no_speed(clock):
    meter = meters.Meter(batch_size=10)
    call(meter, clock, 1.0, [3.0])
    assert meter.interval()["images_per_second"] == 0.0
    assert meter.total() == {"images_per_second": 0.0, "train_loss": 3.0}


def test_a_run_without_steps_has_no_loss(clock):
    assert meters.Meter(10).total() == {"images_per_second": 0.0, "train_loss": None}


def test_a_wait_is_no_longer_than_the_call_whatever_a_coarse_clock_says(clock):
    meter = meters.Meter(batch_size=10)
    call(meter, clock, 100.0, [4.0])
    call(meter, clock, 2.0, [1.0, 1.0], wait=5.0)
    assert meter.interval()["input_wait_share"] == 1
