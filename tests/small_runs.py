"""Runs of a few steps of a network of one layer, in this process."""

import json
import pathlib

import made

from resnet_tf import models
from resnet_tf.config import Config
from resnet_tf.layers import Conv2D, Dense, he_normal
from resnet_tf.training import loop

import tensorflow as tf  # isort: skip

CLASSES = 4


class Tiny(models.Classifier):
    """One convolution of pictures of any size."""

    def __init__(self, channels=3):
        super().__init__(models.Classifier.Options())
        self.conv = Conv2D(channels, 4, 3, init=he_normal(0))
        self.head = Dense(4, CLASSES, init=he_normal(1))

    def features(self, images, training):
        return {"final": tf.nn.relu(self.conv(images))}


def use_tiny(monkeypatch, two_replicas):
    """Every run has this network, and one on two devices the strategy of the process: two
    strategies in one process mix up their collectives."""
    monkeypatch.setattr(models, "create_as_told", lambda name, channels, **_: Tiny(channels))
    real = loop.make_strategy
    monkeypatch.setattr(
        loop, "make_strategy",
        lambda request: two_replicas if request.logical_cpus == 2 else real(request),
    )  # fmt: skip


def payloads(count, size=8):
    """PNG and JPEG in turn."""
    encoders = (made.png, made.jpeg)
    return [
        made.record(encoders[i % 2](made.pixels(i, size, size)), i % CLASSES) for i in range(count)
    ]


def config(data, model_dir, **told):
    fields = {
        "data_dir": str(data), "model_dir": str(model_dir), "steps": 6, "batch_size": 4,
        "devices": "cpu", "steps_per_call": 3, "reader": "indexed", "learning_rate": 0.01,
    }  # fmt: skip
    return Config(**(fields | told))


def train(data, model_dir, **told):
    return loop.train(config(data, model_dir, **told))


def journal(model_dir, event):
    lines = (pathlib.Path(model_dir) / "journal.jsonl").read_text().splitlines()
    return [e for e in map(json.loads, lines) if e["event"] == event]
