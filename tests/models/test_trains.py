"""Every family of networks, and every variant of one, learns a batch by heart."""

import numpy as np
import pytest

from resnet_tf import models
from resnet_tf.layers import named_variables
from resnet_tf.models import imagenet
from resnet_tf.training.gradient import Gradient
from resnet_tf.training.optimizers import SGD
from resnet_tf.training.step import TrainingState, make_train_step

import tensorflow as tf  # isort: skip

BATCH, STEPS = 8, 30
QUARTER = {"width_multiplier": 0.25}


class Trainer:
    """The public training step on one batch of noise, with classes that are all different."""

    def __init__(self, model, size):
        random = np.random.default_rng(0)
        images = random.uniform(-1.5, 1.5, (BATCH, size, size, 3)).astype(np.float32)
        labels = np.arange(BATCH)
        step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.state = TrainingState(model, SGD(model, momentum=0.9), step)
        self.rate = tf.Variable(0.0, trainable=False)
        marks = np.stack([labels, labels], axis=1)
        self.batches = iter(tf.data.Dataset.from_tensors((images, labels, marks)).repeat())
        gradient = Gradient(
            model, model.trainable_variables, preprocess=lambda x: x, batch_size=BATCH
        )
        self.train = make_train_step(
            tf.distribute.get_strategy(), self.state, gradient,
            schedule=lambda step: self.rate.read_value(),
        )  # fmt: skip

    def losses(self, rate, steps=STEPS):
        """Of each step, from rest."""
        for slot in self.state.optimizer.slots.values():
            slot.assign(tf.zeros(slot.shape))
        self.rate.assign(rate)
        return self.train(self.batches, tf.constant(steps))["loss"].numpy()


@pytest.mark.parametrize("name, options, size", [
    ("cifar_resnet", {"depth": 8}, 8),
    ("cifar_resnet", {"depth": 8, "shortcut": "B"}, 8),
    ("cifar_resnet20", {}, 8),
    *[("cifar_resnet_ordering", {"depth": 8, "ordering": o}, 8)
      for o in ("a", "b", "c", "d", "d_v2", "e", "e_v2")],
    ("cifar_resnet34", {}, 8),
    ("cifar_resnet50", QUARTER, 32),
    ("cifar_resnet18", QUARTER, 16),
    ("resnet18", QUARTER, 33),
    ("resnet18_v2", QUARTER, 33),
    ("resnet50", QUARTER, 33),
    ("ex6_net", QUARTER, 139),
])  # fmt: skip
def test_thirty_steps_on_one_batch_halve_the_loss(name, options, size):
    model = models.create(name, num_classes=10, **options)
    history = Trainer(model, size).losses(rate=0.05)
    assert history[-1] < history[0] / 2


@pytest.mark.parametrize("name, options", [
    ("resnet50_v1", {}), ("resnet50_v2", {}), ("resnet50_v2", {"layout": "keras"}),
    ("resnet50_d", {}), ("se_resnet50", {}), ("resnext50_32x4d", {}), ("wide_resnet50_2", {}),
])  # fmt: skip
def test_variants_of_the_bottleneck_do_so_with_few_blocks_of_each_kind(name, options, monkeypatch):
    monkeypatch.setitem(imagenet.BLOCKS, 50, (1, 2, 1, 1))
    test_thirty_steps_on_one_batch_halve_the_loss(name, options | QUARTER, 33)


@pytest.fixture(scope="module")
def plain():
    """`plain_resnet100` with as many classes as examples, so that chance is ln 8, no less."""
    model = models.create("plain_resnet100", num_classes=BATCH)
    return Trainer(model, 32), {k: v.numpy() for k, v in named_variables(model).items()}


@pytest.mark.parametrize("rate", [1e-7, 1e-6])
def test_without_batch_norm_he_normal_kernels_train(plain, rate):
    trainer, first = plain
    for key, variable in named_variables(trainer.state.model).items():
        variable.assign(first[key])
    history = trainer.losses(rate)
    assert history[-1] < history[0] / 20


@pytest.mark.parametrize("stddev", [1e-2, 1e-3])
@pytest.mark.parametrize("rate", [1e-3, 1e-2, 1e-1, 1.0])
def test_without_batch_norm_kernels_near_zero_do_not_train(plain, stddev, rate):
    trainer, _ = plain
    random = np.random.default_rng(1)
    for key, variable in named_variables(trainer.state.model).items():
        shape = variable.shape
        kernel = key.endswith("kernel")
        variable.assign(stddev * random.standard_normal(shape) if kernel else tf.zeros(shape))
    np.testing.assert_allclose(trainer.losses(rate), np.log(BATCH), atol=0.01)
