"""Dense, pooling, initialisers and names."""

import math

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
    truncated_normal,
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


@pytest.mark.parametrize("padding", ["valid", 1, "same", "symmetric"])
@pytest.mark.parametrize("length", [7, 8])
def test_max_pool_leaves_the_padding_out(padding, length):
    x = references.ramp((2, length, 8, 3)) - 5  # negative: a zero from the padding would win
    expected = references.max_pool(x, 3, 2, padding)
    np.testing.assert_array_equal(max_pool(x, 3, 2, padding).numpy(), np.float32(expected))


@pytest.mark.parametrize("size, padding", [(2, 1), (3, 1), (4, 2), (5, 2)])
@pytest.mark.parametrize("rectified", [False, True])
def test_max_pool_with_paddings_up_to_half_of_the_window(size, padding, rectified):
    x = references.ramp((2, 7, 8, 3)) - 5
    x = np.maximum(x, 0) if rectified else x
    found = max_pool(x, size, 2, padding, rectified).numpy()
    np.testing.assert_array_equal(found, np.float32(references.max_pool(x, size, 2, padding)))


@pytest.mark.parametrize("rectified", [False, True])
def test_max_pool_refuses_more_padding(rectified):
    with pytest.raises(ValueError, match="padding must be at most half of size 3, got 2"):
        max_pool(np.zeros((1, 4, 4, 1), np.float32), 3, 2, 2, rectified)


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize("kind", ["float32", "bfloat16", "float16"])
def test_max_pool_compiled_by_xla(rectified, kind):
    """Of the op with padding of its own XLA knows nothing."""
    import tensorflow as tf

    x = tf.cast(references.ramp((2, 7, 8, 3)), kind)
    x = tf.nn.relu(x) if rectified else x - 5

    def pooled(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = max_pool(x, 3, 2, padding=1, rectified=rectified)
        return y, tape.gradient(y, x)

    y, gradient = tf.function(pooled, jit_compile=True)(x)
    expected = references.max_pool(tf.cast(x, tf.float64).numpy(), 3, 2, 1)
    np.testing.assert_array_equal(tf.cast(y, tf.float64).numpy(), expected)
    assert tf.reduce_sum(tf.cast(gradient, tf.float32)).numpy() == y.numpy().size


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("size, stride", [(3, 1), (2, 2)])
@pytest.mark.parametrize("length", [5, 6])
def test_average_pool_leaves_the_padding_out_of_the_mean(padding, size, stride, length):
    x = references.ramp((2, length, 6, 3)) + 5
    expected = references.average_pool(x, size, stride, padding)
    np.testing.assert_allclose(average_pool(x, size, stride, padding).numpy(), expected, rtol=1e-5)


def test_same_pools_written_out_by_hand():
    x = np.float32([[1, 2, 3], [4, 5, 6], [7, 8, 10]])[None, :, :, None]
    averages = [[(1 + 2 + 4 + 5) / 4, (3 + 6) / 2], [(7 + 8) / 2, 10]]
    np.testing.assert_array_equal(average_pool(x, 2, 2, "same").numpy()[0, :, :, 0], averages)
    np.testing.assert_array_equal(max_pool(x, 2, 2, "same").numpy()[0, :, :, 0], [[5, 6], [8, 10]])


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


@pytest.mark.parametrize("shape, fan", [
    ((3, 3, 64, 128), 3 * 3 * 64), ((1, 7, 64, 256), 7 * 64), ((300, 400), 300),
])  # fmt: skip
def test_truncated_normal_has_variance_two_over_fan_in(shape, fan):
    values = truncated_normal(0)(shape).numpy()
    # Of a normal cut at two standard deviations, the mean square varies less than of a whole
    # one, √(2 / n) of itself.
    assert abs(values.var() * fan / 2 - 1) < 4 * np.sqrt(2 / values.size)
    assert abs(values.mean()) < 4 * np.sqrt(2 / fan / values.size)


def test_truncated_normal_is_cut_at_two_standard_deviations():
    values = truncated_normal(0)((3, 3, 64, 128)).numpy()
    # A standard normal cut at c has variance 1 - 2 c φ(c) / (2 Φ(c) - 1).
    density = math.exp(-2) / math.sqrt(2 * math.pi)
    variance = 1 - 2 * 2 * density / math.erf(2 / math.sqrt(2))
    cut = 2 * math.sqrt(2 / (3 * 3 * 64) / variance)
    largest = np.abs(values).max()
    assert 0.99 * cut < largest <= cut * (1 + 1e-6)


def test_truncated_normal_is_a_function_of_seed_and_call():
    first, again, other = truncated_normal(1), truncated_normal(1), truncated_normal(2)
    a, b = first((3, 4)).numpy(), first((3, 4)).numpy()
    np.testing.assert_array_equal(a, again((3, 4)).numpy())
    np.testing.assert_array_equal(b, again((3, 4)).numpy())
    assert not np.isclose(a, b).any() and not np.isclose(a, other((3, 4)).numpy()).any()


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
