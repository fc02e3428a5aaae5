"""Devices and the strategy that runs a step on them."""

from resnet_tf.distribution.strategy import DeviceRequest, make_strategy

__all__ = ["DeviceRequest", "make_strategy"]
