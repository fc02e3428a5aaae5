"""Input: from records on disk to batches on the device, in an order that is a formula."""

from resnet_tf.input.manifest import Manifest
from resnet_tf.input.memory import MemoryReader
from resnet_tf.input.pipeline import Augmentation, evaluation_batches, normalize, training_batches

__all__ = [
    "Augmentation",
    "Manifest",
    "MemoryReader",
    "evaluation_batches",
    "normalize",
    "training_batches",
]
