"""Input: from records on disk to batches on the device, in an order that is a formula."""

from resnet_tf.input.augmentation import Augmentation
from resnet_tf.input.bad_records import BadRecords
from resnet_tf.input.images import decode_and_fit
from resnet_tf.input.keys import keys
from resnet_tf.input.manifest import Manifest
from resnet_tf.input.memory import ArrayReader, MemoryReader
from resnet_tf.input.order import Order
from resnet_tf.input.pipeline import evaluation_batches, normalize, training_batches
from resnet_tf.input.readers import Reader, first
from resnet_tf.input.readers import choose as choose_reader

__all__ = [
    "ArrayReader",
    "Augmentation",
    "BadRecords",
    "Manifest",
    "MemoryReader",
    "Order",
    "Reader",
    "choose_reader",
    "decode_and_fit",
    "evaluation_batches",
    "first",
    "keys",
    "normalize",
    "training_batches",
]
