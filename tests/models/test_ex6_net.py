"""`ex6_net` against the table of its rows and against NumPy."""

import functools

import numpy as np
import pytest
import references
import tensorflow as tf
from references import Layers, relu

from resnet_tf import models
from resnet_tf.layers import BatchNorm, Conv2D, NoiseStream, named_variables
from resnet_tf.models import count_parameters

# Every convolution: kernel's height and width, channels in, channels out.
CONVOLUTIONS = {
    "conv1a": (3, 3, 3, 32),
    "conv2a": (3, 3, 32, 32),
    "conv2b": (3, 3, 32, 64),
    "concat3a/branch1/conv0a": (3, 3, 64, 96),  # beside the pool's 64: 160
    "concat4a/branch0/conv0a": (1, 1, 160, 64),
    "concat4a/branch0/conv1a": (3, 3, 64, 96),
    "concat4a/branch1/conv0a": (1, 1, 160, 64),
    "concat4a/branch1/conv0b": (1, 7, 64, 64),
    "concat4a/branch1/conv0c": (7, 1, 64, 64),
    "concat4a/branch1/conv1a": (3, 3, 64, 96),  # 96 + 96 = 192
    "concat5a/branch0/conv1a": (3, 3, 192, 192),  # beside the pool's 192: 384
    "concat5b/branch0/conv0a": (1, 1, 384, 96),
    "concat5b/branch1/conv0a": (1, 1, 384, 48),
    "concat5b/branch1/conv0b": (3, 3, 48, 96),
    "concat5b/branch2/conv0a": (1, 1, 384, 64),
    "concat5b/branch2/conv0b": (3, 3, 64, 96),
    "concat5b/branch2/conv0c": (3, 3, 96, 96),
    "concat5b/branch3/conv0b": (1, 1, 384, 96),  # 4 · 96 = 384
    "concat5c/branch0/conv0a": (1, 1, 384, 96),
    "concat5c/branch1/conv0a": (1, 1, 384, 48),
    "concat5c/branch1/conv0b": (3, 3, 48, 96),
    "concat5c/branch2/conv0a": (1, 1, 384, 64),
    "concat5c/branch2/conv0b": (3, 3, 64, 96),
    "concat5c/branch2/conv0c": (3, 3, 96, 96),
    "concat5c/branch3/conv0b": (1, 1, 384, 96),
    "concat6a/branch0/conv1a": (3, 3, 384, 384),
    "concat6a/branch1/conv0a": (1, 1, 384, 192),
    "concat6a/branch1/conv0b": (3, 3, 192, 224),
    "concat6a/branch1/conv1a": (3, 3, 224, 256),  # beside the pool's 384: 1024
    "conv3a": (3, 3, 1024, 384),
    "conv4a": (3, 3, 384, 300),
}
HEAD = (300, 20)

SIZES = {  # for 299x299
    "conv1a": (149, 149, 32), "conv2a": (147, 147, 32), "conv2b": (147, 147, 64),
    "concat3a": (73, 73, 160), "concat4a": (71, 71, 192), "concat5a": (35, 35, 384),
    "concat5b": (35, 35, 384), "concat5c": (35, 35, 384), "concat6a": (17, 17, 1024),
    "conv3a": (8, 8, 384), "conv4a": (3, 3, 300), "final": (3, 3, 300),
}  # fmt: skip


@functools.cache
def full():
    return models.create("ex6_net")


@functools.cache
def small():
    """An eighth of the width, filled with values that no two operations share."""
    model = models.create("ex6_net", width_multiplier=1 / 8, num_classes=5)
    references.fill(named_variables(model), kernels=None)
    return model


def test_parameters_variable_by_variable():
    kernels = sum(int(np.prod(shape)) for shape in CONVOLUTIONS.values())
    channels = sum(shape[3] for shape in CONVOLUTIONS.values())
    head = HEAD[0] * HEAD[1] + HEAD[1]
    offsets, statistics = channels, 2 * channels
    trainable = kernels + offsets + head
    assert count_parameters(full()) == (trainable + statistics, trainable)
    moving = [v for name, v in named_variables(full()).items() if "/moving_" in name]
    assert sum(int(np.prod(v.shape)) for v in moving) == statistics
    assert len(full().variables) == 4 * len(CONVOLUTIONS) + 2
    assert len(full().trainable_variables) == 2 * len(CONVOLUTIONS) + 2


def test_names_and_shapes_of_all_variables():
    expected = {"head/kernel": HEAD, "head/bias": HEAD[1:]}
    for name, shape in CONVOLUTIONS.items():
        expected[f"{name}/conv/kernel"] = shape
        for part in ("offset", "moving_mean", "moving_variance"):
            expected[f"{name}/norm/{part}"] = shape[3:]
    assert {n: tuple(v.shape) for n, v in named_variables(full()).items()} == expected


def sizes(model, side):
    images = tf.TensorSpec([None, side, side, 3])
    traced = tf.function(lambda x: model.features(x, False), autograph=False).get_concrete_function(
        images
    )
    # A dictionary that leaves a trace is sorted by its keys.
    return {name: tuple(x.shape[1:]) for name, x in traced.structured_outputs.items()}


def test_sizes_at_299_are_those_of_the_table():
    assert sizes(full(), 299) == SIZES
    assert models.usual_preprocessing("ex6_net").height == 299


def test_feature_maps_come_in_order():
    assert list(small().features(tf.zeros([1, 139, 139, 3]), False)) == list(SIZES)


def test_139_pixels_are_the_fewest_that_leave_one():
    assert models.create("ex6_net", width_multiplier=1 / 8).smallest_image == 139
    assert sizes(small(), 139)["final"][:2] == (1, 1)
    with pytest.raises(ValueError, match=r"[Nn]egative dimension"):
        sizes(small(), 138)


# --- numbers


def conv(r, path, x, stride=1, padding="same"):
    return relu(r.norm(f"{path}.norm", r.conv(f"{path}.conv", x, stride, padding=padding)))


def halved(x):
    return references.max_pool(x, 3, 2, "valid")


def concat3a(r, x):
    return [halved(x), conv(r, "branch1.conv0a", x, 2, "valid")]


def concat4a(r, x):
    first = conv(r, "branch0.conv1a", conv(r, "branch0.conv0a", x), 1, "valid")
    second = conv(r, "branch1.conv0b", conv(r, "branch1.conv0a", x))
    second = conv(r, "branch1.conv1a", conv(r, "branch1.conv0c", second), 1, "valid")
    return [first, second]


def concat5a(r, x):
    return [conv(r, "branch0.conv1a", x, 2, "valid"), halved(x)]


def concat5b(r, x):
    return [
        conv(r, "branch0.conv0a", x),
        conv(r, "branch1.conv0b", conv(r, "branch1.conv0a", x)),
        conv(r, "branch2.conv0c", conv(r, "branch2.conv0b", conv(r, "branch2.conv0a", x))),
        conv(r, "branch3.conv0b", references.average_pool(x, 3, 1, "same")),
    ]


def concat6a(r, x):
    deeper = conv(r, "branch1.conv0b", conv(r, "branch1.conv0a", x))
    return [
        conv(r, "branch0.conv1a", x, 2, "valid"),
        conv(r, "branch1.conv1a", deeper, 2, "valid"),
        halved(x),
    ]


CONCATENATIONS = {
    "concat3a": concat3a, "concat4a": concat4a, "concat5a": concat5a, "concat5b": concat5b,
    "concat5c": concat5b, "concat6a": concat6a,
}  # fmt: skip
BEFORE = dict(zip(list(SIZES)[1:], SIZES))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [(9, 8), (7, 11)])
@pytest.mark.parametrize("name", CONCATENATIONS)
def test_each_concatenation_computes_its_row_in_this_order(name, size, training):
    module = getattr(small(), name)
    channels = SIZES[BEFORE[name]][2] // 8
    x = references.ramp((3, *size, channels), -2, 2, seed=99)
    r = Layers(module, training, epsilon=1e-3)
    parts = CONCATENATIONS[name](r, x.astype(np.float64))
    assert sum(part.shape[3] for part in parts) == SIZES[name][2] // 8
    found = module(x, training).numpy()
    np.testing.assert_allclose(found, np.concatenate(parts, axis=3), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name, stride, padding", [
    ("conv1a", 2, "valid"), ("conv2a", 1, "valid"), ("conv2b", 1, "same"),
    ("conv3a", 2, "valid"), ("conv4a", 2, "valid"),
])  # fmt: skip
def test_each_plain_convolution_computes_its_row(name, stride, padding, training):
    module = getattr(small(), name)
    x = references.ramp((2, 8, 7, module.conv.kernel.shape[2]), -2, 2, seed=99)
    expected = conv(Layers(small(), training, epsilon=1e-3), name, x, stride, padding)
    np.testing.assert_allclose(module(x, training).numpy(), expected, rtol=1e-3, atol=1e-3)


def test_rows_follow_each_other_and_the_mean_goes_to_the_head():
    images = references.ramp((2, 203, 203, 3), seed=98)  # 203 leaves 2 by 2
    features = {n: x.numpy() for n, x in small().features(images, False).items()}
    x = images
    for name in list(SIZES)[:-1]:
        x = getattr(small(), name)(x, training=False).numpy()
        np.testing.assert_array_equal(features[name], x, err_msg=name)
    assert x.shape[1:3] == (2, 2)
    np.testing.assert_array_equal(features["final"], x)
    logits = Layers(small(), False).dense("head", x.mean(axis=(1, 2)))
    found = small()(images, False).numpy()
    np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-4 * np.abs(logits).max())


# --- what its source chose


def test_no_batch_norm_has_a_scale_and_no_convolution_a_bias():
    norms = [m for m in full().submodules if isinstance(m, BatchNorm)]
    convolutions = [m for m in full().submodules if isinstance(m, Conv2D)]
    assert len(norms) == len(convolutions) == len(CONVOLUTIONS)
    assert all(norm.scale is None for norm in norms)
    assert all(convolution.bias is None for convolution in convolutions)
    assert {(norm.momentum, norm.epsilon) for norm in norms} == {(0.9997, 1e-3)}
    assert not any("scale" in name for name in named_variables(full()))


def test_options_of_batch_norms_reach_every_one():
    model = models.create(
        "ex6_net", width_multiplier=1 / 8, norm_momentum=0.5, norm_epsilon=0.1,
        sync_batch_norm=True,
    )  # fmt: skip
    norms = [m for m in model.submodules if isinstance(m, BatchNorm)]
    assert {(n.momentum, n.epsilon, n.synchronized) for n in norms} == {(0.5, 0.1, True)}


def test_dropout_keeps_eighty_percent_by_default():
    assert full().options.dropout == 0.2 and full().options.num_classes == 20
    model = models.create("ex6_net", width_multiplier=1 / 2, num_classes=150)
    model.head.kernel.assign(np.eye(150))  # 300 / 2 features
    model.head.bias.assign(np.ones(150))  # which no dropout may touch
    images = references.ramp((2, 139, 139, 3), seed=98)
    pooled = model.features(images, True)["final"].numpy().mean(axis=(1, 2))
    with NoiseStream(0, 0):
        logits = model(images, True).numpy()
    alive = pooled > 1e-3
    assert alive.sum() > 60
    kept = logits[alive] != 1
    assert abs(kept.mean() - 0.8) < 4 * np.sqrt(0.8 * 0.2 / alive.sum())
    np.testing.assert_allclose(logits[alive][kept], pooled[alive][kept] / 0.8 + 1, rtol=1e-3)


@pytest.mark.parametrize("name", ["concat6a/branch1/conv1a", "concat4a/branch1/conv0b", "conv4a"])
def test_kernels_have_variance_two_over_fan_in_and_are_cut(name):
    values = named_variables(full())[f"{name}/conv/kernel"].numpy()
    fan = np.prod(CONVOLUTIONS[name][:3])
    assert abs(values.var() * fan / 2 - 1) < 5 * np.sqrt(2 / values.size)
    # Cut at two standard deviations of a normal that is 1 / 0.8796 times as wide.
    assert np.abs(values).max() < 2.28 * np.sqrt(2 / fan)


def test_kernels_decay_and_nothing_else():
    names = named_variables(full())
    decayed = {id(v) for v in full().decayed_variables}
    assert len(decayed) == len(full().decayed_variables) == len(CONVOLUTIONS) + 1
    found = {name for name, variable in names.items() if id(variable) in decayed}
    assert found == {name for name in names if name.endswith("/kernel")}


def test_width_channels_and_classes():
    model = models.create("ex6_net", width_multiplier=1 / 4, channels=1, num_classes=3)
    shapes = {name: tuple(v.shape) for name, v in named_variables(model).items()}
    assert shapes["conv1a/conv/kernel"] == (3, 3, 1, 8)
    assert shapes["conv3a/conv/kernel"] == (3, 3, 1024 // 4, 384 // 4)
    assert shapes["head/kernel"] == (300 // 4, 3)


@pytest.mark.parametrize("option", ["depth", "use_bias", "stochastic_depth"])
def test_an_option_that_it_does_not_have_is_refused(option):
    with pytest.raises(TypeError, match=option):
        models.create("ex6_net", **{option: 1})


def test_dropout_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        models.create("ex6_net", dropout=1)
