"""Devices and the strategy that runs a step on them."""

from resnet_tf.distribution.strategy import DeviceRequest, describe_devices, make_strategy

__all__ = ["DeviceRequest", "describe_devices", "make_strategy"]
