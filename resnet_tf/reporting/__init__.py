"""Reporting: receives plain numbers, and shows and keeps them."""

from resnet_tf.reporting.console import Console, say
from resnet_tf.reporting.journal import Journal

__all__ = ["Console", "Journal", "say"]
