"""`Augmentation`: each field switches its stage on, and the stages come in the order it says."""

import dataclasses

import made
import numpy as np
import pytest
import references

from resnet_tf import input
from resnet_tf.input import augment, crop, images, order
from resnet_tf.input.augment import streams
from resnet_tf.input.noise import Noise
from resnet_tf.preprocessing import Preprocessing

import tensorflow as tf  # isort: skip

COUNT, SIDE = 8, 12
PICTURES = Preprocessing(SIDE, SIDE, 3, (100.0,) * 3, (50.0,) * 3)


@pytest.fixture(scope="module")
def batch():
    """Pictures, and their numbers."""
    pixels = np.stack([made.pixels(i, SIDE, SIDE) for i in range(COUNT)])
    ids = tf.range(COUNT, dtype=tf.int64)
    return tf.constant(pixels), order.noise_for(ids, tf.zeros_like(ids), 4)


def test_by_default_nothing_is_done(batch):
    pixels, numbers = batch
    how = input.Augmentation()
    np.testing.assert_array_equal(how.augmented(pixels, numbers).numpy(), pixels.numpy())
    assert (how.fixed, how.rounded, how.mixes, how.draws(numbers)) == (True, True, False, {})
    labels = tf.range(COUNT, dtype=tf.int64)
    mixed = how.mixed(pixels, labels, numbers, 10)
    assert mixed[0] is pixels and mixed[1] is labels


STAGES = {
    "pad": ({"pad": 2}, lambda x, r: augment.pad_crop_flip(x, r, 2, False)),
    "pad and flip": ({"pad": 2, "flip": True}, lambda x, r: augment.pad_crop_flip(x, r, 2, True)),
    "flip": ({"flip": True}, lambda x, r: augment.flip(x, Noise(r), True, False)),
    "vertical": ({"flip_vertical": True}, lambda x, r: augment.flip(x, Noise(r), False, True)),
    "both flips": (
        {"flip": True, "flip_vertical": True}, lambda x, r: augment.flip(x, Noise(r), True, True)
    ),
    "imagenet": (
        {"policy": "autoaugment_imagenet"},
        lambda x, r: augment.autoaugment(x, Noise(r), "imagenet"),
    ),
    "cifar10": (
        {"policy": "autoaugment_cifar10"}, lambda x, r: augment.autoaugment(x, Noise(r), "cifar10")
    ),
    "svhn": (
        {"policy": "autoaugment_svhn"}, lambda x, r: augment.autoaugment(x, Noise(r), "svhn")
    ),
    "randaugment": (
        {"policy": "randaugment"}, lambda x, r: augment.randaugment(x, Noise(r), 2, 9)
    ),
    "strong randaugment": (
        {"policy": "randaugment", "policy_layers": 3, "policy_magnitude": 30},
        lambda x, r: augment.randaugment(x, Noise(r), 3, 30),
    ),
    "trivialaugment": (
        {"policy": "trivialaugment"}, lambda x, r: augment.trivialaugment(x, Noise(r))
    ),
    "augmix": ({"policy": "augmix"}, lambda x, r: augment.augmix(x, Noise(r))),
    "brightness": ({"brightness": 0.3}, lambda x, r: augment.jitter(x, Noise(r), 0.3)),
    "contrast": ({"contrast": 0.3}, lambda x, r: augment.jitter(x, Noise(r), contrast=0.3)),
    "saturation": ({"saturation": 0.5}, lambda x, r: augment.jitter(x, Noise(r), saturation=0.5)),
    "hue": ({"hue": 0.1}, lambda x, r: augment.jitter(x, Noise(r), hue=0.1)),
    "grey": ({"grey": 0.5}, lambda x, r: augment.grey(x, Noise(r), 0.5)),
    "lighting": ({"lighting": 0.5}, lambda x, r: augment.lighting(x, Noise(r), 0.5)),
    "erasing": ({"erasing": 0.9}, lambda x, r: augment.erasing(x, Noise(r), 0.9, "noise")),
    "erasing with the mean": (
        {"erasing": 0.9, "erasing_fill": "mean", "fill": (7.0, 8.0, 9.0)},
        lambda x, r: augment.erasing(x, Noise(r), 0.9, (7.0, 8.0, 9.0)),
    ),
    "cutout": ({"cutout": 4}, lambda x, r: augment.cutout(x, Noise(r), 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", STAGES)
def test_a_field_switches_its_stage_on(name, batch):
    pixels, numbers = batch
    fields, stage = STAGES[name]
    found = input.Augmentation(**fields).augmented(pixels, numbers)
    expected = stage(pixels, numbers)
    assert found.dtype == expected.dtype and found.shape == pixels.shape
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    assert (tf.cast(found, tf.float32) != tf.cast(pixels, tf.float32)).numpy().any()


def test_every_field_is_tried():
    known = {name for fields, _ in STAGES.values() for name in fields}
    of_fit = {"crop_scale", "crop_ratio", "mixup", "cutmix", "repeats"}
    assert known | of_fit == {f.name for f in dataclasses.fields(input.Augmentation)}


def test_the_stages_come_in_their_order(batch):
    pixels, numbers = batch
    noise = Noise(numbers)
    how = input.Augmentation(
        pad=1, flip=True, flip_vertical=True, policy="trivialaugment", contrast=0.4, grey=0.5,
        lighting=0.3, erasing=0.5, cutout=3,
    )  # fmt: skip
    expected = augment.pad_crop_flip(pixels, numbers, 1, True)
    expected = augment.flip(expected, noise, False, True)
    expected = augment.trivialaugment(expected, noise)
    expected = augment.jitter(expected, noise, contrast=0.4)
    expected = augment.grey(expected, noise, 0.5)
    expected = augment.lighting(expected, noise, 0.3)
    expected = augment.erasing(expected, noise, 0.5, "noise")
    expected = augment.cutout(expected, noise, 3)
    np.testing.assert_array_equal(how.augmented(pixels, numbers).numpy(), expected.numpy())


@pytest.mark.parametrize("fields, fixed, rounded, mixes", [
    ({"pad": 2, "flip": True, "cutout": 2, "erasing": 0.5}, True, True, False),
    ({"crop_scale": (0.1, 1.0)}, False, True, False),
    ({"brightness": 0.1}, True, False, False), ({"contrast": 0.1}, True, False, False),
    ({"saturation": 0.1}, True, False, False), ({"hue": 0.1}, True, False, False),
    ({"lighting": 0.1}, True, False, False), ({"grey": 0.1}, True, True, False),
    ({"policy": "augmix", "brightness": 0.1}, True, True, False),
    ({"crop_scale": (0.1, 1.0), "hue": 0.1}, False, False, False),
    ({"mixup": 0.2}, True, True, True), ({"cutmix": 1.0}, True, True, True),
])  # fmt: skip
def test_what_it_says_of_itself(fields, fixed, rounded, mixes):
    how = input.Augmentation(**fields)
    assert (how.fixed, how.rounded, how.mixes) == (fixed, rounded, mixes)


def row(how, numbers, i):
    return {name: drawn[i] for name, drawn in how.draws(numbers).items()}


@pytest.mark.parametrize("fields", [{}, {"brightness": 0.1}])
@pytest.mark.parametrize("encode", [made.png, made.jpeg])
def test_a_part_is_cut_out_and_resized_plainly(fields, encode, batch):
    how = input.Augmentation(crop_scale=(0.2, 0.6), crop_ratio=(0.5, 2.0), **fields)
    encoded = tf.constant(encode(made.pixels(1, 31, 45)))
    size = images.size_of(encoded)
    whole = images.decode(encoded, 3).numpy()
    for i in range(COUNT):
        drawn = row(how, batch[1], i)
        top, left, h, w = crop.box(size, drawn["crop"], (0.2, 0.6), (0.5, 2.0)).numpy()
        part = whole[top : top + h, left : left + w]
        if encode is made.jpeg:  # whose colours differ at the border, see the tests of the box
            box = tf.constant([top, left, h, w])
            part = images.decode_box(encoded, size, box, 3).numpy()
        expected = references.resize(part, SIDE, SIDE, antialias=False)
        found = how.fit(encoded, drawn, PICTURES).numpy()
        assert found.dtype == (np.float32 if fields else np.uint8)
        assert np.abs(found - expected).max() <= (1e-3 if fields else 0.501)


def test_the_whole_picture_of_ex6_net_equals_tf_images_functions(batch):
    """Bilinear without antialiasing, mirrored, brighter or darker, other saturation; unrounded."""
    pictures = dataclasses.replace(PICTURES, antialias=False)
    how = input.Augmentation(flip=True, brightness=32 / 255, saturation=0.5)
    numbers, noise = batch[1], Noise(batch[1])
    sources = [made.pixels(i, 20 + i, 31 - i) for i in range(COUNT)]
    fitted = [how.fit(tf.constant(made.png(source)), {}, pictures) for source in sources]
    assert {image.dtype for image in fitted} == {tf.float32}
    found = how.augmented(tf.stack(fitted), numbers).numpy()
    mirrored = noise.coin(streams.FLIP + 2).numpy()
    brightness = noise.uniform(streams.JITTER, -32 / 255, 32 / 255).numpy()
    saturation = noise.uniform(streams.JITTER + 1, 0.5, 1.5).numpy()
    assert mirrored.any() and not mirrored.all()
    for i, source in enumerate(sources):
        x = tf.image.resize(tf.image.convert_image_dtype(source, tf.float32), [SIDE, SIDE])
        x = tf.image.flip_left_right(x) if mirrored[i] else x
        x = tf.image.adjust_brightness(x, brightness[i])
        x = tf.image.adjust_saturation(x, saturation[i])
        expected = tf.clip_by_value(x, 0, 1).numpy()
        np.testing.assert_allclose(found[i] / 255, expected, atol=1e-5)
    assert (found != np.round(found)).any()


@pytest.mark.parametrize("fields", [
    {"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}, {"mixup": 1.0, "repeats": 2},
])  # fmt: skip
def test_pictures_and_labels_are_mixed_with_the_neighbours(fields, batch):
    pixels, numbers = batch
    labels = tf.constant([0, 1, 2, 3, 4, 4, 0, 2], tf.int64)
    how = input.Augmentation(**fields)
    found, soft = how.mixed(pixels, labels, numbers, 5)
    one_hot = np.eye(5, dtype=np.float32)[labels.numpy()]
    told = {"mixup_alpha": how.mixup, "cutmix_alpha": how.cutmix, "repeats": how.repeats}
    expected = augment.mix(pixels, tf.constant(one_hot), Noise(numbers), **told)
    np.testing.assert_array_equal(found.numpy(), expected[0].numpy())
    np.testing.assert_array_equal(soft.numpy(), expected[1].numpy())
    assert soft.dtype == tf.float32 and (found.dtype == tf.uint8) == (not how.mixup)
    np.testing.assert_allclose(soft.numpy().sum(axis=1), 1, rtol=1e-6)
    # Nothing but the own class and the partner's.
    partner = np.arange(COUNT) ^ how.repeats
    allowed = (one_hot + one_hot[partner]) > 0
    assert (soft.numpy()[~allowed] == 0).all()
    share = (soft.numpy() * one_hot).sum(axis=1)
    if how.mixup and not how.cutmix:
        x = pixels.numpy().astype(np.float64)
        for i in range(COUNT):
            if labels[i] == labels[partner[i]]:
                continue
            mixed = share[i] * x[i] + (1 - share[i]) * x[partner[i]]
            np.testing.assert_allclose(found.numpy()[i], mixed, atol=0.02)


def test_batches_of_soft_labels_and_floats():
    rng = np.random.default_rng(0)
    reader = input.ArrayReader(rng.integers(0, 256, (16, 4, 4, 3), np.uint8), np.arange(16) % 3)

    def first(how):
        data = input.training_batches(
            tf.distribute.get_strategy(), reader, input.Order((16,), 1, repeats=how.repeats),
            batch_size=8, augmentation=how, classes=3,
        )  # fmt: skip
        return next(iter(data))

    images_, labels, marks = first(input.Augmentation(mixup=0.5, repeats=2))
    assert (images_.dtype, labels.dtype) == (tf.float32, tf.float32)
    assert images_.shape == (8, 4, 4, 3) and labels.shape == (8, 3)
    plain, hard, same_marks = first(input.Augmentation(repeats=2))
    ids = marks[:, 0]
    assert (plain.dtype, hard.dtype) == (tf.uint8, tf.int64)
    np.testing.assert_array_equal(ids.numpy(), same_marks.numpy()[:, 0])
    assert (marks[:, 1].numpy() != same_marks[:, 1].numpy()).all()  # of the mixed pixels
    np.testing.assert_array_equal(hard.numpy(), ids.numpy() % 3)
    assert first(input.Augmentation(hue=0.1))[0].dtype == tf.float32
