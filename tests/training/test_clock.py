"""The clock of a step, where ops may be anything and where they must be deterministic."""

import pathlib

import pytest

from resnet_tf.training import clock

import tensorflow as tf  # isort: skip


def refuse():
    raise tf.errors.FailedPreconditionError(None, None, "must be deterministic")


def test_where_ops_may_be_anything_it_is_the_timestamp():
    assert clock.choose() is tf.timestamp


def test_where_they_must_be_deterministic_it_is_the_time_since_the_start_of_the_system(monkeypatch):
    uptime = pathlib.Path("/proc/uptime")
    if not uptime.exists():
        pytest.skip("not Linux")
    monkeypatch.setattr(tf, "timestamp", refuse)
    now = clock.choose()

    @tf.function
    def readings():
        first = now()
        with tf.control_dependencies([first]):
            return first, now()

    before = float(uptime.read_text().split()[0])
    times = [float(time) for _ in range(3) for time in readings()]
    after = float(uptime.read_text().split()[0])
    assert sorted(times) == times and before <= times[0] and times[-1] <= after


def test_where_there_is_no_such_file_it_stands_still(monkeypatch):
    monkeypatch.setattr(tf, "timestamp", refuse)
    monkeypatch.setattr(clock, "_UPTIME", "/proc/there-is-none")
    assert clock.choose()().numpy() == 0
