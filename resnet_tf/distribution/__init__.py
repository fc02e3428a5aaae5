"""Devices and the strategy that runs a step on them."""

from resnet_tf.distribution.agreement import (
    largest_of_all,
    make_largest,
    refuse_disagreement,
    wait_for_all,
)
from resnet_tf.distribution.cluster import Cluster
from resnet_tf.distribution.rendezvous import meet
from resnet_tf.distribution.self_test import refuse_broken_sums
from resnet_tf.distribution.strategy import (
    DeviceRequest,
    describe_devices,
    make_strategy,
    processes,
)

__all__ = [
    "Cluster",
    "DeviceRequest",
    "describe_devices",
    "largest_of_all",
    "make_largest",
    "make_strategy",
    "meet",
    "processes",
    "refuse_broken_sums",
    "refuse_disagreement",
    "wait_for_all",
]
