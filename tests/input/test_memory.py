"""The memory reader: pixels and labels as they were stored, and an error for every damage."""

import dataclasses
import hashlib

import numpy as np
import pytest

from resnet_tf.errors import UserError
from resnet_tf.input import index, records
from resnet_tf.input.manifest import Manifest, Shard
from resnet_tf.input.memory import MemoryReader
from resnet_tf.preprocessing import Preprocessing

import tensorflow as tf  # isort: skip


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_TF_CACHE", str(tmp_path / "cache"))


def noise(seed, height=4, width=5, channels=3):
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(pixels):
    return tf.io.encode_png(pixels).numpy()


def jpeg(pixels):
    return tf.io.encode_jpeg(pixels, quality=95).numpy()


def record(picture, label=0):
    return records.encode(picture, label, "name", "file.png", 1, 1)


def write(directory, *shards, channels=3, classes=10, label_offset=0):
    """A data set of one split, "train", with the given payloads in each shard."""
    entries = []
    for number, payloads in enumerate(shards):
        path = directory / f"train-{number}.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for payload in payloads:
                writer.write(payload)
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        entries.append(Shard(path.name, len(payloads), len(data), sha256))
    return Manifest(
        directory=directory,
        name="made",
        licence="none",
        classes=tuple(f"class {i}" for i in range(classes)),
        label_offset=label_offset,
        height=None,
        width=None,
        channels=channels,
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        splits={"train": tuple(entries)},
    )


def read(manifest, height=4, width=5):
    return MemoryReader(manifest, "train", manifest.pictures(height, width))


def refused(manifest, code, *texts, height=4, width=5):
    with pytest.raises(UserError) as caught:
        read(manifest, height, width)
    message = str(caught.value)
    assert caught.value.code == code
    assert message.startswith(f"ERROR {code}: ")
    for text in texts:
        assert text in message


def test_pixels_and_labels_in_the_order_of_the_records(tmp_path):
    pixels = [noise(i) for i in range(7)]
    labels = [3, 1, 4, 1, 5, 9, 2]
    payloads = [record(png(p), label) for p, label in zip(pixels, labels)]
    reader = read(write(tmp_path, payloads[:3], payloads[3:]))
    assert reader.records == 7
    assert reader.images.dtype == tf.uint8
    assert reader.labels.dtype == tf.int64
    np.testing.assert_array_equal(reader.images.numpy(), np.stack(pixels))
    np.testing.assert_array_equal(reader.labels.numpy(), labels)


def test_more_records_than_a_batch_keep_their_order(tmp_path):
    # More than 1024, which are read at a time, and than 256, which are decoded at a time.
    values = np.arange(1100)
    pixels = np.stack([values % 256, values // 256], axis=1).astype(np.uint8)
    payloads = [record(png(p.reshape(1, 2, 1)), i % 10) for i, p in enumerate(pixels)]
    reader = read(write(tmp_path, payloads, channels=1), 1, 2)
    np.testing.assert_array_equal(reader.images.numpy().reshape(-1, 2), pixels)
    np.testing.assert_array_equal(reader.labels.numpy(), values % 10)


def test_gather_takes_records_by_number(tmp_path):
    pixels = [noise(i) for i in range(4)]
    reader = read(write(tmp_path, [record(png(p), i) for i, p in enumerate(pixels)]))
    images, labels = reader.gather(tf.constant([2, 0, 2], tf.int64))
    np.testing.assert_array_equal(images.numpy(), np.stack([pixels[2], pixels[0], pixels[2]]))
    np.testing.assert_array_equal(labels.numpy(), [2, 0, 2])


def test_grey_pictures_become_rgb(tmp_path):
    """# fault D4"""
    grey = noise(0, channels=1)
    reader = read(write(tmp_path, [record(png(grey)), record(png(noise(1)))]))
    np.testing.assert_array_equal(reader.images.numpy()[0], np.repeat(grey, 3, axis=2))


def test_alpha_is_left_out(tmp_path):
    """# fault D4"""
    pixels = noise(0, channels=4)
    reader = read(write(tmp_path, [record(png(pixels))]))
    np.testing.assert_array_equal(reader.images.numpy()[0], pixels[..., :3])


def test_jpeg_is_decoded_within_its_loss(tmp_path):
    # A smooth picture, which JPEG keeps within a few levels.
    ramp = np.linspace(0, 255, 16 * 16).reshape(16, 16, 1).astype(np.uint8)
    reader = read(write(tmp_path, [record(jpeg(ramp))], channels=1), 16, 16)
    error = np.abs(reader.images.numpy()[0].astype(int) - ramp)
    assert error.max() <= 6


@pytest.mark.parametrize("size", [(8, 10), (3, 3), (2, 9), (7, 2), (16, 16)])
def test_other_sizes_are_resized_with_antialias(tmp_path, size):
    pixels = noise(0, *size)
    reader = read(write(tmp_path, [record(png(pixels)), record(png(noise(1)))]))
    expected = np.clip(np.rint(tf.image.resize(pixels, [4, 5], antialias=True).numpy()), 0, 255)
    np.testing.assert_array_equal(reader.images.numpy()[0], expected.astype(np.uint8))
    np.testing.assert_array_equal(reader.images.numpy()[1], noise(1))


def test_halving_a_picture_of_blocks_averages_evenly(tmp_path):
    # Far from edges of blocks, any sensible filter gives the block's own value back.
    blocks = np.repeat(np.repeat([[10, 200], [60, 90]], 16, axis=0), 16, axis=1)
    picture = png(blocks[..., None].astype(np.uint8))
    reader = read(write(tmp_path, [record(picture)], channels=1), 16, 16)
    found = reader.images.numpy()[0, :, :, 0]
    np.testing.assert_array_equal(found[[3, 3, 12, 12], [3, 12, 3, 12]], [10, 200, 60, 90])


def test_label_offset_is_subtracted(tmp_path):
    payloads = [record(png(noise(0)), label) for label in (1, 10, 5)]
    reader = read(write(tmp_path, payloads, label_offset=1))
    np.testing.assert_array_equal(reader.labels.numpy(), [0, 9, 4])


@pytest.mark.parametrize(
    ("stored", "offset", "shown"), [(10, 0, 10), (-1, 0, -1), (0, 1, -1), (11, 1, 10)]
)
def test_label_out_of_range(tmp_path, stored, offset, shown):
    payloads = [record(png(noise(0)), 1), record(png(noise(0)), stored)]
    manifest = write(tmp_path, payloads, label_offset=offset)
    start = len(payloads[0]) + 16
    text = f"label {shown} is not in 0..9 (record 1 at byte {start})"
    refused(manifest, 65, text, "train-0.tfrecord")


def test_number_of_a_bad_record_counts_in_its_own_file(tmp_path):
    good, bad = record(png(noise(0))), record(png(noise(0)), 10)
    manifest = write(tmp_path, [good, good, good], [good, bad])
    refused(manifest, 65, f"(record 1 at byte {len(good) + 16})", "train-1.tfrecord")


def flip_bit(path, byte):
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("number", [0, 2, 4])
@pytest.mark.parametrize("where", ["payload", "checksum"])
def test_flipped_bit_is_noticed_and_its_record_named(tmp_path, number, where):
    manifest = write(tmp_path, [record(png(noise(i))) for i in range(5)])
    path = tmp_path / "train-0.tfrecord"
    offset, length = index.walk(path)[number]
    flip_bit(path, offset + (length // 2 if where == "payload" else length))
    refused(
        manifest,
        65,
        f"the record fails its checksum (record {number} at byte {offset - 12})",
        str(path),
    )


def test_flipped_bit_beyond_the_first_batch(tmp_path):
    payload = record(png(noise(0)))
    manifest = write(tmp_path, [payload] * 1030)
    path = tmp_path / "train-0.tfrecord"
    flip_bit(path, index.walk(path)[1027][0] + 40)
    refused(manifest, 65, "the record fails its checksum (record 1027 at byte", str(path))


def test_flipped_bit_in_the_second_shard(tmp_path):
    payload = record(png(noise(0)))
    manifest = write(tmp_path, [payload] * 3, [payload] * 3)
    path = tmp_path / "train-1.tfrecord"
    flip_bit(path, index.walk(path)[1][0])
    refused(manifest, 65, "(record 1 at byte 338)", str(path))


def test_flipped_bit_in_the_checksum_of_a_length(tmp_path):
    manifest = write(tmp_path, [record(png(noise(i))) for i in range(3)])
    path = tmp_path / "train-0.tfrecord"
    flip_bit(path, index.walk(path)[1][0] - 1)
    refused(manifest, 65, "(record 1 at byte 338)", str(path))


def example(**features):
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(
        deterministic=True
    )


def of_bytes(*values):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def of_integers(*values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


PICTURE = of_bytes(png(noise(0)))
LABEL = of_integers(1)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"\xff\xff no protocol buffer", "the record is not a tf.train.Example"),
        (b"", "image/encoded must be one byte string"),
        (example(**{"image/class/label": LABEL}), "image/encoded must be one byte string"),
        (
            example(**{"image/encoded": LABEL, "image/class/label": LABEL}),
            "image/encoded must be one byte string",
        ),
        (example(**{"image/encoded": PICTURE}), "image/class/label must be one integer"),
        (
            example(**{"image/encoded": PICTURE, "image/class/label": of_integers(1, 2)}),
            "image/class/label must be one integer",
        ),
        (
            example(**{"image/encoded": PICTURE, "image/class/label": of_bytes(b"1")}),
            "image/class/label must be one integer",
        ),
        (
            example(**{"image/encoded": of_bytes(b"GIF89a..."), "image/class/label": LABEL}),
            "image/encoded is neither JPEG nor PNG, it starts b'GIF89a..'",
        ),
        (
            example(
                **{
                    "image/encoded": of_bytes(b"RIFF\x10\0\0\0WEBPVP8 "),
                    "image/class/label": LABEL,
                }
            ),
            "image/encoded is neither JPEG nor PNG, it starts b'RIFF",
        ),
        (
            example(**{"image/encoded": of_bytes(b""), "image/class/label": LABEL}),
            "image/encoded is neither JPEG nor PNG, it starts b''",
        ),
    ],
    # A map's order in its bytes is the process's own: bytes name no test.
    ids=[
        "no record",
        "empty",
        "no picture",
        "picture is a number",
        "no label",
        "two labels",
        "label is text",
        "GIF",
        "WebP",
        "no bytes",
    ],
)
def test_record_that_is_no_picture_with_a_label(tmp_path, payload, message):
    good = record(png(noise(0)))
    manifest = write(tmp_path, [good, payload])
    where = f"(record 1 at byte {len(good) + 16})"
    refused(manifest, 65, message, where, "train-0.tfrecord")


@pytest.mark.parametrize("encode", [png, jpeg])
@pytest.mark.parametrize("kept", [12, 0.5, -3])
def test_truncated_picture(tmp_path, encode, kept):
    """# fault D6"""
    whole = encode(noise(0, 32, 32))
    cut = whole[: int(len(whole) * kept) if isinstance(kept, float) else kept]
    good = record(png(noise(0)))
    manifest = write(tmp_path, [good, good], [good, record(cut), good])
    where = f"(record 1 at byte {len(good) + 16})"
    refused(manifest, 65, "the picture cannot be decoded: it", where, "train-1.tfrecord")


def test_unknown_split(tmp_path):
    manifest = write(tmp_path, [record(png(noise(0)))])
    with pytest.raises(UserError, match="no split is called 'dev'"):
        MemoryReader(manifest, "dev", manifest.pictures(4, 5))


def test_a_sound_shard_that_is_not_the_manifests_is_refused(tmp_path):
    manifest = write(tmp_path, [record(png(noise(0)))])
    (shard,) = manifest.shards("train")
    other = (dataclasses.replace(shard, sha256="0" * 64),)
    manifest = dataclasses.replace(manifest, splits={"train": other})
    with pytest.raises(UserError, match=r"ERROR 65: the shard is not the one .*sha256 differs"):
        MemoryReader(manifest, "train", manifest.pictures(4, 5))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_decoder_gives_as_many_channels_as_the_network_takes(tmp_path, channels):
    manifest = write(tmp_path, [record(png(noise(0)))])
    pictures = Preprocessing(4, 5, channels, (0.0,) * channels, (1.0,) * channels)
    assert MemoryReader(manifest, "train", pictures).images.shape == (1, 4, 5, channels)
