"""tools/show_batch.py: the pictures of a position, drawn."""

import json
import shutil
import struct

import numpy as np
import pytest
import record_files
import tensorflow as tf

from resnet_tf.input import Order


def shape_of(png):
    width, height = struct.unpack(">II", png.read_bytes()[16:24])
    return height, width


def drawn(script, tmp_path, *flags):
    output = tmp_path / "batch.png"
    done = script("tools/show_batch.py", f"--output={output}", *flags)
    assert done.returncode == 0, done.stderr
    return output, json.loads(done.stdout.splitlines()[-1])


def test_the_records_are_those_of_the_position(script, tmp_path, digits):
    # Batches of 32: position 70 is the 7th of the third, which has 26 from there on.
    output, event = drawn(script, tmp_path, "--position=70", "--mixup=0.4", "--seed=3")
    order = Order(tuple(shard.records for shard in digits.shards("train")), 3)
    expected = order.at(tf.range(70, 96, dtype=tf.int64))[0].numpy().tolist()
    assert event == {"event": "drawn", "output": str(output), "pictures": 26, "records": expected}
    pixels = tf.io.decode_png(output.read_bytes(), 1).numpy()
    assert shape_of(output) == pixels.shape[:2]
    assert min(pixels.shape[:2]) > 200 and len(np.unique(pixels)) > 16  # white, ink and digits


def test_as_many_as_asked_for(script, tmp_path):
    _, event = drawn(script, tmp_path, "--count=5")
    assert event["pictures"] == len(event["records"]) == 5


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--position=-1"], 64, "position must be 0 or more, got -1 | --position"),
        (["--count=0"], 64, "count must be 1 or more, got 0 | --count"),
        (["--output={tmp}/none/batch.png"], 73, "its folder does not exist | {tmp}/none/batch.png"),
        (["--recipe=digit"], 64, "digit"),
        (["--hue=0.1"], 64, "hue is for pictures in colour, and these are grey | --hue"),
    ],
)
def test_mistakes(script, tmp_path, flags, code, message):
    tmp = str(tmp_path)
    done = script("tools/show_batch.py", *(flag.replace("{tmp}", tmp) for flag in flags))
    assert done.returncode == code
    assert message.replace("{tmp}", tmp) in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_cannot_be_read_is_named_or_left_out(script, tmp_path, digits):
    data = shutil.copytree(digits.directory, tmp_path / "digits")
    path = data / digits.shards("train")[0].file
    order = Order((1437,), 0)
    record = int(order.at(tf.constant([5], tf.int64))[0][0])
    payloads = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    damaged = bytearray(path.read_bytes())
    damaged[record_files.frames(payloads)[record] + 60] ^= 1
    path.write_bytes(damaged)
    flags = [f"--data_dir={data}", "--reader=indexed"]
    done = script("tools/show_batch.py", f"--output={tmp_path}/none.png", *flags)
    assert done.returncode == 65 and f"(record {record} at byte" in done.stderr
    assert "Traceback" not in done.stderr
    _, event = drawn(script, tmp_path, *flags, "--bad_records=skip")
    assert event["records"][5] == (record + 1) % 1437
