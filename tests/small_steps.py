"""Training steps of a network without a corner: one replica and two differ by rounding alone."""

import numpy as np
import references

from resnet_tf import models
from resnet_tf.layers import BatchNorm, Conv2D, Dense, drop_path, he_normal, named_variables
from resnet_tf.training import schedules
from resnet_tf.training.averaging import Average
from resnet_tf.training.gradient import Gradient
from resnet_tf.training.optimizers import SGD
from resnet_tf.training.step import TrainingState, make_train_step

import tensorflow as tf  # isort: skip

BATCH, CLASSES, SIDE, CHANNELS = 8, 4, 4, 6
ONE = tf.distribute.get_strategy()  # no strategy: one replica


class Smooth(models.Classifier):
    """A convolution, a batch norm where asked for, and a branch, all through tanh."""

    def __init__(self, norm=True, sync=False, dropout=0.0, stochastic_depth=0.0):
        super().__init__(models.Classifier.Options(num_classes=CLASSES, dropout=dropout))
        init, self._rate = he_normal(0), stochastic_depth
        self.stem = Conv2D(3, CHANNELS, 3, init=init)
        self.stem_norm = BatchNorm(CHANNELS, synchronized=sync) if norm else None
        self.stage1 = Conv2D(CHANNELS, CHANNELS, 3, init=init, use_bias=True)
        self.head = Dense(CHANNELS, CLASSES, init=init)

    def features(self, images, training):
        x = self.stem(images)
        x = tf.tanh(self.stem_norm(x, training) if self.stem_norm else x)
        branch = drop_path(tf.tanh(self.stage1(x)), self._rate, training)
        return {"stem": x, "final": x + branch}


def pictures(steps=1, seed=0):
    """Float pictures, `[steps * BATCH, SIDE, SIDE, 3]`."""
    return references.ramp((steps * BATCH, SIDE, SIDE, 3), -2, 2, seed)


def labels(steps=1):
    return np.arange(steps * BATCH) * 7 % CLASSES


def soft_labels(steps=1):
    rows = references.ramp((steps * BATCH, CLASSES), 0.1, 1, seed=9)
    return rows / rows.sum(axis=1, keepdims=True)


def batches(strategy, images, targets):
    """An iterator over whole batches, each cut into the replicas' shares."""
    share = BATCH // strategy.num_replicas_in_sync
    marks = np.stack([np.arange(len(images)), np.arange(len(images)) + 1000], axis=1)
    data = tf.data.Dataset.from_tensor_slices(tuple(
        x.reshape(-1, share, *x.shape[1:]) for x in (images, targets, marks)
    ))  # fmt: skip
    if strategy is ONE:
        return iter(data)
    return iter(strategy.distribute_datasets_from_function(lambda context: data))


def start(
    strategy, *, network=Smooth, optimizer=SGD, ema=None, scale=None, of_gradient=None,
    rate=0.1, clip=None, **told,
):  # fmt: skip
    """State and step; `network`, `optimizer`, `scale` and `clip` are made of what they are for."""
    with strategy.scope():
        model = network()
        state = TrainingState(
            model, optimizer(model), tf.Variable(0, dtype=tf.int64, trainable=False)
        )
        if ema:
            state.average = Average(model, network(), ema)
        if scale:
            state.loss_scale = scale()
    gradient = Gradient(
        model,
        model.trainable_variables,
        **{"preprocess": lambda x: x, "batch_size": BATCH, **(of_gradient or {})},
    )
    train = make_train_step(
        strategy,
        state,
        gradient,
        schedule=schedules.constant(rate),
        clip=clip(model) if clip else None,
        **told,
    )
    return state, train


def everything(state):
    """All that is kept from step to step, by name: NumPy arrays."""
    average = state.average.state if state.average else {}
    slots = {f"slot/{name}": v for name, v in state.optimizer.state.items()}
    named = {**named_variables(state.model), **slots, **average, **state.loss_scale.state}
    return {name: variable.numpy() for name, variable in named.items()}


def after(strategy, images=None, targets=None, *, steps=1, **told):
    """How far every variable moved in some steps, by name, and what the call returned."""
    state, train = start(strategy, **told)
    before = everything(state)
    images = pictures(steps) if images is None else images
    targets = labels(steps) if targets is None else targets
    health = train(batches(strategy, images, targets), tf.constant(steps))
    assert train.experimental_get_tracing_count() == 1
    moves = {name: value - before[name] for name, value in everything(state).items()}
    return moves, {name: values.numpy() for name, values in health.items()}


def apart(one, two):
    """The difference of two sets of moves, as vectors, over the length of the first."""
    assert one.keys() == two.keys()
    one, two = (
        np.concatenate([np.ravel(moves[k]).astype(np.float64) for k in sorted(moves)])
        for moves in (one, two)
    )
    return np.linalg.norm(one - two) / np.linalg.norm(one)
