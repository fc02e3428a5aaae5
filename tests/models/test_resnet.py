"""Residual networks for ImageNet, post-activation and pre-activation, against NumPy."""

import functools
import math

import numpy as np
import pytest
import references
import tensorflow as tf
from references import Layers, relu

from resnet_tf import models
from resnet_tf.layers import BatchNorm, Conv2D, NoiseStream, named_variables
from resnet_tf.models import count_parameters

# Table 1 of arXiv 1512.03385; 200 is that of arXiv 1603.05027.
BLOCKS = {
    18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}  # fmt: skip

# name -> depth and what differs from the paper's network
NAMES = {
    **{f"resnet{depth}": {"depth": depth} for depth in BLOCKS},
    **{f"resnet{depth}_v1": {"depth": depth} for depth in BLOCKS},
    **{f"resnet{depth}_v2": {"depth": depth, "kind": "v2"} for depth in BLOCKS},
    **{f"resnet{depth}_d": {"depth": depth, "kind": "d"} for depth in BLOCKS},
    **{f"se_resnet{depth}": {"depth": depth, "kind": "se"} for depth in (50, 101, 152)},
    "resnext50_32x4d": {"depth": 50, "groups": 32, "group_width": 4},
    "resnext101_32x4d": {"depth": 101, "groups": 32, "group_width": 4},
    "resnext101_32x8d": {"depth": 101, "groups": 32, "group_width": 8},
    "resnext101_64x4d": {"depth": 101, "groups": 64, "group_width": 4},
    "wide_resnet50_2": {"depth": 50, "group_width": 128},
    "wide_resnet101_2": {"depth": 101, "group_width": 128},
}


def test_every_name_for_imagenet_is_counted_here():
    patterns = ("resnet*", "se_*", "resnext*", "wide_*")
    assert sorted(NAMES) == sorted(name for p in patterns for name in models.names(p))


# --- parameters


def conv(size, channels_in, channels, groups=1, bias=False):
    return size * size * channels_in // groups * channels + bias * channels


def norm(channels):
    """All of a batch norm, and what of it is trained."""
    return np.array([4 * channels, 2 * channels])


def counted(depth, kind="", groups=1, group_width=64, width=64, channels=3, classes=1000):
    """(total, trainable), layer by layer; `kind` is v2, keras (a layout of v2), d or se."""
    v2, biases = kind in ("v2", "keras"), kind == "keras"
    if kind == "d":
        half = width // 2
        count = conv(3, channels, half) + norm(half) + conv(3, half, half) + norm(half)
        count += conv(3, half, width) + norm(width)
    else:
        count = conv(7, channels, width, bias=biases) + (0 if v2 else norm(width))
    c_in = width
    for stage, blocks in enumerate(BLOCKS[depth]):
        c = width * 2**stage
        inner, out = (c, c) if depth < 50 else (c * group_width // 64 * groups, 4 * c)
        for _ in range(blocks):
            if depth < 50:
                count = count + conv(3, c_in, c) + conv(3, c, c, bias=biases)
                count += norm(c_in) + norm(c) if v2 else norm(c) + norm(c)
            else:
                count = count + conv(1, c_in, inner) + conv(3, inner, inner, groups)
                count += conv(1, inner, out, bias=biases) + norm(inner)
                count += norm(c_in) + norm(inner) if v2 else norm(inner) + norm(out)
            if kind == "se":
                count += conv(1, out, out // 16, bias=True) + conv(1, out // 16, out, bias=True)
            if c_in != out:
                count += conv(1, c_in, out, bias=biases) + (0 if v2 else norm(out))
            c_in = out
    count += norm(c_in) if v2 else 0
    return tuple(count + c_in * classes + classes)


def count_of(name, **options):
    """Of a network whose variables are described and never filled."""
    with tf.Graph().as_default():
        return count_parameters(models.create(name, **options))


PUBLISHED = {  # trainable, 1000 classes
    "resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032,
    "resnet101": 44_549_160, "resnet152": 60_192_808, "resnet50_v1": 25_557_032,
    "resnext50_32x4d": 25_028_904, "resnext101_32x8d": 88_791_336,
    "resnext101_64x4d": 83_455_272, "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_trainable_parameters_are_the_published_ones(name):
    assert count_of(name)[1] == PUBLISHED[name] == counted(**NAMES[name])[1]


@pytest.mark.parametrize("name, options, published", [
    ("resnet50_v1", {"use_bias": True}, (25_636_712, 25_583_592)),
    ("resnet50_v2", {"layout": "keras"}, (25_613_800, 25_568_360)),
    ("resnet101_v2", {"layout": "keras"}, (44_675_560, 44_577_896)),
    ("resnet152_v2", {"layout": "keras"}, (60_380_648, 60_236_904)),
])  # fmt: skip
def test_parameters_of_the_keras_forms_are_those_that_keras_publishes(name, options, published):
    assert count_of(name, **options) == published


@pytest.mark.parametrize("name", NAMES)
def test_parameters_of_every_name_by_arithmetic(name):
    expected = counted(**NAMES[name], width=16, channels=1, classes=7)
    options = {"width_multiplier": 1 / 4, "channels": 1, "num_classes": 7}
    assert count_parameters(models.create(name, **options)) == expected


@pytest.mark.parametrize("depth", BLOCKS)
def test_parameters_of_the_keras_layout_by_arithmetic(depth):
    expected = counted(depth, "keras", width=16)
    model = models.create(f"resnet{depth}_v2", layout="keras", width_multiplier=1 / 4)
    assert count_parameters(model) == expected


@pytest.mark.parametrize("name", ["resnet50_d", "resnet50_v2", "se_resnet50", "resnet18_d"])
def test_parameters_at_full_width_by_arithmetic(name):
    assert count_of(name) == counted(**NAMES[name])


# --- numbers: blocks and whole networks in NumPy


def shortcut(r, x, y, stride):
    if stride == 1 and x.shape[3] == y.shape[3]:
        return x
    return r.norm("shortcut.norm", r.conv("shortcut.conv", x, stride))


def pooled_shortcut(r, x, y, stride):
    if stride == 1:
        return shortcut(r, x, y, stride)
    x = references.average_pool(x, 2, 2, "same")
    return r.norm("shortcut.norm", r.conv("shortcut.conv", x))


def basic(r, x, stride=1, dilations=(1, 1), kept=1, shortcut=shortcut):
    y = relu(r.norm("norm1", r.conv("conv1", x, stride, dilations[0])))
    y = r.norm("norm2", r.conv("conv2", y, 1, dilations[1]))
    return relu(kept * y + shortcut(r, x, y, stride))


def excite(r, y):
    factors = relu(r.conv("excitation.squeeze", y.mean(axis=(1, 2), keepdims=True)))
    return y * references.sigmoid(r.conv("excitation.excite", factors))


def bottleneck(r, x, stride=1, dilations=(1, 1), kept=1, *,
               strides_first=False, groups=1, shortcut=shortcut, weigh=lambda r, y: y):  # fmt: skip
    stride1, stride2 = (stride, 1) if strides_first else (1, stride)
    y = relu(r.norm("norm1", r.conv("conv1", x, stride1)))
    y = relu(r.norm("norm2", r.conv("conv2", y, stride2, dilations[0], groups)))
    y = weigh(r, r.norm("norm3", r.conv("conv3", y)))
    return relu(kept * y + shortcut(r, x, y, stride))


def pre_activated_shortcut(r, x, activated, y, stride):
    if x.shape[3] != y.shape[3]:
        return r.conv("projection", activated, stride)
    return x[:, ::stride, ::stride]


def pre_activation_basic(r, x, stride=1, dilations=(1, 1), kept=1):
    activated = relu(r.norm("norm1", x))
    y = relu(r.norm("norm2", r.conv("conv1", activated, stride, dilations[0])))
    y = r.conv("conv2", y, 1, dilations[1])
    return kept * y + pre_activated_shortcut(r, x, activated, y, stride)


def pre_activation_bottleneck(r, x, stride=1, dilations=(1, 1), kept=1):
    activated = relu(r.norm("norm1", x))
    y = relu(r.norm("norm2", r.conv("conv1", activated)))
    y = relu(r.norm("norm3", r.conv("conv2", y, stride, dilations[0])))
    y = r.conv("conv3", y)
    return kept * y + pre_activated_shortcut(r, x, activated, y, stride)


def partial(function, **arguments):
    return functools.partial(function, **arguments)


# label -> (name, options, block)
FAMILIES = {
    "basic": ("resnet18", {}, basic),
    "v1.5": ("resnet50", {}, bottleneck),
    "v1": ("resnet50_v1", {}, partial(bottleneck, strides_first=True)),
    "biases": ("resnet50", {"use_bias": True}, bottleneck),
    "basic d": ("resnet18_d", {}, partial(basic, shortcut=pooled_shortcut)),
    "d": ("resnet50_d", {}, partial(bottleneck, shortcut=pooled_shortcut)),
    "se": ("se_resnet50", {}, partial(bottleneck, weigh=excite)),
    "resnext": ("resnext50_32x4d", {"width_multiplier": 1 / 4}, partial(bottleneck, groups=32)),
    "groups": ("resnet50", {"groups": 2, "group_width": 32}, partial(bottleneck, groups=2)),
    "wide": ("wide_resnet50_2", {}, bottleneck),
    "basic v2": ("resnet18_v2", {}, pre_activation_basic),
    "v2": ("resnet50_v2", {}, pre_activation_bottleneck),
    "basic keras": ("resnet18_v2", {"layout": "keras"}, pre_activation_basic),
    "keras": ("resnet50_v2", {"layout": "keras"}, pre_activation_bottleneck),
}
KERAS = ("basic keras", "keras")


def build(label, **options):
    name, own, _ = FAMILIES[label]
    return models.create(name, **{"width_multiplier": 1 / 16, "num_classes": 5, **own, **options})


@functools.cache
def built(label):
    return build(label)


def blocks_of(label):
    """(block, its stride): one that changes the channels, one that changes nothing, one that
    strides."""
    model, is_basic, keras = built(label), label.startswith("basic"), label in KERAS
    return {
        "changes": (model.stage2[0], 1 if keras else 2) if is_basic else (model.stage1[0], 1),
        "same": (model.stage1[0 if is_basic else 1], 1),
        "strides": (model.stage1[-1] if keras else model.stage2[0], 2),
    }


def channels_into(block):
    return block.conv1.kernel.shape[2]


def check_block(label, which, size, training):
    block, stride = blocks_of(label)[which]
    references.fill(named_variables(block))
    x = references.ramp((3, *size, channels_into(block)), -2, 2, seed=99)
    expected = FAMILIES[label][2](Layers(block, training), x.astype(np.float64), stride)
    found = block(x, training).numpy()
    assert found.shape[1:3] == tuple(math.ceil(length / stride) for length in size)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [(6, 6), (7, 5)])
@pytest.mark.parametrize("which", ["changes", "same", "strides"])
@pytest.mark.parametrize("label", FAMILIES)
def test_each_block_computes_what_its_row_says(label, which, size, training):
    check_block(label, which, size, training)


def whole(label, model, images, training):
    """Feature maps and logits of a whole network."""
    r, block = Layers(model, training), FAMILIES[label][2]
    x = images.astype(np.float64)
    if label in ("d", "basic d"):
        x = relu(r.norm("stem.norm1", r.conv("stem.conv1", x, 2)))
        x = relu(r.norm("stem.norm2", r.conv("stem.conv2", x)))
        x = r.conv("stem.conv3", x)
    else:
        x = r.conv("stem", x, 2, padding=3)
    if label in KERAS:
        x = references.max_pool(np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)]), 3, 2)
    elif label in ("v2", "basic v2"):
        x = references.max_pool(x, 3, 2, 1)
    else:
        x = references.max_pool(relu(r.norm("stem_norm", x)), 3, 2, 1)
    features = {"stem": x}
    for stage, blocks in enumerate(BLOCKS[model.options.depth]):
        for number in range(blocks):
            if label in KERAS:
                strides = number == blocks - 1 and stage < 3
            else:
                strides = number == 0 and stage > 0
            x = block(r.below(f"stage{stage + 1}.{number}"), x, 2 if strides else 1)
        features[f"stage{stage + 1}"] = x
    if "v2" in label or label in KERAS:
        x = relu(r.norm("final_norm", x))
    features["final"] = x
    return features, r.dense("head", x.mean(axis=(1, 2)))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("label", FAMILIES)
def test_stem_pool_stages_and_head_are_put_together_as_the_family_says(label, training):
    model = build(label)
    references.fill(named_variables(model), kernels=None)
    images = references.ramp((3, 40, 36, 3), seed=98)
    features, logits = whole(label, model, images, training)
    found = model.features(images, training)
    assert list(found) == list(features)
    for name, expected in features.items():
        tolerance = 2e-3 * np.abs(expected).max()
        np.testing.assert_allclose(found[name].numpy(), expected, atol=tolerance, err_msg=name)
    expected, found = logits, model(images, training).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


def with_the_weights_of(model, other):
    theirs = named_variables(other)
    for name, variable in named_variables(model).items():
        if name in theirs and theirs[name].shape == variable.shape:
            variable.assign(theirs[name])
    return model


def different(outputs):
    """Pairs of labels whose outputs differ."""
    return {
        (a, b) for a in outputs for b in outputs
        if a < b and np.abs(outputs[a] - outputs[b]).max() > 1e-2
    }  # fmt: skip


@pytest.mark.parametrize("training", [False, True])
def test_no_two_bottlenecks_compute_the_same(training):
    """So that the tests above cannot pass with one in another's place."""
    labels = ("d", "se", "v1", "v1.5")
    strided, same = {}, {}
    for label in labels:
        for outputs, which, channels in ((strided, "strides", 16), (same, "same", 16)):
            original, block = blocks_of("v1.5")[which][0], blocks_of(label)[which][0]
            references.fill(named_variables(original))
            with_the_weights_of(block, original)
            x = references.ramp((3, 6, 6, channels), -2, 2, seed=99)
            outputs[label] = block(x, training).numpy()
    assert different(strided) == {(a, b) for a in labels for b in labels if a < b}
    # Where nothing strides there is nothing that v1, v1.5 and d could do differently.
    assert different(same) == {("d", "se"), ("se", "v1"), ("se", "v1.5")}


@pytest.mark.parametrize("labels", [("basic keras", "basic v2"), ("keras", "v2")])
def test_the_two_layouts_with_the_same_weights_compute_different_things(labels):
    ours, theirs = build(labels[0]), build(labels[1])
    references.fill(named_variables(theirs), kernels=None)
    with_the_weights_of(ours, theirs)
    images = references.ramp((2, 32, 32, 3), seed=98)
    stems = [m.features(images, False)["stem"].numpy() for m in (ours, theirs)]
    assert np.abs(stems[0] - stems[1]).max() > 1e-2  # the pool's zeros
    assert np.abs(ours(images, False) - theirs(images, False)).max() > 1e-2


def test_the_keras_stem_pools_zeros_and_the_papers_leaves_the_padding_out():
    images = np.zeros((1, 32, 32, 3), np.float32)
    for layout, corner in (("paper", -1.0), ("keras", 0.0)):
        model = models.create(
            "resnet18_v2", layout=layout, width_multiplier=1 / 16, output_stride=32
        )
        model.stem.kernel.assign(tf.zeros_like(model.stem.kernel))
        # All that reaches the pool is -1.
        stem = tf.fill([1, 16, 16, 4], -1.0)
        model.stem = lambda x, stem=stem: stem
        found = model.features(images, False)["stem"].numpy()
        assert found.shape == (1, 8, 8, 4)
        assert (found[:, 0] == corner).all() and (found[:, :, 0] == corner).all()
        assert (found[:, 1:, 1:] == -1).all()


# --- sizes


def sizes_of(name, height, width, **options):
    """{stage: (height, width, channels)}, traced and not computed."""
    with tf.Graph().as_default():
        features = models.create(name, **options).features(tf.zeros([1, height, width, 3]), False)
        return {stage: tuple(x.shape[1:]) for stage, x in features.items()}


@pytest.mark.parametrize("name, options", [
    ("resnet18", {}), ("resnet50", {}), ("resnet50_v1", {}), ("resnet50_d", {}),
    ("se_resnet50", {}), ("resnext50_32x4d", {}), ("wide_resnet50_2", {}), ("resnet34_v2", {}),
    ("resnet50_v2", {}), ("resnet50_v2", {"layout": "keras"}), ("resnet18_v2", {"layout": "keras"}),
])  # fmt: skip
def test_sizes_at_224_are_those_of_the_table(name, options):
    times = 4 if "50" in name else 1
    halved = options.get("layout") == "keras"  # a stage ends with what the next begins with
    sides = (28, 14, 7, 7) if halved else (56, 28, 14, 7)
    channels = [times * c for c in (64, 128, 256, 512)]
    assert sizes_of(name, 224, 224, **options) == {
        "stem": (56, 56, 64),
        **{f"stage{s + 1}": (sides[s], sides[s], channels[s]) for s in range(4)},
        "final": (7, 7, channels[3]),
    }


@pytest.mark.parametrize("label", ["basic", "v1", "v1.5", "d", "v2", "keras"])
@pytest.mark.parametrize("size", [(97, 64), (65, 35), (33, 1)])
def test_odd_sizes_are_rounded_up_at_every_stride(label, size):
    found = built(label).features(np.zeros((1, *size, 3), np.float32), False)
    strides = (4, 8, 16, 32, 32) if label in KERAS else (4, 4, 8, 16, 32)
    expected = [tuple(math.ceil(length / s) for length in size) for s in strides]
    stages = ("stem", "stage1", "stage2", "stage3", "stage4")
    assert [tuple(found[s].shape[1:3]) for s in stages] == expected


@pytest.mark.parametrize("output_stride, sides", [(16, (16, 8, 4, 4)), (8, (16, 8, 8, 8))])
@pytest.mark.parametrize("label", ["basic", "v1", "v1.5", "d", "se", "groups", "v2", "keras"])
def test_output_stride_says_how_small_the_last_feature_map_is(label, output_stride, sides):
    model = build(label, output_stride=output_stride)
    found = model.features(np.zeros((1, 64, 64, 3), np.float32), False)
    if label in KERAS:
        sides = (*sides[1:], sides[3])
    assert [found[f"stage{s}"].shape[1] for s in (1, 2, 3, 4)] == list(sides)
    assert found["final"].shape[2] == 64 // output_stride


def test_output_stride_changes_no_variable():
    usual, dilated = (build("v1.5", output_stride=s) for s in (32, 8))
    shapes = [{k: v.shape for k, v in named_variables(m).items()} for m in (usual, dilated)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("output_stride, stage, before, dilation", [
    (16, 4, 1, 2), (8, 3, 1, 2), (8, 4, 2, 4), (16, 3, 1, 1),
])  # fmt: skip
@pytest.mark.parametrize("label", ["basic", "v1.5", "groups", "basic v2", "v2"])
def test_a_dilated_stage_begins_with_the_dilation_before_it(
    label, output_stride, stage, before, dilation
):
    model = build(label, output_stride=output_stride)
    references.fill(named_variables(model), kernels=None)
    features = model.features(references.ramp((2, 64, 64, 3), seed=97), training=True)
    x, block = features[f"stage{stage - 1}"].numpy(), FAMILIES[label][2]
    r = Layers(model, training=True)
    stride = 2 if (output_stride, stage) == (16, 3) else 1
    for number in range(BLOCKS[model.options.depth][stage - 1]):
        dilations = (before if number == 0 else dilation, dilation)
        x = block(r.below(f"stage{stage}.{number}"), x, stride if number == 0 else 1, dilations)
    found = features[f"stage{stage}"].numpy()
    np.testing.assert_allclose(found, x, atol=1e-3 * np.abs(x).max())


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("label", [
    "basic", "v1", "v1.5", "groups", "basic v2", "v2", "basic keras", "keras",
])  # fmt: skip
def test_a_dilated_network_computes_the_strided_ones_features_at_more_positions(
    label, output_stride
):
    """That is what dilation is for: the same weights see the same pixels, nothing skipped."""
    usual, dilated = build(label), build(label, output_stride=output_stride)
    references.fill(named_variables(usual), kernels=None)
    with_the_weights_of(dilated, usual)
    images = references.ramp((2, 64, 64, 3), seed=97)
    expected = usual.features(images, False)["final"].numpy()
    step = 32 // output_stride
    found = dilated.features(images, False)["final"].numpy()
    assert found.shape[1] == 64 // output_stride
    found = found[:, ::step, ::step]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


# --- options


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("label", ["basic", "v1.5", "v1", "d", "se", "resnext", "wide"])
def test_zero_last_scale_starts_as_if_there_were_no_branches(label, training):
    model = build(label, zero_last_scale=True)
    last = "norm2/scale" if label == "basic" else "norm3/scale"
    for name, variable in named_variables(model).items():
        if name.endswith("scale"):
            is_last = name.startswith("stage") and name.endswith(last) and "shortcut" not in name
            np.testing.assert_array_equal(variable.numpy(), 0 if is_last else 1, err_msg=name)
    for block, stride in ((model.stage1[1], 1), (model.stage2[0], 2)):
        x = references.ramp((3, 6, 6, channels_into(block)), -2, 2, seed=99)
        found = block(x, training).numpy()
        expected = relu(block.shortcut(x, training))
        np.testing.assert_array_equal(found, expected)
        assert found.shape[1] == 6 // stride


@pytest.mark.parametrize("label", ["basic", "v1.5"])
def test_scales_start_at_one_by_default(label):
    scales = [v for n, v in named_variables(build(label)).items() if n.endswith("scale")]
    assert all((v.numpy() == 1).all() for v in scales)


@pytest.mark.parametrize("label", ["basic", "v1.5", "d", "v2", "keras"])
def test_drop_rates_grow_in_a_straight_line_to_the_last_blocks(label):
    model = build(label, stochastic_depth=0.4)
    blocks = [*model.stage1, *model.stage2, *model.stage3, *model.stage4]
    number = sum(BLOCKS[model.options.depth])
    expected = [0.4 * block / number for block in range(1, number + 1)]
    np.testing.assert_allclose([block.drop_rate for block in blocks], expected, rtol=1e-12)
    assert all(block.drop_rate == 0 for block in built(label).stage4)


@pytest.mark.parametrize("which", ["changes", "same", "strides"])
@pytest.mark.parametrize("label", ["basic", "v1.5", "v1", "d", "se", "basic v2", "v2", "keras"])
def test_stochastic_depth_leaves_a_dropped_example_its_shortcut(label, which):
    block, stride = blocks_of(label)[which]
    references.fill(named_variables(block))
    x = references.ramp((12, 4, 4, channels_into(block)), -2, 2, seed=99)
    r, function = Layers(block, training=True), FAMILIES[label][2]
    dropped = function(r, x, stride, kept=0)
    kept = function(r, x, stride, kept=1 / (1 - 0.5))
    block.drop_rate = 0.5
    try:
        with NoiseStream(0, 0):
            found = block(x, True).numpy()
        as_ever = block(x, False).numpy()
    finally:
        block.drop_rate = 0.0
    was = [np.allclose(found[i], dropped[i], rtol=1e-4, atol=1e-3) for i in range(12)]
    was_kept = [np.allclose(found[i], kept[i], rtol=1e-4, atol=1e-3) for i in range(12)]
    assert [not dropped for dropped in was] == was_kept and 0 < sum(was) < 12
    np.testing.assert_array_equal(as_ever, block(x, False).numpy())


@pytest.mark.parametrize("label", ["basic", "keras"])
def test_dropout_drops_pooled_features_before_the_head(label):
    channels = 128 if label == "keras" else 32
    model = build(label, dropout=0.5, num_classes=channels)
    model.head.kernel.assign(np.eye(channels))
    model.head.bias.assign(np.ones(channels))  # which no dropout may touch
    images = references.ramp((4, 32, 32, 3), seed=98)
    pooled = model.features(images, False)["final"].numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(model(images, False).numpy(), pooled + 1, rtol=1e-5, atol=1e-5)
    pooled = model.features(images, True)["final"].numpy().mean(axis=(1, 2))
    with NoiseStream(0, 0):
        logits = model(images, True).numpy()
    kept = logits != 1
    assert 0.25 < kept[pooled > 1e-3].mean() < 0.75
    np.testing.assert_allclose(logits[kept], 2 * pooled[kept] + 1, rtol=1e-4, atol=1e-5)


def norms_of(model):
    return [m for m in model.submodules if isinstance(m, BatchNorm)]


def number_of_norms(label):
    depth = built(label).options.depth
    bottlenecks = depth >= 50
    inside = sum(BLOCKS[depth]) * (3 if bottlenecks else 2)
    stem_or_end = 3 if label in ("d", "basic d") else 1
    projections = 0 if "v2" in label or label in KERAS else 4 if bottlenecks else 3
    return inside + stem_or_end + projections


@pytest.mark.parametrize("label", FAMILIES)
def test_options_of_batch_norms_reach_every_one(label):
    chosen = build(label, norm_momentum=0.75, norm_epsilon=1e-2, sync_batch_norm=True)
    for model, expected in ((chosen, (0.75, 1e-2, True)), (built(label), (0.9, 1e-5, False))):
        norms = norms_of(model)
        assert len(norms) == number_of_norms(label)
        assert {(n.momentum, n.epsilon, n.synchronized) for n in norms} == {expected}


@pytest.mark.parametrize("label", FAMILIES)
def test_width_channels_and_classes(label):
    model = build(label, width_multiplier=1 / 4, channels=2, num_classes=3)
    stem = model.stem.conv1 if "d" in label.split() else model.stem
    assert tuple(stem.kernel.shape[2:]) == (2, 8 if "d" in label.split() else 16)
    last = (4 if model.options.depth >= 50 else 1) * 512 // 4
    assert tuple(model.head.kernel.shape) == (last, 3)
    assert model(references.ramp((4, 32, 32, 2)), False).shape == (4, 3)


@pytest.mark.parametrize("label", ["basic", "v1.5", "d", "se"])
def test_use_bias_gives_every_convolution_a_bias_of_zero(label):
    model, usual = build(label, use_bias=True), built(label)
    convolutions = [m for m in model.submodules if isinstance(m, Conv2D)]
    assert convolutions and all((m.bias.numpy() == 0).all() for m in convolutions)
    added = set(named_variables(model)) - set(named_variables(usual))
    in_excitation = 2 * 16 if label == "se" else 0
    assert len(added) == len(convolutions) - in_excitation
    assert all(name.endswith("/bias") for name in added)


def test_only_convolutions_that_no_norm_follows_have_a_bias_in_the_keras_layout():
    biases = {n for n in named_variables(built("keras")) if n.endswith("/bias")}
    blocks = [(s + 1, b) for s, number in enumerate(BLOCKS[50]) for b in range(number)]
    assert biases == {
        "stem/bias", "head/bias", *(f"stage{s}/0/projection/bias" for s in (1, 2, 3, 4)),
        *(f"stage{s}/{b}/conv3/bias" for s, b in blocks),
    }  # fmt: skip


@pytest.mark.parametrize("label", ["v1.5", "d", "v2"])
def test_kernels_have_variance_two_over_fan_out(label):
    model = build(label, width_multiplier=1 / 2, seed=4)
    for path, fan in (("stage4.0.conv1", 256), ("stage3.1.conv2", 9 * 128),
                      ("stage3.0.conv3", 512), ("head", 5)):  # fmt: skip
        values = Layers(model, False).layer(path).kernel.numpy()
        assert abs(values.var() * fan / 2 - 1) < 5 * np.sqrt(2 / values.size)


@pytest.mark.parametrize("label", FAMILIES)
def test_kernels_decay_and_nothing_else(label):
    names = named_variables(built(label))
    decayed = {id(v) for v in built(label).decayed_variables}
    assert len(decayed) == len(built(label).decayed_variables)
    found = {name for name, variable in names.items() if id(variable) in decayed}
    assert found == {name for name in names if name.endswith("/kernel")}


@pytest.mark.parametrize("label", ["v1.5", "d", "se", "v2"])
def test_variables_are_named_by_stage_block_and_layer(label):
    names = set(named_variables(built(label)))
    norm = ("scale", "offset", "moving_mean", "moving_variance")
    expected = {"head/kernel", "head/bias"}
    expected |= {f"{'final_norm' if label == 'v2' else 'stem_norm'}/{n}" for n in norm}
    if label == "d":
        expected |= {f"stem/conv{i}/kernel" for i in (1, 2, 3)}
        expected |= {f"stem/norm{i}/{n}" for i in (1, 2) for n in norm}
    else:
        expected |= {"stem/kernel"}
    for stage, blocks in enumerate(BLOCKS[50], start=1):
        for b in range(blocks):
            block = f"stage{stage}/{b}"
            expected |= {f"{block}/conv{i}/kernel" for i in (1, 2, 3)}
            expected |= {f"{block}/norm{i}/{n}" for i in (1, 2, 3) for n in norm}
            if label == "se":
                expected |= {
                    f"{block}/excitation/{layer}/{v}"
                    for layer in ("squeeze", "excite") for v in ("kernel", "bias")
                }  # fmt: skip
        first = f"stage{stage}/0"
        if label == "v2":
            expected |= {f"{first}/projection/kernel"}
        else:
            expected |= {f"{first}/shortcut/conv/kernel"}
            expected |= {f"{first}/shortcut/norm/{n}" for n in norm}
    assert names == expected


@pytest.mark.parametrize("name, options, message", [
    ("resnet50", {"output_stride": 4}, "output_stride must be 8, 16 or 32, got 4"),
    ("resnet50_v2", {"output_stride": 64}, "output_stride must be 8, 16 or 32, got 64"),
    ("resnet50_v2", {"layout": "torch"}, "layout must be 'paper' or 'keras', got 'torch'"),
    ("resnet50", {"width_multiplier": 0}, "width_multiplier must be above 0, got 0"),
    ("resnet50", {"width_multiplier": -1.0}, "width_multiplier must be above 0, got -1.0"),
    ("resnet50", {"width_multiplier": math.inf}, "width_multiplier must be finite, got inf"),
    ("resnet50", {"width_multiplier": math.nan}, "width_multiplier must be finite, got nan"),
    ("resnet50", {"width_multiplier": 1e-3}, "channels_out must be an integer of 1 or more, got 0"),
    ("resnet50", {"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
    ("resnet50", {"dropout": -0.1}, r"dropout must be in \[0, 1\), got -0.1"),
    ("resnet50", {"dropout": math.nan}, r"dropout must be finite, got nan"),
    ("resnet50", {"stochastic_depth": 1.0}, r"stochastic_depth must be in \[0, 1\), got 1.0"),
    ("resnet50_v2", {"stochastic_depth": -1}, r"stochastic_depth must be in \[0, 1\), got -1"),
    ("resnet18", {"width_multiplier": 1 / 16, "norm_momentum": 2},
     r"momentum must be in \[0, 1\], got 2"),
])  # fmt: skip
def test_an_option_out_of_range_is_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        models.create(name, **options)


@pytest.mark.parametrize("options", ["ResNetOptions", "ResNetV2Options"])
def test_a_depth_of_no_table_is_refused(options):
    from resnet_tf.models import resnet, resnet_v2

    made = {"ResNetOptions": resnet.ResNetOptions, "ResNetV2Options": resnet_v2.ResNetV2Options}
    message = "depth must be one of 18, 34, 50, 101, 152, 200, got 51"
    with pytest.raises(ValueError, match=message):
        made[options](depth=51)


@pytest.mark.parametrize("name, option", [
    ("resnet50", "depth"), ("resnet50_v2", "depth"), ("resnext50_32x4d", "groups"),
    ("wide_resnet50_2", "group_width"),
])  # fmt: skip
def test_an_option_that_the_name_fixes_is_refused(name, option):
    with pytest.raises(TypeError, match=option):
        models.create(name, **{option: 1})


@pytest.mark.parametrize("name, option", [
    ("resnet50", "layout"), ("resnet50", "colour"), ("resnet50_v2", "zero_last_scale"),
    ("resnet50_v2", "use_bias"), ("resnet50_v2", "groups"),
])  # fmt: skip
def test_an_option_that_the_network_does_not_have_is_refused(name, option):
    with pytest.raises(TypeError, match=option):
        models.create(name, **{option: 1})


@pytest.mark.parametrize("option", [{"groups": 2}, {"group_width": 128}])
def test_basic_blocks_have_no_groups(option):
    with pytest.raises(ValueError, match="groups and group_width are of bottlenecks"):
        models.create("resnet18", **option)
