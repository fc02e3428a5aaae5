import pytest

from resnet_tf.distribution import (
    Cluster,
    DeviceRequest,
    describe_devices,
    make_strategy,
    processes,
)
from resnet_tf.errors import UserError

import tensorflow as tf  # isort: skip


@pytest.mark.parametrize("text, expected", [
    ("auto", DeviceRequest("auto")),
    ("cpu", DeviceRequest("cpu", logical_cpus=1)),
    ("cpu:3", DeviceRequest("cpu", logical_cpus=3)),
    ("gpu", DeviceRequest("gpu")),
    ("gpu:all", DeviceRequest("gpu")),
    ("gpu:2", DeviceRequest("gpu", gpus=(2,))),
    ("gpu:0,1", DeviceRequest("gpu", gpus=(0, 1))),
])  # fmt: skip
def test_every_form_is_read(text, expected):
    assert DeviceRequest.parse(text) == expected


@pytest.mark.parametrize("text", ["", "tpu", "cpu:0", "cpu:-1", "cpu:two", "gpu:", "gpu:0,0"])
def test_anything_else_is_refused(text):
    with pytest.raises(UserError, match="ERROR 64: devices must be auto, cpu, cpu:N") as caught:
        DeviceRequest.parse(text)
    assert repr(text) in str(caught.value)


def test_a_gpu_that_is_not_there_is_never_replaced():
    with pytest.raises(UserError, match=r"ERROR 64: TensorFlow sees \d+ GPUs, fewer than"):
        make_strategy(DeviceRequest.parse("gpu:40"))


@pytest.mark.parametrize("together", [False, True])
def test_gpus_that_are_required(monkeypatch, together):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: [])
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind=None: [])
    cluster = CLUSTER if together else None
    message = r"ERROR 64: TensorFlow sees 0 GPUs, .* \| --require_gpus \| "
    with pytest.raises(UserError, match=message):
        make_strategy(DeviceRequest.parse("auto"), cluster, require_gpus=1)


def test_devices_are_described(two_replicas):
    assert describe_devices(two_replicas) == "2 x CPU"


CLUSTER = Cluster(("127.0.0.1:1", "127.0.0.1:2"), 0, "TF_CONFIG")


@pytest.mark.parametrize("devices, cluster, all_reduce, message", [
    ("cpu", None, "ring", "all_reduce ring is for several processes"),
    ("cpu", None, "nccl", "all_reduce nccl is for GPUs"),
    ("cpu", CLUSTER, "hierarchical", "all_reduce hierarchical is for one process"),
    ("cpu:2", CLUSTER, "auto", "devices cpu:N is for one process"),
    ("gpu", CLUSTER, "auto", "TensorFlow sees 0 GPUs, fewer than are asked for"),
    ("gpu:40", CLUSTER, "auto", "TensorFlow sees 0 GPUs, fewer than are asked for"),
])  # fmt: skip
def test_ways_that_there_are_not(monkeypatch, devices, cluster, all_reduce, message):
    """Refused before a strategy is made."""
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    with pytest.raises(UserError, match=f"ERROR 64: {message}"):
        make_strategy(DeviceRequest.parse(devices), cluster, all_reduce)


def test_a_strategy_of_one_process_says_so(two_replicas):
    assert processes(two_replicas) == 1
