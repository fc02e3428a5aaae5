"""A model of a kernel, which decays, and a bias, which does not; steps by given gradients."""

import numpy as np
import references
import tensorflow as tf

from resnet_tf.layers import Dense, zeros


class Model(tf.Module):
    """Variables `dense/kernel [in, out]` and `dense/bias [out]`; numbers stand for one entry."""

    def __init__(self, kernel=1.0, bias=2.0):
        super().__init__()
        kernel, bias = np.atleast_2d(kernel), np.atleast_1d(bias)
        self.dense = Dense(*kernel.shape, init=zeros)
        self.dense.kernel.assign(kernel)
        self.dense.bias.assign(bias)

    @property
    def decayed_variables(self):
        return [self.dense.kernel]

    @property
    def pair(self):
        return [self.dense.kernel, self.dense.bias]

    def values(self):
        """Kernel and bias, as flat lists."""
        return [variable.numpy().ravel().tolist() for variable in self.pair]


def run(optimizer, model, gradients, rate=0.5):
    """A step for each pair (gradient of the kernel, gradient of the bias)."""
    for pair in gradients:
        shaped = [tf.reshape(tf.constant(g, tf.float32), v.shape) for g, v in zip(pair, model.pair)]
        optimizer.apply(shaped, model.pair, tf.constant(rate))


def wide():
    """Kernel [3, 2] and bias [2] of distinct values."""
    return Model(references.ramp((3, 2)), references.ramp((2,), seed=1))


def noise(steps=50):
    """Pairs of gradients for `wide()`."""
    random = np.random.default_rng(0)
    return [(random.normal(size=(3, 2)), random.normal(size=2)) for _ in range(steps)]


def assert_agrees_with_keras(kind, options, peer, penalty=0.0):
    """Fifty random steps beside a Keras optimizer, whose rate must be 0.05.

    With `penalty`, the peer gets the gradient of penalty/2 · Σ kernel² on top.
    """
    model, twin = wide(), wide()
    optimizer = kind(model, **options)
    if peer.weight_decay:
        peer.exclude_from_weight_decay(var_list=[twin.dense.bias])
    for of_kernel, of_bias in noise():
        run(optimizer, model, [(of_kernel, of_bias)], rate=0.05)
        of_kernel = of_kernel + penalty * twin.dense.kernel.numpy()
        gradients = [tf.constant(g, tf.float32) for g in (of_kernel, of_bias)]
        peer.apply(gradients, twin.pair)
        for ours, theirs in zip(model.pair, twin.pair):
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-5)


def assert_agrees_with_reference(kind, options, reference, told):
    """Fifty random steps beside `reference(weights, gradients, rate, kernel=…, **told)`."""
    model = wide()
    optimizer = kind(model, **options)
    expected = [
        reference(variable.numpy(), gradients, 0.05, kernel=kernel, **told)
        for variable, gradients, kernel in zip(model.pair, zip(*noise()), (True, False))
    ]
    for pair, *after in zip(noise(), *expected, strict=True):
        run(optimizer, model, [pair], rate=0.05)
        for ours, theirs in zip(model.pair, after):
            np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-4, atol=1e-5)
