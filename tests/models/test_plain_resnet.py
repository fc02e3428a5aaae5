"""`plain_resnet100` against the list of its units and against NumPy."""

import functools

import numpy as np
import pytest
import references
import tensorflow as tf
from references import Layers, relu

from resnet_tf import models
from resnet_tf.layers import BatchNorm, Conv2D, NoiseStream, named_variables
from resnet_tf.models import count_parameters

# (channels in, channels inside, channels out) of every unit, by stage
SAME = {c: (c, c // 4, c) for c in (64, 128, 256)}
INCREASE = {c: (c, c // 2, 2 * c) for c in (64, 128, 256)}
UNITS = (
    [SAME[64]],
    5 * [SAME[64]] + [INCREASE[64]],
    5 * [SAME[128]] + 5 * [SAME[128]] + [INCREASE[128]],
    15 * [SAME[256]] + [INCREASE[256]],
)


@functools.cache
def full():
    return models.create("plain_resnet100")


@functools.cache
def small():
    model = models.create("plain_resnet100", width_multiplier=1 / 8, num_classes=5)
    references.fill(named_variables(model), kernels=None)
    return model


def shapes():
    """Of every variable, by name, written out."""
    found = {
        "stem1/kernel": (7, 7, 3, 64), "stem1/bias": (64,),
        "stem2/kernel": (1, 1, 64, 64), "stem2/bias": (64,),
        "head/kernel": (512, 20), "head/bias": (20,),
    }  # fmt: skip
    for stage, units in enumerate(UNITS, start=1):
        for number, (c_in, inner, c) in enumerate(units):
            layers = {
                "conv1": (1, 1, c_in, inner), "conv2": (3, 3, inner, inner),
                "conv3": (1, 1, inner, c),
            }  # fmt: skip
            if c != c_in:
                layers["projection"] = (1, 1, c_in, c)
            for layer, shape in layers.items():
                found[f"stage{stage}/{number}/{layer}/kernel"] = shape
                found[f"stage{stage}/{number}/{layer}/bias"] = shape[3:]
    return found


def test_names_and_shapes_of_all_variables():
    assert {n: tuple(v.shape) for n, v in named_variables(full()).items()} == shapes()


def test_parameters_by_arithmetic():
    def conv(size, channels_in, channels):
        return size * size * channels_in * channels + channels

    def same(c):
        return conv(1, c, c // 4) + conv(3, c // 4, c // 4) + conv(1, c // 4, c)

    def increase(c):
        inside = conv(1, c, c // 2) + conv(3, c // 2, c // 2) + conv(1, c // 2, 2 * c)
        return inside + conv(1, c, 2 * c)

    count = conv(7, 3, 64) + conv(1, 64, 64)
    count += (1 + 5) * same(64) + increase(64)
    count += (5 + 5) * same(128) + increase(128)
    count += 15 * same(256) + increase(256)
    count += 512 * 20 + 20
    assert count_parameters(full()) == (count, count)


def test_there_are_107_convolutions_with_biases_and_no_batch_norm():
    modules = full().submodules
    convolutions = [m for m in modules if isinstance(m, Conv2D)]
    # Two in the stem, three in each of 1 + 6 + 11 + 16 units, three projections.
    assert len(convolutions) == 2 + 3 * (1 + 6 + 11 + 16) + 3 == 107
    assert all(m.bias is not None for m in convolutions)
    assert not any(isinstance(m, BatchNorm) for m in modules)


def test_sizes_at_224_are_those_of_the_table():
    images = tf.TensorSpec([None, 224, 224, 3])
    traced = tf.function(
        lambda x: full().features(x, False), autograph=False
    ).get_concrete_function(images)
    assert {name: tuple(x.shape[1:]) for name, x in traced.structured_outputs.items()} == {
        "stem": (112, 112, 64), "stage1": (56, 56, 64), "stage2": (28, 28, 128),
        "stage3": (14, 14, 256), "stage4": (7, 7, 512), "final": (7, 7, 512),
    }  # fmt: skip


def test_thirty_two_pixels_are_the_fewest_that_leave_one():
    assert full().smallest_image == 32
    assert small().features(tf.zeros([1, 32, 32, 3]), False)["final"].shape[1:3] == (1, 1)
    assert small().features(tf.zeros([1, 63, 65, 3]), False)["final"].shape[1:3] == (1, 2)
    with pytest.raises((ValueError, tf.errors.OpError)):
        small().features(tf.zeros([1, 31, 31, 3]), False)


# --- numbers


def unit(r, x, increases, kept=1):
    y = relu(r.conv("conv2", relu(r.conv("conv1", x))))
    y = relu(r.conv("conv3", y))
    return kept * y + (relu(r.conv("projection", x)) if increases else x)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("index, increases", [(0, False), (-1, True)])
@pytest.mark.parametrize("size", [(4, 4), (5, 3)])
def test_each_unit_computes_what_its_row_says(index, increases, size, training):
    block = small().stage2[index]
    references.fill(named_variables(block))
    x = references.ramp((3, *size, 8), -2, 2, seed=99)
    expected = unit(Layers(block, training), x.astype(np.float64), increases)
    # Where x is negative and the branch is not there, a ReLU behind the addition would show.
    assert (expected < -0.1).any() == (not increases)
    np.testing.assert_allclose(block(x, training).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_each_relu_of_a_unit_is_there():
    """In these numbers every ReLU has something to cut, so none can be missing."""
    block = small().stage2[-1]
    references.fill(named_variables(block))
    x = references.ramp((3, 4, 4, 8), -2, 2, seed=99)
    r = Layers(block, False)
    first = r.conv("conv1", x)
    second = r.conv("conv2", relu(first))
    before = [first, second, r.conv("conv3", relu(second)), r.conv("projection", x)]
    assert all((y < -0.1).any() and (y > 0.1).any() for y in before)


def test_stem_pools_stages_and_head_are_put_together_as_the_list_says():
    images = references.ramp((2, 40, 32, 3), seed=98)
    model, r = small(), Layers(small(), False)
    x = references.max_pool(relu(r.conv("stem1", images)), 2, 2)
    x = relu(r.conv("stem2", x))
    expected = {"stem": x}
    for stage, units in enumerate(UNITS, start=1):
        x = references.max_pool(x, 2, 2)
        for number, (c_in, _, c) in enumerate(units):
            x = unit(r.below(f"stage{stage}.{number}"), x, increases=c != c_in)
        expected[f"stage{stage}"] = x
    expected["final"] = x
    found = model.features(images, False)
    assert list(found) == list(expected)
    for name, values in expected.items():
        tolerance = 1e-3 * np.abs(values).max()
        np.testing.assert_allclose(found[name].numpy(), values, atol=tolerance, err_msg=name)
    logits = r.dense("head", x.mean(axis=(1, 2)))
    tolerance = 1e-3 * np.abs(logits).max()
    np.testing.assert_allclose(model(images, False).numpy(), logits, atol=tolerance)


def test_the_first_kernels_keep_the_size_of_what_passes():
    """He normal, fan-in: no unit makes a signal vanish or burst."""
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)
    model = models.create("plain_resnet100", seed=1)
    kernel = model.stage4[-1].conv2.kernel.numpy()
    assert abs(kernel.var() * (9 * 128) / 2 - 1) < 5 * np.sqrt(2 / kernel.size)
    logits = model(images, False).numpy()
    assert np.isfinite(logits).all() and np.abs(logits - logits[0]).max() > 1e-2


# --- options


def test_drop_rates_grow_in_a_straight_line_and_a_dropped_unit_is_its_shortcut():
    model = models.create("plain_resnet100", width_multiplier=1 / 8, stochastic_depth=0.5)
    units = [*model.stage1, *model.stage2, *model.stage3, *model.stage4]
    expected = [0.5 * number / 34 for number in range(1, 35)]
    np.testing.assert_allclose([u.drop_rate for u in units], expected, rtol=1e-12)
    block = units[-1]  # increases from 32 to 64 channels
    references.fill(named_variables(block))
    x = references.ramp((12, 3, 3, 32), -2, 2, seed=99)
    r = Layers(block, True)
    dropped, kept = (unit(r, x.astype(np.float64), True, k) for k in (0, 2))
    with NoiseStream(0, 0):
        found = block(x, True).numpy()
    was = [np.allclose(found[i], dropped[i], rtol=1e-4, atol=1e-3) for i in range(12)]
    was_kept = [np.allclose(found[i], kept[i], rtol=1e-4, atol=1e-3) for i in range(12)]
    assert [not d for d in was] == was_kept and 0 < sum(was) < 12


def test_dropout_drops_pooled_features_before_the_head():
    model = models.create("plain_resnet100", width_multiplier=1 / 8, dropout=0.5, num_classes=64)
    model.head.kernel.assign(np.eye(64))
    model.head.bias.assign(np.ones(64))  # which no dropout may touch
    images = references.ramp((4, 32, 32, 3), seed=98)
    pooled = model.features(images, True)["final"].numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(model(images, False).numpy(), pooled + 1, rtol=1e-5, atol=1e-5)
    with NoiseStream(0, 0):
        logits = model(images, True).numpy()
    kept = logits != 1
    assert 0.25 < kept[pooled > 1e-3].mean() < 0.75
    np.testing.assert_allclose(logits[kept], 2 * pooled[kept] + 1, rtol=1e-4)


def test_kernels_decay_and_nothing_else():
    names = named_variables(full())
    decayed = {id(v) for v in full().decayed_variables}
    found = {name for name, variable in names.items() if id(variable) in decayed}
    assert found == {name for name in names if name.endswith("/kernel")}
    assert len(full().decayed_variables) == 107 + 1


def test_width_channels_and_classes():
    model = models.create("plain_resnet100", width_multiplier=1 / 4, channels=1, num_classes=3)
    assert tuple(model.stem1.kernel.shape) == (7, 7, 1, 16)
    assert tuple(model.head.kernel.shape) == (128, 3)
    assert full().options.num_classes == 20


@pytest.mark.parametrize("option", ["depth", "norm_momentum", "norm_epsilon", "use_bias"])
def test_an_option_that_it_does_not_have_is_refused(option):
    with pytest.raises(TypeError, match=option):
        models.create("plain_resnet100", **{option: 1})


@pytest.mark.parametrize("option", ["dropout", "stochastic_depth"])
@pytest.mark.parametrize("value", [-0.5, 1.0])
def test_a_rate_out_of_range_is_refused(option, value):
    with pytest.raises(ValueError, match=rf"{option} must be in \[0, 1\), got {value}"):
        models.create("plain_resnet100", **{option: value})
