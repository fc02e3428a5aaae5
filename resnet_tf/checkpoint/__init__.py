"""Checkpoints: commits that are there whole or not at all, and restores that explain."""

from resnet_tf.checkpoint.commit import Commit, write
from resnet_tf.checkpoint.described import described
from resnet_tf.checkpoint.digest import digest_of
from resnet_tf.checkpoint.directory import commits, newest
from resnet_tf.checkpoint.lock import Lock
from resnet_tf.checkpoint.mirror import Mirror
from resnet_tf.checkpoint.naming import is_there
from resnet_tf.checkpoint.reading import find, read
from resnet_tf.checkpoint.restore import restore, shapes_of
from resnet_tf.checkpoint.retention import Retention
from resnet_tf.checkpoint.store import is_address

__all__ = [
    "Commit",
    "Lock",
    "Mirror",
    "Retention",
    "commits",
    "described",
    "digest_of",
    "find",
    "is_address",
    "is_there",
    "newest",
    "read",
    "restore",
    "shapes_of",
    "write",
]
