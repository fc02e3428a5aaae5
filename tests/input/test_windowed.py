"""The windowed reader where shards hold nothing."""

import numpy as np
import pytest
import record_files

from resnet_tf.input import BadRecords, Order
from resnet_tf.input.slices import Slices
from resnet_tf.input.windowed import WindowedReader
from resnet_tf.preprocessing import Preprocessing

import tensorflow as tf  # isort: skip


@pytest.mark.parametrize("window", [1, 2, 6])
def test_windows_without_records_are_passed_over(tmp_path, window):
    payloads, sizes = record_files.sound_records(7), (3, 0, 2, 0, 0, 2)
    ends = np.cumsum(sizes)
    files = []
    for number, (end, size) in enumerate(zip(ends, sizes)):
        record_files.write_shard(tmp_path / f"train-{number}", payloads[end - size : end])
        files.append((f"train-{number}", size))
    manifest = record_files.describe(tmp_path, {"train": files})
    pictures = Preprocessing(6, 5, 3, (0.0,) * 3, (255.0,) * 3)
    reader = WindowedReader(manifest, "train", pictures)
    order = Order(sizes, seed=1, window=window)
    batches = reader.ordered(
        Slices(0, 3, 3, 0, 1),
        order,
        BadRecords(sizes),
        lambda positions: {"ids": order.at(positions)[0]},
        lambda encoded, row: encoded,
    )
    found = [int(i) for rows, _, _ in batches.take(14) for i in rows["ids"]]
    assert found == order.at(tf.range(42, dtype=tf.int64))[0].numpy().tolist()
    for epoch in range(6):
        assert sorted(found[7 * epoch : 7 * epoch + 7]) == list(range(7))
