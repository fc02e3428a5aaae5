"""Our input, and the bare loops that it is measured against, each in a process of its own.

  python input_ours.py --data_dir=DIR --what=NAME

`pipeline`, `in memory`: `input.training_batches` with random resized crop to 224 and mirror, of
the indexed reader and of encoded pictures in memory. `sequential`: the same on records as they
lie in the files. `bare decode`, `bare decode, resize`: `decode_and_crop_jpeg` of the very same
crops from memory, without and with bilinear resize to uint8; the best number of calls at a time.
`cifar`: the memory reader, shift and mirror. `resident`: memory after so many records.

Prints {"images_per_second": …, "processor_ms": … (of all threads, a picture)}, or what
`resident` found.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import resource
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import resnet_tf  # noqa: F401  prepares the process for TensorFlow  # isort: skip
import tensorflow as tf
from timing import timed

from resnet_tf import input, runtime
from resnet_tf.input import crop, images, memory, stored
from resnet_tf.input.slices import Slices

BATCH, SIZE, CIFAR_BATCH, COPIES, READ = 64, 224, 128, 64, 2048
JPEG = input.Augmentation(crop_scale=(0.08, 1.0), flip=True)
CIFAR = input.Augmentation(pad=4, flip=True)


def batches(manifest, kind="indexed", augmentation=JPEG, batch=BATCH, size=SIZE):
    """Endless, as training has them."""
    reader = input.choose_reader(
        manifest, "train", manifest.pictures(size, size), kind=kind, fixed=augmentation.fixed
    )
    strategy = tf.distribute.get_strategy()
    return input.training_batches(
        strategy,
        reader,
        _order(manifest),
        batch_size=batch,
        augmentation=augmentation,
        classes=len(manifest.classes),
    )


def _order(manifest):
    return input.Order(tuple(shard.records for shard in manifest.shards("train")), seed=0)


def _rows(manifest):
    """Endless: record and random numbers of each position, as the pipeline draws them."""

    def drawn(positions):
        ids, noise = _order(manifest).at(positions)
        return {"ids": ids, **JPEG.draws(noise)}

    return Slices(0, BATCH, BATCH, 0, 1).batches().map(drawn)


def _plain(dataset):
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(2).with_options(options)


def sequential(manifest):
    """The pipeline on a `TFRecordDataset` in place of reads at random."""
    reader = stored.IndexedReader(manifest, "train", manifest.pictures(SIZE, SIZE))
    paths = [str(path) for path in manifest.paths("train")]
    serialized = tf.data.TFRecordDataset(paths, buffer_size=8 * 2**20).repeat()
    rows = tf.data.Dataset.zip(_rows(manifest).unbatch(), serialized)

    def read(row, record):
        return stored.parse(record, manifest)

    def fit(encoded, row):
        return JPEG.fit(encoded, row, reader.pictures)

    return _plain(reader.fitted(rows, read, fit).batch(BATCH, drop_remainder=True))


def bare(manifest, calls, resize):
    """Nothing but decoding, of the crops of two epochs."""
    encoded, _ = memory.read_split(manifest, "train", input.BadRecords.none())
    encoded = tf.constant(encoded)

    def box(row):
        size = images.size_of(encoded[row["ids"]])
        return row["ids"], crop.box(size, row["crop"], JPEG.crop_scale, JPEG.crop_ratio)

    known = _rows(manifest).unbatch().map(box).take(2 * manifest.records("train"))
    ids, boxes = next(iter(known.batch(10**6)))

    def decode(i):
        part = tf.io.decode_and_crop_jpeg(
            encoded[ids[i]], boxes[i], 3, dct_method="INTEGER_ACCURATE"
        )
        if not resize:
            return tf.shape(part)  # nothing is copied
        return tf.cast(tf.round(tf.image.resize(part, [SIZE, SIZE])), tf.uint8)

    numbers = tf.data.Dataset.range(len(ids)).repeat()
    return _plain(numbers.map(decode, num_parallel_calls=calls).batch(BATCH))


def best_bare(manifest, resize):
    cores = runtime.available_cores()
    found = [timed(bare(manifest, n * cores, resize), BATCH, seconds=3) for n in (1, 2, 4)]
    return max(found, key=lambda speed: speed["images_per_second"])


def resident(manifest):
    """MiB of the process after READ and 4 · READ records, of this set and of one COPIES as big."""
    large = {"train": manifest.shards("train") * COPIES}
    large = dataclasses.replace(manifest, splits=large)
    found = {"records": [manifest.records("train"), large.records("train")], "MiB": []}
    for each in (manifest, large):
        iterator = iter(batches(each))
        for _ in range(2):
            for _ in range((READ if len(found["MiB"]) % 2 == 0 else 3 * READ) // BATCH):
                next(iterator)
            found["MiB"].append(_resident_mib())
        del iterator
    found["peak MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return found


def _resident_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


WHAT = {
    "pipeline": lambda manifest: timed(batches(manifest), BATCH),
    "in memory": lambda manifest: timed(batches(manifest, "memory"), BATCH),
    "sequential": lambda manifest: timed(sequential(manifest), BATCH),
    "bare decode": lambda manifest: best_bare(manifest, resize=False),
    "bare decode, resize": lambda manifest: best_bare(manifest, resize=True),
    "cifar": lambda manifest: timed(
        batches(manifest, "memory", CIFAR, CIFAR_BATCH, size=32), CIFAR_BATCH
    ),
    "resident": resident,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--what", choices=WHAT, required=True)
    flags = parser.parse_args()
    runtime.configure()
    print(json.dumps(WHAT[flags.what](input.Manifest.load(flags.data_dir))))
