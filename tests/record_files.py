"""Small sets of records for the tests of the data doctor: written, and damaged on purpose."""

import hashlib
import pathlib
import struct
import zlib

import numpy as np

from resnet_tf.input import records
from resnet_tf.input.manifest import Features, Manifest, Shard

import tensorflow as tf  # isort: skip

CLASSES = ("ant", "bee", "cat")


def png(seed=0, height=6, width=5, channels=3, dtype=np.uint8):
    """A PNG of noise; every seed gives another."""
    top = np.iinfo(dtype).max
    pixels = np.random.default_rng(seed).integers(0, top, (height, width, channels), endpoint=True)
    return tf.io.encode_png(pixels.astype(dtype)).numpy()


def jpeg(seed=0, height=16, width=12, channels=3):
    """A JPEG of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels))
    return tf.io.encode_jpeg(pixels.astype(np.uint8), quality=90).numpy()


def png_header(height, width, bits=8, colours=2, rest=b""):
    """A PNG that is hardly more than its header."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + rest + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def jpeg_header(height, width, components=3, bits=8):
    """A JPEG that is hardly more than its header."""
    frame = struct.pack(">BHHB", bits, height, width, components) + b"\1\x11\0" * components
    scan = bytes([components]) + b"\1\0" * components + b"\0\x3f\0"
    return (
        b"\xff\xd8\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame
        + b"\xff\xda" + struct.pack(">H", len(scan) + 2) + scan + b"\0\0\xff\xd9"
    )  # fmt: skip


def size_of(encoded):
    """Height and width, where TensorFlow can tell them."""
    try:
        return tf.io.decode_image(encoded, expand_animations=False).shape[:2]
    except tf.errors.OpError:
        return 1, 1


def record(encoded, label=0, key="k.png", text=None, **other):
    """A serialised record; `other` replaces fields (None takes one out)."""
    known = records.image_format(encoded)
    height, width = size_of(encoded) if known else (1, 1)
    text = CLASSES[label] if text is None and 0 <= label < len(CLASSES) else text
    whole = records.encode(encoded if known else png(), label, text or "", key, height, width)
    example = tf.train.Example.FromString(whole)
    if not known:
        example.features.feature["image/encoded"].bytes_list.value[0] = encoded
        for name in ("image/height", "image/width", "image/format"):
            del example.features.feature[name]
    for name, feature in other.items():
        name = name.replace("__", "/")
        del example.features.feature[name]
        if feature is not None:
            example.features.feature[name].CopyFrom(feature)
    return example.SerializeToString(deterministic=True)


def example(**fields):
    """A serialised record of fields with the given names (a slash is written as __)."""
    features = {name.replace("__", "/"): feature(value) for name, value in fields.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(
        deterministic=True
    )


def feature(value):
    """A bytes, integer or float feature."""
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    if isinstance(value, float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def write_shard(path, payloads):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for payload in payloads:
            writer.write(payload)
    return path


def frames(payloads):
    """Where each record starts in a file of these payloads, and the file's size last."""
    return np.cumsum([0, *(len(payload) + 16 for payload in payloads)]).tolist()


def describe(directory, splits, classes=CLASSES, **other):
    """Writes the manifest of shards as they now are: split -> list of (file, records)."""

    def shard(file, count):
        data = (directory / file).read_bytes()
        return Shard(file, count, len(data), hashlib.sha256(data).hexdigest())

    fields = {
        "label_offset": 0, "height": 6, "width": 5, "channels": 3,
        "mean": (127.5,) * 3, "std": (73.9,) * 3, "features": Features(), **other,
    }  # fmt: skip
    manifest = Manifest(
        directory=pathlib.Path(directory),
        name="set",
        licence="CC0",
        classes=tuple(classes),
        splits={s: tuple(shard(*one) for one in files) for s, files in splits.items()},
        **fields,
    )
    manifest.save()
    return manifest


def write_set(directory, train, test=None, shards=1, **other):
    """A data set of serialised records with its manifest; returns the train shards' names."""
    directory.mkdir(parents=True, exist_ok=True)
    splits = {"train": train} | ({} if test is None else {"test": test})
    files = {}
    for split, payloads in splits.items():
        number = shards if split == "train" else 1
        files[split] = []
        for i in range(number):
            name = f"{split}-{i:05d}-of-{number:05d}.tfrecord"
            part = payloads[i * len(payloads) // number : (i + 1) * len(payloads) // number]
            write_shard(directory / name, part)
            files[split].append((name, len(part)))
    describe(directory, files, **other)
    return [name for name, _ in files["train"]]


def sound_records(count, first=0):
    """Records with nothing to be said about them."""
    return [
        record(png(first + i), i % len(CLASSES), f"{CLASSES[i % len(CLASSES)]}/{first + i}.png")
        for i in range(count)
    ]
