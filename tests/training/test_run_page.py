"""report.html at the end of a run, and a run whose report cannot be written."""

import dataclasses
import json
import re

import made
import numpy as np
import pytest
import small_runs
import tensorflow as tf

from resnet_tf import checkpoint, input
from resnet_tf.config import Config
from resnet_tf.evaluation import Predictions
from resnet_tf.training import run_page, samples


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


def samples_in(text):
    """The pictures of the page's section on training."""
    section = re.search("<section><h2>As it was trained on</h2>(.*?)</section>", text, re.DOTALL)
    return re.findall(r'<figure><img alt="" src="([^"]*)"><figcaption>([^<]*)', section.group(1))


@pytest.mark.parametrize("told", [
    {}, {"reader": "memory", "mixup": 0.2, "flip": True, "steps": 3},
    {"mean": (1.0, 2.0, 3.0), "std": (9.0,) * 3, "resolutions": (12.0, 8.0), "image_size": 8,
     "resolution_boundaries": ("1",)},
], ids=["plain", "mixed", "resized"])  # fmt: skip
def test_samples_of_a_commit_are_those_of_its_run(
    data, tmp_path, monkeypatch, two_replicas, told, capsys
):
    """What the tool draws anew has as much as the page that the run left."""
    small_runs.use_tiny(monkeypatch, two_replicas)
    config = small_runs.config(data, tmp_path / "run", **{"steps": 2} | told)
    small_runs.command.train(config)
    commit = checkpoint.find(tmp_path / "run")
    kept = Config.from_json(commit.manifest["config"])
    found = run_page.samples_of(commit, kept, input.Manifest.load(data))
    expected = samples_in((tmp_path / "run/report.html").read_text())
    assert [run_page.page.inline(picture.encoded) for picture in found] == [
        source for source, _ in expected
    ]
    assert len(found) == 4 and found[0].lines[0] in expected[0][1]


def test_without_training_records_there_are_no_samples(
    data, tmp_path, monkeypatch, two_replicas, capsys
):
    small_runs.use_tiny(monkeypatch, two_replicas)
    config = small_runs.config(data, tmp_path / "run", steps=2)
    small_runs.command.train(config)
    commit = checkpoint.find(tmp_path / "run")
    manifest = input.Manifest.load(data)
    held_out = dataclasses.replace(manifest, splits={"test": manifest.splits["test"]})
    assert run_page.samples_of(commit, config, held_out) == []
    assert "no pictures of the training are shown: ERROR" in capsys.readouterr().err


def test_a_page_is_drawn_from_what_is_sound_in_a_journal(data, tmp_path, monkeypatch, two_replicas):
    small_runs.use_tiny(monkeypatch, two_replicas)
    config = small_runs.config(data, tmp_path / "run", steps=2)
    small_runs.command.train(config)
    with open(tmp_path / "run/journal.jsonl", "a") as journal:
        for event in (
            {"event": "train", "step": "three"}, {"event": "train", "input_wait_share": "long"},
            {"event": "goodput", "seconds": [1]}, {"event": "done", "step": None, "epoch": 7.5},
        ):  # fmt: skip
            journal.write(json.dumps(event) + "\n")
    with open(tmp_path / "run/steps.csv", "a") as steps:
        steps.write("4,little,1,0.1,5,6\nfive,1,1,0.1,5,6\n")
    manifest = input.Manifest.load(data)
    rows = Predictions(
        labels=np.zeros(4, int), ranks=np.zeros(4, int), losses=np.ones(4),
        top=np.zeros((4, 1), int), scores=np.ones((4, 1)),
    )  # fmt: skip
    run_page.write(tmp_path / "a.html", config, manifest, rows, None, [], {})
    text = (tmp_path / "a.html").read_text()
    assert "<div>epochs<b>7.5</b></div>" in text and "<div>steps" not in text
    assert "waiting for input" in text and "Loss of a step" in text


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
