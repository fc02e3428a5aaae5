"""Small pictures made for tests, data sets of them, and what is looked at afterwards."""

import struct

import numpy as np
import pytest

from resnet_tf.errors import UserError
from resnet_tf.input import index
from resnet_tf.preparation import Listing, Picture, Progress, write_dataset

import tensorflow as tf  # isort: skip


def noise(seed, height=4, width=4, channels=3):
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def picture(pixels, label=0, filename="x.png"):
    encoded = tf.io.encode_png(pixels).numpy()
    return Picture(lambda: encoded, len(encoded), label, filename)


def pictures(count, first=0, **shape):
    return [picture(noise(i, **shape), i % 3, f"{i:03d}.png") for i in range(first, first + count)]


def write(output, splits=None, **options):
    splits = splits or {"train": pictures(12), "test": pictures(5, 100)}
    classes = tuple(options.pop("classes", ("a", "b", "c")))
    return write_dataset(output, Listing("made", "CC0", classes, splits), **options)


def payloads(manifest, split):
    data = [path.read_bytes() for path in manifest.paths(split)]
    return [data[s][o : o + n] for s, o, n in index.build(manifest, split)]


def refused(code, output, *texts, splits=None, **options):
    with pytest.raises(UserError) as caught:
        write(output, splits, **options)
    assert caught.value.code == code
    for text in texts:
        assert text in str(caught.value)
    return caught.value


class Heard(Progress):
    """Remembers what was said."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def raw(encoded, filename="raw.jpg", label=0):
    """A picture of any bytes."""
    return Picture(lambda: encoded, len(encoded), label, filename)


def turned_jpeg(orientation=6):
    """8x8, with an EXIF block that holds nothing but the orientation."""
    encoded = tf.io.encode_jpeg(noise(0, 8, 8)).numpy()
    tag = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 274, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tag
    return encoded[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + encoded[2:]


def cmyk_jpeg():
    """One block of each of four inks, all 128: baseline, the shortest Huffman tables there are."""

    def segment(marker, body):
        return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body

    components = b"".join(bytes([i, 0x11, 0]) for i in (1, 2, 3, 4))
    one_code = bytes([1] + [0] * 15 + [0])  # a single code, "0", for the value 0
    scan = bytes([4]) + b"".join(bytes([i, 0]) for i in (1, 2, 3, 4)) + bytes([0, 63, 0])
    return b"".join(
        [
            b"\xff\xd8",
            segment(0xDB, bytes([0]) + bytes([1] * 64)),
            segment(0xC0, struct.pack(">BHHB", 8, 8, 8, 4) + components),
            segment(0xC4, bytes([0x00]) + one_code),
            segment(0xC4, bytes([0x10]) + one_code),
            segment(0xDA, scan),
            b"\x00",  # eight codes "0": of each ink no difference, then the end of the block
            b"\xff\xd9",
        ]
    )
