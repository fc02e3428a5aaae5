"""The networks for small images beside the 6n + 2 layers, against published counts and NumPy."""

import functools

import numpy as np
import pytest
import references
import tensorflow as tf
from references import Layers, relu

from resnet_tf import models
from resnet_tf.layers import BatchNorm, Conv2D, NoiseStream, named_variables
from resnet_tf.models import count_parameters
from resnet_tf.models.cifar_bottleneck import CifarBottleneckOptions
from resnet_tf.models.cifar_ordering import BottleneckChange, FullPreActivation

BOTTLENECKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 4, 36, 3)}
EPSILON = {"cifar_resnet18": 1e-3}
MOMENTUM = {"cifar_resnet18": 0.99}
NAMES = ("cifar_resnet18", "cifar_resnet34", "cifar_resnet50")

PUBLISHED = {  # total and trainable, 10 classes
    "cifar_resnet34": (416_458, 414_186), "cifar_resnet50": (23_593_098, 23_543_690),
    "cifar_resnet101": (42_663_562, 42_561_930), "cifar_resnet152": (57_246_858, 57_105_290),
}  # fmt: skip


def conv(size, channels_in, channels):
    """A kernel and a bias."""
    return size * size * channels_in * channels + channels


def norm(channels):
    """All of a batch norm, and what of it is trained."""
    return np.array([4 * channels, 2 * channels])


def counted_18(width, channels, classes):
    count = conv(3, channels, width) + norm(width)
    c_in = width
    for c in (width, width, 2 * width, 2 * width, 4 * width, 4 * width, 8 * width, 8 * width):
        count = count + conv(3, c_in, c) + norm(c) + conv(3, c, c) + norm(c)
        if c != c_in:
            count += conv(1, c_in, c) + norm(c)
        c_in = c
    return tuple(count + c_in * classes + classes)


def counted_34(width, channels, classes):
    count = conv(3, channels, width) + norm(4 * width)
    c_in = width
    for c in (width, 2 * width, 4 * width):
        for _ in range(5):
            if c == c_in:
                count = count + norm(c) + conv(3, c, c) + norm(c) + conv(3, c, c)
            else:
                count += norm(c_in) + conv(1, c_in, c // 2) + norm(c // 2)
                count += conv(3, c // 2, c // 2) + norm(c // 2) + conv(1, c // 2, c)
                count += conv(1, c_in, c)
            c_in = c
    return tuple(count + c_in * classes + classes)


def counted_bottlenecks(depth, width, channels, classes):
    count, c_in = conv(3, channels, width), width
    for stage, blocks in enumerate(BOTTLENECKS[depth]):
        inner = width * 2**stage
        for number in range(blocks):
            count = count + conv(1, c_in, inner) + norm(inner) + conv(3, inner, inner)
            count += norm(inner) + conv(1, inner, 4 * inner) + norm(4 * inner)
            if number == 0:
                count += conv(1, c_in, 4 * inner)
            c_in = 4 * inner
    return tuple(count + norm(c_in) + c_in * classes + classes)


def counted(name, width_multiplier=1, channels=3, classes=10):
    depth = int(name.removeprefix("cifar_resnet"))
    if depth == 18:
        return counted_18(round(64 * width_multiplier), channels, classes)
    if depth == 34:
        return counted_34(round(16 * width_multiplier), channels, classes)
    return counted_bottlenecks(depth, round(64 * width_multiplier), channels, classes)


def count_of(name, **options):
    """Of a network whose variables are described and never filled."""
    with tf.Graph().as_default():
        return count_parameters(models.create(name, **options))


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name):
    assert count_of(name) == PUBLISHED[name]


@pytest.mark.parametrize("name", ["cifar_resnet18", *PUBLISHED])
def test_parameters_by_arithmetic(name):
    if name in ("cifar_resnet18", "cifar_resnet34"):
        assert count_of(name) == counted(name)
    else:
        assert PUBLISHED[name] == counted(name)
    options = {"width_multiplier": 1 / 8, "channels": 1, "num_classes": 7}
    found = count_parameters(models.create(name, **options))
    assert found == counted(name, width_multiplier=1 / 8, channels=1, classes=7)


@functools.cache
def small(name):
    options = {"width_multiplier": 1 / 4} if name == "cifar_resnet34" else {
        "width_multiplier": 1 / 16
    }  # fmt: skip
    model = models.create(name, num_classes=5, **options)
    references.fill(named_variables(model), kernels=None)
    return model


# --- numbers


def basic(r, x, stride, kept=1):
    """conv BN ReLU conv BN, add, ReLU; a projection with BN where the stage changes."""
    y = relu(r.norm("norm1", r.conv("conv1", x, stride)))
    y = r.norm("norm2", r.conv("conv2", y))
    carried = x if stride == 1 else r.norm("shortcut.norm", r.conv("shortcut.conv", x, stride))
    return relu(kept * y + carried)


def pre_activation(r, x, stride, kept=1):
    """BN ReLU conv BN ReLU conv, add; or three convolutions where the stage changes."""
    activated = relu(r.norm("norm1", x))
    if stride == 1:
        return kept * r.conv("conv2", relu(r.norm("norm2", r.conv("conv1", activated)))) + x
    y = relu(r.norm("norm2", r.conv("conv1", activated, stride)))
    y = r.conv("conv3", relu(r.norm("norm3", r.conv("conv2", y))))
    return kept * y + r.conv("projection", activated, stride)


def bottleneck(r, x, stride, kept=1):
    """conv BN ReLU conv BN ReLU conv BN ReLU, add; a projection of x without BN."""
    y = relu(r.norm("norm1", r.conv("conv1", x, stride)))
    y = relu(r.norm("norm2", r.conv("conv2", y)))
    y = relu(r.norm("norm3", r.conv("conv3", y)))
    return kept * y + (x if stride == 1 else r.conv("projection", x, stride))


EXPECTED = {
    "cifar_resnet18": basic, "cifar_resnet34": pre_activation, "cifar_resnet50": bottleneck,
}  # fmt: skip


def blocks_of(name):
    """{stride: block}; the one that strides has 4 channels in (bottlenecks: 16)."""
    model = small(name)
    same = model.stage1[1] if name == "cifar_resnet50" else model.stage1[0]
    return {1: same, 2: model.stage2[0]}


def reference(name, module, training):
    return Layers(module, training, padding="same", epsilon=EPSILON.get(name, 1e-5))


def images_for(name, number, size):
    channels = 16 if name == "cifar_resnet50" else 4
    return references.ramp((number, *size, channels), -2, 2, seed=99)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
@pytest.mark.parametrize("name", NAMES)
def test_each_block_computes_what_its_row_says(name, size, stride, training):
    block = blocks_of(name)[stride]
    references.fill(named_variables(block))
    x = images_for(name, 3, size)
    r = reference(name, block, training)
    expected = EXPECTED[name](r, x.astype(np.float64), stride)
    np.testing.assert_allclose(block(x, training).numpy(), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_stochastic_depth_leaves_a_dropped_example_its_shortcut(name, stride):
    block = blocks_of(name)[stride]
    references.fill(named_variables(block))
    x = images_for(name, 12, (4, 4))
    r = reference(name, block, True)
    dropped, kept = (EXPECTED[name](r, x.astype(np.float64), stride, k) for k in (0, 2))
    block.drop_rate = 0.5
    try:
        with NoiseStream(0, 0):
            found = block(x, True).numpy()
    finally:
        block.drop_rate = 0.0
    was = [np.allclose(found[i], dropped[i], rtol=1e-4, atol=1e-3) for i in range(12)]
    was_kept = [np.allclose(found[i], kept[i], rtol=1e-4, atol=1e-3) for i in range(12)]
    assert [not d for d in was] == was_kept and 0 < sum(was) < 12


def whole(name, model, images, training):
    """Feature maps and logits of a whole network."""
    r = reference(name, model, training)
    x = r.conv("stem", images.astype(np.float64))
    if name == "cifar_resnet18":
        x = relu(r.norm("stem_norm", x))
        blocks = (2, 2, 2, 2)
    else:
        blocks = (5, 5, 5) if name == "cifar_resnet34" else BOTTLENECKS[50]
    features = {"stem": x}
    for stage, number in enumerate(blocks, start=1):
        for b in range(number):
            strides = b == 0 and (stage > 1 or name == "cifar_resnet50")
            x = EXPECTED[name](r.below(f"stage{stage}.{b}"), x, 2 if strides else 1)
        features[f"stage{stage}"] = x
    if name != "cifar_resnet18":
        x = relu(r.norm("final_norm", x))
    features["final"] = x
    return features, r.dense("head", x.mean(axis=(1, 2)))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_stem_stages_and_head_are_put_together_as_the_family_says(name, training):
    model = small(name)
    references.fill(named_variables(model), kernels=None)
    images = references.ramp((3, 17, 20, 3), seed=98)
    features, logits = whole(name, model, images, training)
    found = model.features(images, training)
    assert list(found) == list(features)
    for stage, expected in features.items():
        tolerance = 2e-3 * np.abs(expected).max()
        np.testing.assert_allclose(found[stage].numpy(), expected, atol=tolerance, err_msg=stage)
    references.fill(named_variables(model), kernels=None)
    tolerance = 2e-3 * np.abs(logits).max()
    np.testing.assert_allclose(model(images, training).numpy(), logits, atol=tolerance)


@pytest.mark.parametrize("name, channels, sides", [
    ("cifar_resnet18", (64, 64, 128, 256, 512), (32, 32, 16, 8, 4)),
    ("cifar_resnet34", (16, 16, 32, 64), (32, 32, 16, 8)),
    ("cifar_resnet50", (64, 256, 512, 1024, 2048), (32, 16, 8, 4, 2)),
])  # fmt: skip
def test_sizes_at_32_are_those_of_the_table(name, channels, sides):
    with tf.Graph().as_default():
        features = models.create(name).features(tf.zeros([1, 32, 32, 3]), False)
    expected = [(side, side, c) for side, c in zip(sides, channels)]
    assert [tuple(x.shape[1:]) for x in features.values()] == [*expected, expected[-1]]


def test_bottlenecks_change_the_stage_of_the_34_and_nothing_else_does():
    model = small("cifar_resnet34")
    for stage in (model.stage1, model.stage2, model.stage3):
        changes = stage is not model.stage1
        kinds = [BottleneckChange if changes else FullPreActivation] + 4 * [FullPreActivation]
        assert [type(block) for block in stage] == kinds
    convolutions = [m for m in model.submodules if isinstance(m, Conv2D)]
    # 32 layers less the dense one, one more in each bottleneck, two projections.
    assert len(convolutions) == 31 + 2 + 2


def test_the_34_is_the_ordering_e_but_for_its_changes():
    other, ours = models.create("cifar_resnet32_e"), models.create("cifar_resnet34")
    shapes = [{k: tuple(v.shape) for k, v in named_variables(m).items()} for m in (other, ours)]
    assert {k for k in shapes[0].keys() | shapes[1].keys() if shapes[0].get(k) != shapes[1].get(k)}\
        == {
            *(f"stage{s}/0/{v}" for s in (2, 3) for v in (
                "conv1/kernel", "conv1/bias", "conv2/kernel", "conv2/bias", "conv3/kernel",
                "conv3/bias", "norm2/scale", "norm2/offset", "norm2/moving_mean",
                "norm2/moving_variance", "norm3/scale", "norm3/offset", "norm3/moving_mean",
                "norm3/moving_variance",
            )),
        }  # fmt: skip


# --- options


@pytest.mark.parametrize("name", NAMES)
def test_every_convolution_has_a_bias_and_kernels_alone_decay(name):
    model = small(name)
    convolutions = [m for m in model.submodules if isinstance(m, Conv2D)]
    assert convolutions and all(m.bias is not None for m in convolutions)
    names = named_variables(model)
    decayed = {id(v) for v in model.decayed_variables}
    found = {n for n, v in names.items() if id(v) in decayed}
    assert found == {n for n in names if n.endswith("/kernel")}
    assert len(model.decayed_variables) == len(convolutions) + 1


@pytest.mark.parametrize("name", NAMES)
def test_options_of_batch_norms_reach_every_one(name):
    chosen = models.create(
        name, width_multiplier=1 / 8, norm_momentum=0.75, norm_epsilon=1e-2, sync_batch_norm=True
    )
    # Stem and shortcuts of the 18; the final one of the others; the third of a bottleneck.
    number = {"cifar_resnet18": 1 + 16 + 3, "cifar_resnet34": 30 + 2 + 1,
              "cifar_resnet50": 3 * 16 + 1}[name]  # fmt: skip
    usual = (MOMENTUM.get(name, 0.9), EPSILON.get(name, 1e-5), False)
    for model, expected in ((chosen, (0.75, 1e-2, True)), (small(name), usual)):
        norms = [m for m in model.submodules if isinstance(m, BatchNorm)]
        assert len(norms) == number
        assert {(n.momentum, n.epsilon, n.synchronized) for n in norms} == {expected}


@pytest.mark.parametrize("name, number", list(zip(NAMES, (8, 15, 16))))
def test_drop_rates_grow_in_a_straight_line_to_the_last_blocks(name, number):
    model = models.create(name, width_multiplier=1 / 8, stochastic_depth=0.4)
    stages = [getattr(model, f"stage{s}", []) for s in (1, 2, 3, 4)]
    rates = [block.drop_rate for stage in stages for block in stage]
    np.testing.assert_allclose(rates, [0.4 * b / number for b in range(1, number + 1)])


def test_zero_last_scale_of_the_18_starts_as_if_there_were_no_branches():
    model = models.create("cifar_resnet18", width_multiplier=1 / 16, zero_last_scale=True)
    for block in (model.stage1[0], model.stage2[0]):
        np.testing.assert_array_equal(block.norm2.scale.numpy(), 0)
        x = references.ramp((3, 6, 6, 4), -2, 2, seed=99)
        expected = relu(block.shortcut(x, False))
        np.testing.assert_array_equal(block(x, False).numpy(), expected)


@pytest.mark.parametrize("name", NAMES)
def test_kernels_have_variance_two_over_fan_in(name):
    model = models.create(name, seed=4)
    for path in ("stage1.1.conv1", "stage3.0.conv1", "stage3.1.conv2"):
        values = Layers(model, False).layer(path).kernel.numpy()
        fan = np.prod(values.shape[:3])
        assert abs(values.var() * fan / 2 - 1) < 5 * np.sqrt(2 / values.size)


@pytest.mark.parametrize("ordering", ["a", "b", "c", "d", "d_v2", "e_v2"])
def test_bottlenecks_that_change_the_stage_go_with_ordering_e_alone(ordering):
    with pytest.raises(
        ValueError, match=f"bottleneck_changes needs ordering 'e', got '{ordering}'"
    ):
        models.create("cifar_resnet_ordering", depth=8, ordering=ordering, bottleneck_changes=True)


def test_bottleneck_changes_at_any_depth():
    model = models.create("cifar_resnet_ordering", depth=8, ordering="e", bottleneck_changes=True)
    kinds = [type(stage[0]) for stage in (model.stage1, model.stage2, model.stage3)]
    assert kinds == [FullPreActivation, BottleneckChange, BottleneckChange]


def test_a_depth_without_a_row_is_refused():
    with pytest.raises(ValueError, match="depth must be one of 50, 101, 152, got 34"):
        CifarBottleneckOptions(depth=34)


@pytest.mark.parametrize("name, option", [
    ("cifar_resnet34", "depth"), ("cifar_resnet34", "ordering"),
    ("cifar_resnet34", "bottleneck_changes"), ("cifar_resnet50", "depth"),
    ("cifar_resnet50", "zero_last_scale"), ("cifar_resnet50", "shortcut"),
    ("cifar_resnet18", "depth"), ("cifar_resnet18", "output_stride"),
])  # fmt: skip
def test_an_option_that_the_name_fixes_or_the_network_does_not_have_is_refused(name, option):
    with pytest.raises(TypeError, match=option):
        models.create(name, **{option: 1})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("option, value, message", [
    ("dropout", 1.0, r"dropout must be in \[0, 1\), got 1.0"),
    ("stochastic_depth", 1.5, r"stochastic_depth must be in \[0, 1\), got 1.5"),
    ("width_multiplier", 0, "width_multiplier must be above 0, got 0"),
])  # fmt: skip
def test_an_option_out_of_range_is_refused(name, option, value, message):
    with pytest.raises(ValueError, match=message):
        models.create(name, **{option: value})
