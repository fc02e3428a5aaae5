"""Reporting: receives plain numbers, and shows and keeps them."""

from resnet_tf.reporting.console import Console, hush, say, silence
from resnet_tf.reporting.journal import Journal

__all__ = ["Console", "Journal", "hush", "say", "silence"]
