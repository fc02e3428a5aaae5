"""Ports that others can reach are told of."""

import pytest

from resnet_tf.distribution import Cluster
from resnet_tf.training import together


@pytest.mark.parametrize(
    ("host", "warned"), [("127.0.0.1", False), ("localhost", False), ("[::1]", False), ("a", True)]
)
def test_who_is_warned(host, warned):
    """# fault S8"""
    said = []
    together.warn_of_strangers(Cluster(("127.0.0.1:1", f"{host}:29500"), 1, "flags"), said.append)
    expected = ["whoever reaches port 29500 can give it commands, see SECURITY.md"]
    assert said == (expected if warned else [])
