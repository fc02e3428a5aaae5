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


@pytest.mark.parametrize("stride, padding", [(1, "same"), (2, 1), (2, "same"), (1, "valid")])
def test_gradients_equal_central_differences(stride, padding):
    import tensorflow as tf

    layer = make(2, 2, 3, stride=stride, padding=padding, use_bias=True)
    x = references.ramp((1, 5, 5, 2), seed=3)
    weights = None

    def loss(images, kernel):
        y = references.conv2d(images, kernel, stride, padding, layer.bias.numpy())
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


@pytest.mark.parametrize("padding", ["full", -1, True, 1.5])
def test_another_padding_is_refused(padding):
    with pytest.raises(
        ValueError, match="padding must be 'same', 'symmetric', 'valid' or an integer of 0"
    ):
        make(1, 1, 3, padding=padding)


@pytest.mark.parametrize(
    "sizes, name",
    [((0, 1, 3, 1), "channels_in"), ((1, 0, 3, 1), "channels_out"),
     ((1, 1, 0, 1), "kernel_size"), ((1, 1, 3, 0), "stride")],
)  # fmt: skip
def test_a_size_below_one_is_refused(sizes, name):
    *positional, stride = sizes
    with pytest.raises(ValueError, match=f"{name} must be an integer of 1 or more, got 0"):
        make(*positional, stride=stride)
