"""report.html at the end of a run, and a run whose report cannot be written."""

import made
import numpy as np
import pytest
import small_runs
import tensorflow as tf

from resnet_tf.training import samples


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    splits = {"train": [small_runs.payloads(10)], "test": [small_runs.payloads(4)]}
    made.data_set(directory, splits, classes=small_runs.CLASSES, size=8)
    return directory


def test_a_run_writes_its_report_and_says_where(data, tmp_path, monkeypatch, two_replicas, capsys):
    small_runs.use_tiny(monkeypatch, two_replicas)
    done = small_runs.train(data, tmp_path / "run", steps=2)
    path = tmp_path / "run/report.html"
    assert f"report: {path}" in capsys.readouterr().err
    text = path.read_text()
    assert f"{done['eval']['top1']:.2%}" in text and "Held-out records of each class" in text
    assert text.count('<img alt=""') == 4 + 4 - done["eval"]["correct_top1"]


def test_a_report_that_cannot_be_written_costs_no_run(
    data, tmp_path, monkeypatch, two_replicas, capsys
):
    small_runs.use_tiny(monkeypatch, two_replicas)
    (tmp_path / "run/report.html").mkdir(parents=True)
    done = small_runs.train(data, tmp_path / "run", steps=2)
    assert done["step"] == 2 and "no report was written: " in capsys.readouterr().err
    left = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert left == ["checkpoints", "journal.jsonl", "report.html", "steps.csv"]


def test_samples_of_hard_and_soft_labels_and_of_large_pictures():
    images = tf.constant(np.random.default_rng(0).uniform(-9, 270, (3, 200, 100, 3)), tf.float32)
    hard = samples.of_batch(images, tf.constant([2, 0, 1]), "abc")
    assert [list(picture.lines) for picture in hard] == [["c"], ["a"], ["b"]]
    assert tf.io.decode_image(hard[0].encoded).shape == (128, 64, 3)
    soft = tf.constant([[0.0, 0.25, 0.75], [1, 0, 0], [0.5, 0.5, 0]], tf.float32)
    told = [list(picture.lines) for picture in samples.of_batch(images, soft, "abc")]
    assert told == [["c 75%", "b 25%"], ["a 100%"], ["a 50%", "b 50%"]]
    small = samples.of_batch(images[:1, :8, :8], tf.constant([0]), "abc")
    pixels = tf.io.decode_png(small[0].encoded).numpy()
    expected = np.clip(np.round(images[0, :8, :8].numpy()), 0, 255)
    np.testing.assert_array_equal(pixels, expected)
