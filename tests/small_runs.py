"""Runs of a few steps of a network of one or two layers, in this process."""

import json
import pathlib

import made
import pytest

from resnet_tf import checkpoint, models
from resnet_tf.config import Config
from resnet_tf.layers import Conv2D, Dense, he_normal
from resnet_tf.models.classifier import NormalizedOptions
from resnet_tf.training import command
from resnet_tf.training.saving import Saver

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


class Normed(models.Classifier):
    """Three parts, the first with a batch norm; dropout where it is told."""

    Options = NormalizedOptions

    def __init__(self, options):
        super().__init__(options)
        self.stem = Conv2D(options.channels, 4, 3, init=he_normal(0))
        self.stem_norm = options.norm(4)
        self.body = Conv2D(4, 4, 3, init=he_normal(1))
        self.head = Dense(4, options.num_classes, init=he_normal(2))

    def features(self, images, training):
        x = tf.nn.relu(self.stem_norm(self.stem(images), training))
        return {"final": tf.nn.relu(self.body(x))}


def use_tiny(monkeypatch, two_replicas):
    """Every run has the network `Tiny`, see `use`."""
    use(lambda name, channels, **_: Tiny(channels), monkeypatch, two_replicas)


def use_normed(monkeypatch, two_replicas):
    """Every run has the network `Normed`, see `use`."""
    use(lambda name, **told: Normed(Normed.Options(**told)), monkeypatch, two_replicas)


def use(create, monkeypatch, two_replicas):
    """Every run has this network, and one on two devices the strategy of the process: two
    strategies in one process mix up their collectives."""
    monkeypatch.setattr(models, "create_as_told", create)
    real = command.make_strategy
    monkeypatch.setattr(
        command, "make_strategy",
        lambda request, *more: two_replicas if request.logical_cpus == 2 else real(request, *more),
    )  # fmt: skip


def payloads(count, size=8):
    """PNG and JPEG in turn."""
    encoders = (made.png, made.jpeg)
    return [
        made.record(encoders[i % 2](made.pixels(i, size, size)), i % CLASSES) for i in range(count)
    ]


def data_set(directory, train=10, test=4):
    """A data set of so many pictures."""
    directory.mkdir()
    splits = {"train": [payloads(train)], "test": [payloads(test)]}
    made.data_set(directory, splits, classes=CLASSES, size=8)
    return directory


def config(data, model_dir, **told):
    fields = {
        "data_dir": str(data), "model_dir": str(model_dir), "steps": 6, "batch_size": 4,
        "devices": "cpu", "steps_per_call": 3, "reader": "indexed", "learning_rate": 0.01,
        "tensorboard": False,
    }  # fmt: skip
    return Config(**(fields | told))


def train(data, model_dir, **told):
    return command.train(config(data, model_dir, **told))


class Interrupted(Exception):
    """In place of Ctrl-C."""


def interrupt_after(step, config, monkeypatch):
    """Trains until `step` is committed, and no further."""
    save = Saver.save

    def stop(self, at):
        saved = save(self, at)
        if at == step:
            raise Interrupted
        return saved

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Saver, "save", stop)
        command.train(config)
    assert checkpoint.find(config.model_dir).step == step


def journal(model_dir, event):
    lines = (pathlib.Path(model_dir) / "journal.jsonl").read_text().splitlines()
    return [e for e in map(json.loads, lines) if e["event"] == event]
