import numpy as np
import pytest
import tensorflow as tf

from resnet_tf.layers import Dense, zeros
from resnet_tf.training.optimizers import SGD


class Model(tf.Module):
    """One weight that decays and one that does not."""

    def __init__(self, kernel=1.0, bias=2.0):
        super().__init__()
        self.dense = Dense(1, 1, init=zeros)
        self.dense.kernel.assign([[kernel]])
        self.dense.bias.assign([bias])

    @property
    def decayed_variables(self):
        return [self.dense.kernel]

    def values(self):
        return self.dense.kernel.numpy().item(), self.dense.bias.numpy().item()


def run(optimizer, model, gradients, rate=0.5):
    variables = [model.dense.kernel, model.dense.bias]
    for of_kernel, of_bias in gradients:
        shaped = [tf.constant([[of_kernel]]), tf.constant([of_bias])]
        optimizer.apply(shaped, variables, tf.constant(rate))


def test_three_steps_of_momentum_by_hand():
    model = Model()
    run(SGD(model, momentum=0.5), model, [(1.0, 0.0), (1.0, 4.0), (-2.0, 0.0)])
    # kernel: v = 1, 1.5, -1.25 -> 1 - 0.5, - 0.75, + 0.625; bias: v = 0, 4, 2
    assert model.values() == (0.375, -1.0)


def test_three_steps_of_nesterov_by_hand():
    model = Model()
    run(SGD(model, momentum=0.5, nesterov=True), model, [(1.0, 0.0), (1.0, 4.0), (-2.0, 0.0)])
    # kernel: g + v/2 = 1.5, 1.75, -2.625; bias: 0, 6, 1
    assert model.values() == (1 - 0.5 * (1.5 + 1.75 - 2.625), 2 - 0.5 * 7)


def test_decay_by_hand_only_where_it_is_declared():
    model = Model()
    optimizer = SGD(model, momentum=0.0, weight_decay=0.5)
    run(optimizer, model, [(0.0, 0.0), (1.0, 1.0)])
    # kernel: 1 - 0.5·0.5 = 0.75, then 0.75 - 0.5·(1 + 0.375) = 0.0625; bias: 2 - 0.5
    assert model.values() == (0.0625, 1.5)


@pytest.mark.parametrize("nesterov", [False, True])
def test_agrees_with_another_implementation_over_fifty_random_steps(nesterov):
    keras = pytest.importorskip("keras")
    peer = keras.optimizers.SGD(learning_rate=0.05, momentum=0.9, nesterov=nesterov)
    model, other = Model(), tf.Variable([[1.0]])
    optimizer = SGD(model, momentum=0.9, nesterov=nesterov)
    for gradient in np.random.default_rng(0).normal(size=50).astype(np.float32).tolist():
        run(optimizer, model, [(gradient, 0.0)], rate=0.05)
        peer.apply([tf.constant([[gradient]])], [other])
    np.testing.assert_allclose(model.values()[0], other.numpy().item(), rtol=1e-5)


def test_slots_are_named_after_their_variables_and_start_at_zero():
    optimizer = SGD(Model())
    assert {k: v.numpy().item() for k, v in optimizer.slots.items()} == {
        "dense/kernel": 0.0,
        "dense/bias": 0.0,
    }
