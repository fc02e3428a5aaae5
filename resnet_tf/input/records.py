"""The record schema, and how one record becomes bytes and comes back.

Each record is a `tf.train.Example` with
    image/encoded      bytes   JPEG or PNG, as it came             b"\\x89PNG..."
    image/format       bytes   "jpeg" or "png"                     b"png"
    image/class/label  int64   index into the manifest's classes   7
    image/class/text   bytes   the class's name, UTF-8             b"7"
    image/filename     bytes   where the picture came from         b"7/digit_0003.png"
    image/height       int64   pixels                              8
    image/width        int64   pixels                              8
"""

import tensorflow as tf

from resnet_tf.input.manifest import Features

USUAL = Features()
_MAGIC = {b"\xff\xd8\xff": "jpeg", b"\x89PNG\r\n\x1a\n": "png"}


def image_format(encoded: bytes) -> str | None:
    """ "jpeg" or "png" by the first bytes, whatever a file is called; None for anything else."""
    for magic, name in _MAGIC.items():
        if encoded.startswith(magic):
            return name
    return None


def encode(
    encoded: bytes, label: int, class_name: str, filename: str, height: int, width: int
) -> bytes:
    """One serialised record."""
    feature = {
        "image/encoded": _bytes(encoded),
        "image/format": _bytes(image_format(encoded).encode()),
        "image/class/label": _int64(label),
        "image/class/text": _bytes(class_name.encode()),
        "image/filename": _bytes(filename.encode("utf-8", "surrogateescape")),
        "image/height": _int64(height),
        "image/width": _int64(width),
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    # Deterministic: the same pictures always make the same file.
    return example.SerializeToString(deterministic=True)


def decode(serialized: bytes, features: Features = USUAL) -> tuple[bytes, int]:
    """The picture's bytes and the stored label of one record.

    Args:
      serialized: the record.
      features: names of its fields.

    Raises:
      ValueError: says which field is missing or of the wrong kind.
    """
    try:
        fields = tf.train.Example.FromString(serialized).features.feature
    except Exception as error:  # protobuf's DecodeError is not public API
        raise ValueError("the record is not a tf.train.Example") from error
    encoded = fields[features.encoded].bytes_list.value
    label = fields[features.label].int64_list.value
    if len(encoded) != 1:
        raise ValueError(f"{features.encoded} must be one byte string")
    if len(label) != 1:
        raise ValueError(f"{features.label} must be one integer")
    if image_format(encoded[0]) is None:
        raise ValueError(
            f"{features.encoded} is neither JPEG nor PNG, it starts {encoded[0][:8]!r}"
        )
    return encoded[0], label[0]


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _int64(value: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
