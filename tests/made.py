"""Small data sets, made by the tests that read them."""

import hashlib

import numpy as np

from resnet_tf.input import records
from resnet_tf.input.manifest import Features, Manifest, Shard

import tensorflow as tf  # isort: skip

FOREIGN = Features("image", "label", "id")


def pixels(seed, height=8, width=8, channels=3):
    """A slope with some noise, so that JPEG keeps it roughly: uint8 `[height, width, channels]`."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width][..., None]
    slopes = random.uniform(-8, 8, (2, channels))
    values = random.uniform(60, 190, channels) + slopes[0] * y + slopes[1] * x
    values = values + random.normal(0, 9, (height, width, channels))
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def png(image):
    return tf.io.encode_png(image).numpy()


def jpeg(image, **options):
    return tf.io.encode_jpeg(image, quality=95, **options).numpy()


def record(encoded, label, features=records.USUAL):
    """A serialised record with fields of any names."""
    fields = {
        features.encoded: tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded])),
        features.label: tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        features.filename: tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"a file"])),
    }
    return tf.train.Example(features=tf.train.Features(feature=fields)).SerializeToString(
        deterministic=True
    )


def data_set(directory, splits, *, classes=10, size=None, channels=3, **more):
    """Writes shards and their manifest.

    Args:
      splits: name to shards, each a list of serialised records.
      classes: their number, or their names.
      size: of all pictures, where they have one.
      more: further fields of the manifest.
    """
    entries = {}
    for split, shards in splits.items():
        entries[split] = []
        for number, payloads in enumerate(shards):
            path = directory / f"{split}-{number:05}-of-{len(shards):05}.tfrecord"
            with tf.io.TFRecordWriter(str(path)) as writer:
                for payload in payloads:
                    writer.write(payload)
            data = path.read_bytes()
            shard = Shard(path.name, len(payloads), len(data), hashlib.sha256(data).hexdigest())
            entries[split].append(shard)
    names = tuple(f"class {i}" for i in range(classes)) if isinstance(classes, int) else classes
    fields = {
        "directory": directory, "name": "made", "licence": "none",
        "classes": names, "label_offset": 0,
        "height": size, "width": size, "channels": channels,
        "mean": (100.0,) * channels, "std": (50.0,) * channels,
        "splits": {split: tuple(shards) for split, shards in entries.items()},
    }  # fmt: skip
    manifest = Manifest(**(fields | more))
    manifest.save()
    return manifest


def split_up(payloads, sizes):
    """The payloads as shards of these sizes."""
    ends = np.cumsum(sizes)
    assert ends[-1] == len(payloads)
    return [payloads[end - size : end] for end, size in zip(ends, sizes)]
