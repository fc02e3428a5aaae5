"""What was left out stays left out after a resume, though a part of it may decode."""

import pytest
import record_files

from resnet_tf import checkpoint
from resnet_tf.config import Config
from resnet_tf.errors import UserError
from resnet_tf.training import command


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory):
    """Every other picture has lost its lowest rows, so that some of its crops decode."""
    directory = tmp_path_factory.mktemp("set")
    payloads = []
    for i in range(12):
        encoded = record_files.jpeg(i, 96, 96)
        payloads.append(record_files.record(encoded[: -len(encoded) // 4] if i % 2 else encoded))
    record_files.write_set(
        directory, payloads, record_files.sound_records(2), height=None, width=None
    )
    return directory


def train(data, model_dir, **told):
    fields = {
        "model": "cifar_resnet", "model_options": {"depth": 8, "width_multiplier": 0.25},
        "data_dir": str(data), "model_dir": str(model_dir), "image_size": 8, "batch_size": 4,
        "crop_scale": (0.05, 0.2), "reader": "indexed", "bad_records": "skip", "devices": "cpu",
    }  # fmt: skip
    return command.train(Config(**(fields | told)))


def test_a_resumed_run_leaves_the_same_records_out(cut_off, tmp_path):
    whole = train(cut_off, tmp_path / "whole", steps=9)
    assert train(cut_off, tmp_path / "resumed", steps=4)["step"] == 4
    first = checkpoint.find(tmp_path / "resumed").manifest["bad_records"]
    assert first and all(record % 2 for record in first)
    assert train(cut_off, tmp_path / "resumed", steps=9)["digest"] == whole["digest"]
    last = checkpoint.find(tmp_path / "resumed").manifest["bad_records"]
    assert last == checkpoint.find(tmp_path / "whole").manifest["bad_records"]
    assert last[: len(first)] == first


def test_more_than_the_limit_stop_the_resumed_run_too(cut_off, tmp_path):
    train(cut_off, tmp_path, steps=4)
    known = len(checkpoint.find(tmp_path).manifest["bad_records"])
    with pytest.raises(UserError, match=r"ERROR 65: the picture cannot be decoded: it is cut off"):
        train(cut_off, tmp_path, steps=5, bad_records_limit=known - 1)
    assert checkpoint.find(tmp_path).step == 4
