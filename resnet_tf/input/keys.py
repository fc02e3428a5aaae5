"""What names a record to people: where its picture came from."""

import tensorflow as tf

from resnet_tf.input.manifest import Manifest

_BATCH = 1024


def keys(manifest: Manifest, split: str) -> list[str]:
    """The file name in each record of a split, in the order of the disk.

    A record without one is named by its shard and its number there, such as
    `test-00000-of-00001.tfrecord:7`.

    Raises:
      UserError: 66 or 65 where a shard is gone or another one.
    """
    field = manifest.features.filename
    wanted = {field: tf.io.FixedLenFeature([], tf.string, default_value="")}
    found = []
    for path in manifest.paths(split):
        names = []
        for batch in tf.data.TFRecordDataset(str(path)).batch(_BATCH):
            names += tf.io.parse_example(batch, wanted)[field].numpy().tolist()
        found += [
            name.decode("utf-8", "surrogateescape") or f"{path.name}:{number}"
            for number, name in enumerate(names)
        ]
    return found
