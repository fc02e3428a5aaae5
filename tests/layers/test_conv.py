import re

import numpy as np
import pytest
import references

from resnet_tf.layers import Conv2D, zeros


def make(channels_in, channels_out, size, **options):
    layer = Conv2D(channels_in, channels_out, size, init=zeros, **options)
    layer.kernel.assign(references.ramp(layer.kernel.shape))
    if layer.bias is not None:
        layer.bias.assign(references.ramp(layer.bias.shape, seed=1))
    return layer


@pytest.mark.parametrize("padding", ["same", "valid", 0, 1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("use_bias", [False, True])
def test_equals_its_definition(padding, stride, size, use_bias):
    layer = make(2, 3, size, stride=stride, padding=padding, use_bias=use_bias)
    x = references.ramp((2, 8, 7, 2), seed=2)
    bias = layer.bias.numpy() if use_bias else None
    expected = references.conv2d(x, layer.kernel.numpy(), stride, padding, bias)
    np.testing.assert_allclose(layer(x).numpy(), expected, atol=1e-5)


def test_same_at_stride_two_differs_from_symmetric_padding():
    x = references.ramp((1, 8, 8, 1))
    same, symmetric = (make(1, 1, 3, stride=2, padding=p)(x).numpy() for p in ("same", 1))
    assert same.shape == symmetric.shape == (1, 4, 4, 1)
    assert np.abs(same - symmetric).max() > 0.1


@pytest.mark.parametrize("padding", ["same", "valid", "symmetric", 2])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_dilation_and_groups_equal_their_definition(padding, stride, dilation, groups):
    layer = make(4, 8, 3, stride=stride, padding=padding, dilation=dilation, groups=groups)
    assert layer.kernel.shape == (3, 3, 4 // groups, 8)
    x = references.ramp((2, 9, 8, 4), seed=2)
    expected = references.conv2d(
        x, layer.kernel.numpy(), stride, padding, dilation=dilation, groups=groups
    )
    np.testing.assert_allclose(layer(x).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 7), (7, 1), (3, 5), (1, 1)])
@pytest.mark.parametrize("padding", ["same", "valid", "symmetric", 1])
@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (1, 2)])
def test_rectangular_kernels_equal_their_definition(size, padding, stride, dilation):
    layer = make(2, 3, size, stride=stride, padding=padding, dilation=dilation)
    assert layer.kernel.shape == (*size, 2, 3)
    x = references.ramp((2, 15, 14, 2), seed=2)
    expected = references.conv2d(x, layer.kernel.numpy(), stride, padding, dilation=dilation)
    np.testing.assert_allclose(layer(x).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("size, pads", [(3, 1), (7, 3), (1, 0)])
@pytest.mark.parametrize("stride", [1, 2])
def test_symmetric_pads_half_of_what_the_window_has_around_its_middle(size, pads, stride):
    x = references.ramp((1, 8, 8, 2))
    symmetric, number = (make(2, 2, size, stride=stride, padding=p)(x) for p in ("symmetric", pads))
    np.testing.assert_array_equal(symmetric.numpy(), number.numpy())
    assert symmetric.shape[1] == 8 // stride


def test_a_dilated_group_written_out_by_hand():
    layer = make(2, 2, (1, 2), padding="valid", dilation=2, groups=2)
    layer.kernel.assign(np.float32([[[[1, 10]], [[100, 1000]]]]))
    x = np.float32([[1, 5], [2, 6], [3, 7], [4, 8]])[None, None]
    expected = [[1 + 300, 50 + 7000], [2 + 400, 60 + 8000]]
    np.testing.assert_array_equal(layer(x).numpy()[0, 0], expected)


@pytest.mark.parametrize("size, dilation, window", [
    (2, 1, r"\(2, 2\)"), ((1, 4), 1, r"\(1, 4\)"), ((2, 3), 3, r"\(4, 7\)"),
])  # fmt: skip
def test_symmetric_refuses_an_even_window(size, dilation, window):
    with pytest.raises(ValueError, match=f"padding 'symmetric' needs an odd window, got {window}"):
        make(1, 1, size, dilation=dilation, padding="symmetric")


@pytest.mark.parametrize("stride, padding, options", [
    (1, "same", {}), (2, 1, {}), (2, "same", {}), (1, "valid", {}),
    (1, "symmetric", {"groups": 2}), (2, "symmetric", {"groups": 2}),
    (1, "symmetric", {"dilation": 2}), (2, "symmetric", {"dilation": 2}),
    (2, "same", {"dilation": 2}), (2, "symmetric", {"dilation": 2, "groups": 2}),
])  # fmt: skip
def test_gradients_equal_central_differences(stride, padding, options):
    import tensorflow as tf

    layer = make(2, 2, 3, stride=stride, padding=padding, use_bias=True, **options)
    x = references.ramp((1, 5, 5, 2), seed=3)
    weights = None

    def loss(images, kernel):
        y = references.conv2d(images, kernel, stride, padding, layer.bias.numpy(), **options)
        return float((y * weights).sum())

    weights = references.ramp(layer(x).shape, seed=4).astype(np.float64)
    variables = [layer.kernel, layer.bias]
    with tf.GradientTape() as tape:
        images = tf.constant(x)
        tape.watch(images)
        total = tf.reduce_sum(layer(images) * tf.constant(weights, tf.float32))
    of_images, of_kernel, of_bias = tape.gradient(total, [images, *variables])
    kernel = layer.kernel.numpy().astype(np.float64)
    expected = references.numeric_gradient(lambda k: loss(x, k), kernel)
    np.testing.assert_allclose(of_kernel.numpy(), expected, atol=1e-4)
    expected = references.numeric_gradient(lambda i: loss(i, kernel), x.astype(np.float64))
    np.testing.assert_allclose(of_images.numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(of_bias.numpy(), weights.sum(axis=(0, 1, 2)), atol=1e-5)


@pytest.mark.parametrize("padding", ["full", "SAME", -1, True, 1.5, None])
def test_another_padding_is_refused(padding):
    message = "padding must be 'same', 'symmetric', 'valid' or an integer of 0 or more, got "
    with pytest.raises(ValueError, match=re.escape(message + repr(padding))):
        make(1, 1, 3, padding=padding)


@pytest.mark.parametrize(
    "sizes, name",
    [((0, 1, 3), "channels_in"), ((1, 0, 3), "channels_out"),
     ((1, 1, 0), "kernel_size"), ((1, 1, (3, 0)), "kernel_size"), ((1, 1, (0, 3)), "kernel_size")],
)  # fmt: skip
def test_a_size_below_one_is_refused(sizes, name):
    with pytest.raises(ValueError, match=f"{name} must be an integer of 1 or more, got 0"):
        make(*sizes)


@pytest.mark.parametrize("name", ["stride", "dilation", "groups"])
@pytest.mark.parametrize("value", [0, -1, 1.5])
def test_a_stride_dilation_or_group_count_below_one_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be an integer of 1 or more, got {value}"):
        make(2, 2, 3, **{name: value})


@pytest.mark.parametrize("channels_in, channels_out", [(4, 6), (6, 4), (3, 3)])
def test_groups_must_divide_the_channels(channels_in, channels_out):
    message = f"groups must divide the channels, got 4 for {channels_in} and {channels_out}"
    with pytest.raises(ValueError, match=message):
        make(channels_in, channels_out, 3, groups=4)


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 8])
@pytest.mark.parametrize("padding", ["same", "valid", "symmetric", 0, 1])
def test_gradients_of_a_1x1_that_strides_over_few_channels(channels, padding):
    """oneDNN's gradient of the kernel is wrong there on CPUs with AVX2, for even sizes."""
    import tensorflow as tf

    layer = make(channels, 4, 1, stride=2, padding=padding)
    x = references.ramp((2, 6, 8, channels), seed=3)
    weights = references.ramp(layer(x).shape, seed=4)
    with tf.GradientTape() as tape:
        images = tf.constant(x)
        tape.watch(images)
        total = tf.reduce_sum(layer(images) * weights)
    of_images, of_kernel = tape.gradient(total, [images, layer.kernel])
    wide = np.pad(x, [(0, 0), *[(padding, padding)] * 2, (0, 0)]) if padding == 1 else x
    expected = np.einsum("nhwi,nhwo->io", wide[:, ::2, ::2].astype(np.float64), weights)
    np.testing.assert_allclose(of_kernel.numpy()[0, 0], expected, atol=1e-4)
    spread = np.zeros(wide.shape)
    spread[:, ::2, ::2] = weights @ layer.kernel.numpy()[0, 0].T.astype(np.float64)
    inside = spread[:, 1:-1, 1:-1] if padding == 1 else spread
    np.testing.assert_allclose(of_images.numpy(), inside, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 8, 12, 15, 16])
def test_the_same_where_onednn_writes_beyond_its_memory(channels):
    """So it does on CPUs with AVX-512, for large pictures."""
    import tensorflow as tf

    layer, x = make(channels, 8, 1, stride=2), references.ramp((16, 56, 56, channels), seed=3)
    weights = references.ramp(layer(x).shape, seed=4)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(x) * weights)
    expected = np.einsum("nhwi,nhwo->io", x[:, ::2, ::2].astype(np.float64), weights)
    found = tape.gradient(total, layer.kernel).numpy()[0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("kind, digits", [("bfloat16", 2**-7), ("float16", 2**-10)])
@pytest.mark.parametrize("size, stride, padding", [
    (3, 1, "same"), (3, 2, 1), (3, 2, "symmetric"), (1, 2, "same"), (1, 2, 0),
])  # fmt: skip
def test_16_bit_inputs_give_16_bit_outputs_and_float32_gradients(
    kind, digits, size, stride, padding
):
    import tensorflow as tf

    layer = make(3, 4, size, stride=stride, padding=padding, use_bias=True)
    x = tf.cast(references.ramp((2, 6, 6, 3), seed=3), kind)
    with tf.GradientTape() as tape:
        y = layer(x)
        total = tf.reduce_sum(tf.cast(y, tf.float32))
    assert y.dtype == x.dtype
    rounded = tf.cast(tf.cast(layer.kernel, kind), tf.float32).numpy()
    seen = tf.cast(x, tf.float32).numpy()
    expected = references.conv2d(seen, rounded, stride, padding, layer.bias.numpy())
    error = np.abs(tf.cast(y, tf.float32).numpy() - expected).max()
    assert error < digits * np.abs(expected).max()
    of_kernel, of_bias = tape.gradient(total, [layer.kernel, layer.bias])
    assert of_kernel.dtype == of_bias.dtype == tf.float32
    assert of_bias.numpy().tolist() == [2 * y.shape[1] * y.shape[2]] * 4
