"""Dense, pooling, initialisers and names."""

import numpy as np
import pytest
import references
import tensorflow as tf

from resnet_tf.layers import (
    Dense,
    average_pool,
    global_average_pool,
    he_normal,
    max_pool,
    named_variables,
    ones,
    zeros,
)


def test_dense_equals_its_formula_and_gradient():
    layer = Dense(3, 2, init=zeros)
    layer.kernel.assign(references.ramp((3, 2)))
    layer.bias.assign([0.5, -2.0])
    x = references.ramp((4, 3), seed=1)
    np.testing.assert_allclose(layer(x).numpy(), x @ layer.kernel.numpy() + [0.5, -2.0], atol=1e-6)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(x))
    of_kernel, of_bias = tape.gradient(total, [layer.kernel, layer.bias])
    np.testing.assert_allclose(of_kernel.numpy(), np.tile(x.sum(axis=0)[:, None], 2), atol=1e-6)
    np.testing.assert_allclose(of_bias.numpy(), [4, 4])


def test_dense_refuses_a_size_below_one():
    with pytest.raises(ValueError, match="sizes must be 1 or more, got 0 and 2"):
        Dense(0, 2, init=zeros)


def pooled(x, size, stride, reduce, pads=(0, 0), fill=np.nan):
    x = np.pad(x, [(0, 0), pads, pads, (0, 0)], constant_values=fill)
    steps = [(length - size) // stride + 1 for length in x.shape[1:3]]
    rows = [
        [reduce(x[:, i * stride :, j * stride :][:, :size, :size], axis=(1, 2))
         for j in range(steps[1])]
        for i in range(steps[0])
    ]  # fmt: skip
    return np.moveaxis(np.array(rows), 2, 0)


@pytest.mark.parametrize("padding, pads", [("valid", (0, 0)), (1, (1, 1)), ("same", (0, 1))])
def test_max_pool_leaves_the_padding_out(padding, pads):
    x = references.ramp((2, 8, 8, 3)) - 5  # all negative: a zero from the padding would win
    expected = pooled(x, 3, 2, np.nanmax, pads)
    np.testing.assert_array_equal(max_pool(x, 3, 2, padding).numpy(), expected)


@pytest.mark.parametrize("padding, pads", [("valid", (0, 0)), ("same", (1, 1))])
def test_average_pool_leaves_the_padding_out_of_the_mean(padding, pads):
    x = references.ramp((2, 6, 6, 3)) + 5
    expected = pooled(x, 3, 1, np.nanmean, pads)
    np.testing.assert_allclose(average_pool(x, 3, 1, padding).numpy(), expected, rtol=1e-5)


def test_global_average_pool_is_the_mean_over_positions():
    x = references.ramp((2, 4, 3, 5))
    np.testing.assert_allclose(global_average_pool(x).numpy(), x.mean(axis=(1, 2)), atol=1e-6)


@pytest.mark.parametrize("mode, fan", [("fan_in", 3 * 3 * 64), ("fan_out", 3 * 3 * 128)])
def test_he_normal_has_variance_two_over_fan(mode, fan):
    values = he_normal(0, mode)((3, 3, 64, 128)).numpy()
    assert abs(values.mean()) < 4 * np.sqrt(2 / fan / values.size)
    assert abs(values.var() * fan / 2 - 1) < 0.02


def test_he_normal_is_a_function_of_seed_and_call():
    first, again, other = he_normal(1), he_normal(1), he_normal(2)
    a, b = first((3, 4)).numpy(), first((3, 4)).numpy()
    np.testing.assert_array_equal(a, again((3, 4)).numpy())
    np.testing.assert_array_equal(b, again((3, 4)).numpy())
    assert not np.isclose(a, b).any() and not np.isclose(a, other((3, 4)).numpy()).any()


def test_he_normal_refuses_another_mode():
    with pytest.raises(ValueError, match="mode must be 'fan_in' or 'fan_out', got 'fan'"):
        he_normal(0, "fan")


def test_zeros_and_ones():
    assert (zeros((2, 3)).numpy() == 0).all() and (ones((2, 3)).numpy() == 1).all()


class Tree(tf.Module):
    def __init__(self):
        super().__init__()
        self.b = [Dense(1, 1, init=zeros), Dense(1, 1, init=zeros)]
        self.a = tf.Variable(1.0)
        self.again = self.a
        self._hidden = tf.Variable(2.0)


def test_variables_are_named_by_the_path_that_leads_to_them():
    names = named_variables(Tree())
    assert list(names) == ["a", "b/0/bias", "b/0/kernel", "b/1/bias", "b/1/kernel"]
    assert names["a"].numpy() == 1.0
