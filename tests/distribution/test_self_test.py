"""The sum that is made before anything is built."""

import os
import pathlib
import subprocess
import sys

import pytest

from resnet_tf.distribution import refuse_broken_sums
from resnet_tf.errors import UserError

import tensorflow as tf  # isort: skip

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_sound_devices(two_replicas):
    refuse_broken_sums(two_replicas)


class Broken:
    """Two replicas whose sum is that of the first alone."""

    num_replicas_in_sync = 2

    def __init__(self, real):
        self._real = real

    def run(self, function):
        return tf.ones([256])

    def experimental_local_results(self, value):
        return (value,)


def test_a_wrong_sum(two_replicas):
    with pytest.raises(UserError) as caught:
        refuse_broken_sums(Broken(two_replicas))
    assert str(caught.value).startswith(
        "ERROR 70: the sum over 2 devices is 1, not 3 | --all_reduce | see that devices and links"
    )


def test_one_device_has_nothing_to_test():
    strategy = Broken(None)
    strategy.num_replicas_in_sync = 1
    refuse_broken_sums(strategy)


HANGS = """
import resnet_tf, time
import tensorflow as tf
from resnet_tf.distribution import refuse_broken_sums
class Hanging:
    num_replicas_in_sync = 3
    def run(self, function):
        time.sleep(1000)
    def experimental_local_results(self, value):
        return value
refuse_broken_sums(Hanging(), 0.5)
"""


def test_a_sum_that_does_not_come_back():
    process = subprocess.run(
        [sys.executable, "-c", HANGS], cwd=ROOT, env=os.environ, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert process.returncode == 70
    assert "ERROR 70: a sum over 3 devices has not come back in 0.5 s | " in process.stderr
