import numpy as np
import pytest
import references
import tensorflow as tf
from references import relu

from resnet_tf import models
from resnet_tf.layers import named_variables
from resnet_tf.models import cifar_ordering, cifar_resnet, count_parameters

PAPER = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962, 1202: 19_421_274}


@pytest.mark.parametrize("depth", PAPER)
def test_trainable_parameters_are_the_published_ones(depth):
    assert count_parameters(models.create(f"cifar_resnet{depth}"))[1] == PAPER[depth]


@pytest.mark.parametrize("ordering", cifar_ordering.ORDERINGS)
def test_parameters_of_the_orderings_are_the_published_ones(ordering):
    published = (470_218, 467_946) if ordering.startswith("e") else (470_410, 468_042)
    assert count_parameters(models.create(f"cifar_resnet32_{ordering}")) == published


def paper_count(depth, width, channels, classes, shortcut):
    """Written out: kernels 3x3 without bias, two numbers a channel of each batch norm."""
    n, w = (depth - 2) // 6, width
    count = 9 * channels * w + 2 * w
    for c_in, c in ((w, w), (w, 2 * w), (2 * w, 4 * w)):
        count += 9 * c_in * c + 9 * c * c + 4 * c + (n - 1) * (18 * c * c + 4 * c)
        if c_in != c and shortcut == "B":
            count += c_in * c + 2 * c
    return count + 4 * w * classes + classes


@pytest.mark.parametrize("depth", [8, 14, 20])
@pytest.mark.parametrize("options", [
    {}, {"shortcut": "B"}, {"width_multiplier": 5 / 16}, {"channels": 1, "num_classes": 7},
])  # fmt: skip
def test_parameters_of_any_depth_and_option_by_arithmetic(depth, options):
    chosen = {"width_multiplier": 1.0, "channels": 3, "num_classes": 10, "shortcut": "A"} | options
    width = round(16 * chosen["width_multiplier"])
    expected = paper_count(
        depth, width, chosen["channels"], chosen["num_classes"], chosen["shortcut"]
    )
    assert count_parameters(models.create("cifar_resnet", depth=depth, **options))[1] == expected


@pytest.mark.parametrize("size", [8, 9, 15, 32])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name, options", [
    ("cifar_resnet", {}), ("cifar_resnet", {"shortcut": "B"}),
    ("cifar_resnet_ordering", {"ordering": "e"}),
])  # fmt: skip
def test_any_input_from_eight_up_and_any_channel_count(size, channels, name, options):
    model = models.create(name, depth=8, channels=channels, num_classes=5, **options)
    images = references.ramp((2, size, size, channels))
    assert model(images, training=True).shape == (2, 5)
    features = model.features(images, training=False)
    sizes = [features[k].shape[1] for k in ("stem", "stage1", "stage2", "stage3", "final")]
    half = -(-size // 2)
    assert sizes == [size, size, half, -(-half // 2), -(-half // 2)]
    assert features["final"].shape[3] == 64


# --- numbers: each block against NumPy, with weights that no two operations share


def fill(block):
    """Distinct values everywhere, batch norms far from the identity."""
    for seed, (name, variable) in enumerate(named_variables(block).items()):
        low, high = (0.5, 2.0) if name.endswith(("scale", "moving_variance")) else (-0.7, 0.7)
        variable.assign(references.ramp(variable.shape, low, high, seed))


class Reference:
    """The operations of one block in NumPy, by the names of its layers."""

    def __init__(self, block, padding, training):
        self.block, self.padding, self.training = block, padding, training

    def conv(self, name, x):
        layer = self.layer(name)
        bias = None if layer.bias is None else layer.bias.numpy()
        padding = self.padding if layer.kernel.shape[0] == 3 else "valid"
        return references.conv2d(x, layer.kernel.numpy(), layer.stride, padding, bias)

    def norm(self, name, x):
        layer = self.layer(name)
        scale, offset = layer.scale.numpy(), layer.offset.numpy()
        if self.training:
            return references.batch_norm(x, scale, offset)
        stored = layer.moving_mean.numpy(), layer.moving_variance.numpy()
        return references.normalize(x, *stored, scale, offset, 1e-5)

    def layer(self, name):
        layer = self.block
        for part in name.split("."):
            layer = getattr(layer, part)
        return layer

    def projected(self, x, where):
        return x if self.block.projection is None else self.conv("projection", where)


def expected_a(r, x):
    y = r.norm("norm2", r.conv("conv2", relu(r.norm("norm1", r.conv("conv1", x)))))
    return relu(y + r.projected(x, x))


def expected_b(r, x):
    y = r.conv("conv2", relu(r.norm("norm1", r.conv("conv1", x))))
    return relu(r.norm("norm2", y + r.projected(x, x)))


def expected_c(r, x):
    y = relu(r.norm("norm2", r.conv("conv2", relu(r.norm("norm1", r.conv("conv1", x))))))
    return y + r.projected(x, x)


def expected_d(r, x):
    y = r.norm("norm2", r.conv("conv2", relu(r.norm("norm1", r.conv("conv1", relu(x))))))
    return y + r.projected(x, relu(x))


def expected_d_v2(r, x):
    return expected_d(r, x) - r.projected(x, relu(x)) + r.projected(x, x)


def expected_e(r, x):
    activated = relu(r.norm("norm1", x))
    y = r.conv("conv2", relu(r.norm("norm2", r.conv("conv1", activated))))
    return y + r.projected(x, activated)


def expected_e_v2(r, x):
    return expected_e(r, x) - r.projected(x, relu(r.norm("norm1", x))) + r.projected(x, x)


EXPECTED = {
    "a": expected_a, "b": expected_b, "c": expected_c, "d": expected_d, "d_v2": expected_d_v2,
    "e": expected_e, "e_v2": expected_e_v2,
}  # fmt: skip


def blocks_of(ordering):
    """A block that keeps its stage and one that changes it."""
    model = models.create(
        "cifar_resnet_ordering", depth=8, ordering=ordering, width_multiplier=3 / 16
    )
    return model.stage1[0], model.stage2[0]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("changes", [False, True])
@pytest.mark.parametrize("ordering", EXPECTED)
def test_each_ordering_computes_what_its_row_says(ordering, changes, training):
    block = blocks_of(ordering)[changes]
    fill(block)
    x = references.ramp((3, 8, 8, 3), -2, 2, seed=99)
    expected = EXPECTED[ordering](Reference(block, "same", training), x.astype(np.float64))
    np.testing.assert_allclose(block(x, training).numpy(), expected, atol=2e-4)


@pytest.mark.parametrize("changes", [False, True])
def test_no_two_orderings_compute_the_same(changes):
    """So that the test above cannot pass with one ordering in another's place."""
    x = references.ramp((3, 8, 8, 3), -2, 2, seed=99)
    outputs = {}
    for ordering in EXPECTED:
        block = blocks_of(ordering)[changes]
        fill(block)
        outputs[ordering] = block(x, True).numpy()
    same = {
        (p, q) for p in outputs for q in outputs
        if p < q and np.abs(outputs[p] - outputs[q]).max() < 1e-2
    }  # fmt: skip
    # Without a projection there is nothing that the second forms could do differently.
    assert same == (set() if changes else {("d", "d_v2"), ("e", "e_v2")})


def expected_paper(r, x, shortcut):
    y = r.norm("norm2", r.conv("conv2", relu(r.norm("norm1", r.conv("conv1", x)))))
    return relu(y + shortcut)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_paper_blocks_with_either_shortcut(shortcut, training):
    model = models.create("cifar_resnet", depth=8, shortcut=shortcut, width_multiplier=1 / 4)
    same, changing = model.stage1[0], model.stage2[0]
    fill(same)
    fill(changing)
    x = references.ramp((3, 8, 8, 4), -2, 2, seed=99)
    r = Reference(same, 1, training)
    np.testing.assert_allclose(same(x, training), expected_paper(r, x, x), atol=2e-4)
    r = Reference(changing, 1, training)
    if shortcut == "A":
        carried = np.zeros((3, 4, 4, 8))
        carried[..., 2:6] = x[:, ::2, ::2]
    else:
        carried = r.norm("shortcut.norm", r.conv("shortcut.conv", x))
    np.testing.assert_allclose(changing(x, training), expected_paper(r, x, carried), atol=2e-4)


@pytest.mark.parametrize("name, options", [
    ("cifar_resnet", {}), ("cifar_resnet_ordering", {"ordering": "b"}),
])  # fmt: skip
def test_stem_final_stage_and_head_are_put_together_as_the_family_says(name, options):
    model = models.create(name, depth=8, width_multiplier=1 / 8, num_classes=3, **options)
    fill(model)
    x = references.ramp((2, 8, 8, 3), seed=98)
    r = Reference(model, "same", training=False)
    features = {k: v.numpy() for k, v in model.features(x, training=False).items()}
    stem = r.conv("stem", x)
    if name == "cifar_resnet":
        stem, final = relu(r.norm("stem_norm", stem)), features["stage3"]
    else:
        final = relu(r.norm("final_norm", features["stage3"]))
    np.testing.assert_allclose(features["stem"], stem, atol=1e-4)
    np.testing.assert_allclose(features["final"], final, atol=1e-4)
    logits = final.mean(axis=(1, 2)) @ model.head.kernel.numpy() + model.head.bias.numpy()
    np.testing.assert_allclose(model(x, training=False).numpy(), logits, atol=1e-4)


@pytest.mark.parametrize("size", [8, 9])
def test_shortcut_a_is_a_strided_slice_and_a_pad_to_the_last_bit(size):
    x = np.random.default_rng(0).normal(size=(2, size, size, 4)).astype(np.float32)
    found = cifar_resnet.PaddedShortcut(4, 10, 2)(tf.constant(x), training=True).numpy()
    expected = np.pad(x[:, ::2, ::2], [(0, 0), (0, 0), (0, 0), (3, 3)])
    np.testing.assert_array_equal(found, expected)


# --- options and names


@pytest.mark.parametrize("name, options, message", [
    ("cifar_resnet", {"depth": 9}, r"depth must be 6n \+ 2 with n of 1 or more, got 9"),
    ("cifar_resnet", {"depth": 2}, r"depth must be 6n \+ 2 with n of 1 or more, got 2"),
    ("cifar_resnet", {"depth": 8, "width_multiplier": 0}, "width_multiplier must be above 0, got"),
    ("cifar_resnet", {"depth": 8, "width_multiplier": 0.01}, "channels_out must be an integer of"),
    ("cifar_resnet", {"depth": 8, "shortcut": "C"}, "shortcut must be 'A' or 'B', got 'C'"),
    ("cifar_resnet_ordering", {"depth": 8, "ordering": "f"},
     "ordering must be one of a, b, c, d, d_v2, e, e_v2, got 'f'"),
    ("cifar_resnet21", {}, "no network is called 'cifar_resnet21'; there are .*cifar_resnet20"),
    ("vgg", {}, "no network is called 'vgg'; there are cifar_resnet, "),
])  # fmt: skip
def test_a_wrong_name_or_option_is_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        models.create(name, **options)


@pytest.mark.parametrize("options, message", [
    ({"depth": 8.0}, "depth must be an integer, got 8.0"),
    ({"depth": True}, "depth must be an integer, got True"),
    ({"num_classes": 2.5}, "num_classes must be an integer, got 2.5"),
    ({"num_classes": 0}, "num_classes must be above 0, got 0"),
    ({"channels": "3"}, "channels must be an integer, got '3'"),
    ({"channels": -1}, "channels must be above 0, got -1"),
    ({"width_multiplier": "abc"}, "width_multiplier must be a number, got 'abc'"),
    ({"width_multiplier": True}, "width_multiplier must be a number, got True"),
    ({"width_multiplier": float("inf")}, "width_multiplier must be finite, got inf"),
    ({"norm_epsilon": float("nan")}, "norm_epsilon must be finite, got nan"),
    ({"norm_epsilon": 0}, "norm_epsilon must be above 0, got 0"),
    ({"norm_momentum": 1.5}, r"norm_momentum must be in \[0, 1\], got 1.5"),
    ({"zero_last_scale": "no"}, "zero_last_scale must be True or False, got 'no'"),
    ({"sync_batch_norm": 1}, "sync_batch_norm must be True or False, got 1"),
    ({"shortcut": 1}, "shortcut must be a name, got 1"),
])  # fmt: skip
def test_an_option_of_another_type_or_out_of_range_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        models.create("cifar_resnet", **({"depth": 8} | options))


def test_an_option_that_a_network_does_not_have_is_refused():
    with pytest.raises(TypeError, match="dept"):
        models.create("cifar_resnet20", dept=3)


def test_names_by_pattern():
    assert models.names("cifar_resnet5*") == ["cifar_resnet50", "cifar_resnet56"]
    assert len(models.names("cifar_resnet32_*")) == 7
    assert models.names() == sorted(models.names())


def test_a_seed_gives_the_same_weights_and_another_gives_others():
    first, again, other = (models.create("cifar_resnet", depth=8, seed=s) for s in (1, 1, 2))
    kernels = [m.stage2[0].conv1.kernel.numpy() for m in (first, again, other)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.isclose(kernels[0], kernels[2]).any()


def test_kernels_decay_and_nothing_else():
    model = models.create("cifar_resnet_ordering", depth=8, ordering="a")
    decayed = {id(v) for v in model.decayed_variables}
    names = {name for name, v in named_variables(model).items() if id(v) in decayed}
    assert names == {n for n in named_variables(model) if n.endswith("/kernel")}
    assert len(names) == len(model.decayed_variables) == 1 + 6 + 2 + 1


def test_sync_batch_norm_reaches_every_batch_norm():
    from resnet_tf.layers import BatchNorm

    for name, options in (("cifar_resnet", {"shortcut": "B"}),
                          ("cifar_resnet_ordering", {"ordering": "e"})):  # fmt: skip
        model = models.create(name, depth=8, sync_batch_norm=True, **options)
        norms = [m for m in model.submodules if isinstance(m, BatchNorm)]
        assert norms and all(norm.synchronized for norm in norms)


def test_a_classifier_must_define_its_features():
    with pytest.raises(NotImplementedError, match="Classifier does not define features"):
        models.Classifier(None).features(tf.zeros([1, 8, 8, 3]), False)
