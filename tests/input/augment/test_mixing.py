"""Mixup and CutMix, against loops over pairs."""

import math

import numpy as np
import pytest

from resnet_tf.input.augment import cutmix, mix, mixup, streams
from resnet_tf.input.augment.distributions import beta
from resnet_tf.input.noise import Noise

import tensorflow as tf  # isort: skip

COIN, MIXUP, CUTMIX, ROW, COLUMN = range(streams.MIXING, streams.MIXING + 5)


def partner(i, repeats):
    return i + repeats if i // repeats % 2 == 0 else i - repeats


def soft_labels(count, classes=5):
    rng = np.random.default_rng(3)
    labels = rng.dirichlet(np.ones(classes), count).astype(np.float32)
    labels[::3] = np.eye(classes, dtype=np.float32)[np.arange(len(labels[::3])) % classes]
    return labels


def box(height, width, draws, i, alpha):
    side = math.sqrt(1 - float(beta(draws, CUTMIX, alpha, alpha)[i]))
    half_h, half_w = int(height * side) // 2, int(width * side) // 2
    y, x = int(draws.integer(ROW, height)[i]), int(draws.integer(COLUMN, width)[i])
    inside = np.zeros((height, width), bool)
    for row in range(max(y - half_h, 0), min(y + half_h, height)):
        for column in range(max(x - half_w, 0), min(x + half_w, width)):
            inside[row, column] = True
    return inside


def one_mixup(x, y, draws, i, j, alpha):
    own = float(beta(draws, MIXUP, alpha, alpha)[i])
    return own * x[i] + (1 - own) * x[j], own * y[i] + (1 - own) * y[j]


def one_cutmix(x, y, draws, i, j, alpha):
    inside = box(*x.shape[1:3], draws, i, alpha)
    own = 1 - inside.mean()
    return np.where(inside[..., None], x[j], x[i]), own * y[i] + (1 - own) * y[j]


@pytest.mark.parametrize("repeats", [1, 2, 3])
@pytest.mark.parametrize("alpha", [0.2, 1.0])
@pytest.mark.parametrize("method", ["mixup", "cutmix"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_equals_the_loops(dtype, method, alpha, repeats, pictures, noise):
    images, targets = pictures(12).astype(dtype), soft_labels(12)
    function, one = {"mixup": (mixup, one_mixup), "cutmix": (cutmix, one_cutmix)}[method]
    mixed, labels = function(tf.constant(images), tf.constant(targets), noise(12), alpha, repeats)
    assert mixed.dtype == ("float32" if method == "mixup" else dtype)
    assert labels.dtype == tf.float32
    for i in range(12):
        picture, label = one(
            images.astype(float), targets, noise(12), i, partner(i, repeats), alpha
        )
        np.testing.assert_allclose(mixed[i], picture, atol=1e-3)
        np.testing.assert_allclose(labels[i], label, atol=1e-6)


def test_both_by_a_coin_a_picture(pictures, noise):
    images, targets = pictures(16), soft_labels(16)
    given = {COIN: np.tile([0.49, 0.5], 8)}
    draws = noise(16, given=given)
    mixed, labels = mix(tf.constant(images), tf.constant(targets), draws, 0.4, 1.0)
    assert mixed.dtype == tf.float32
    for i in range(16):
        one, alpha = (one_cutmix, 1.0) if i % 2 == 0 else (one_mixup, 0.4)
        picture, label = one(images.astype(float), targets, draws, i, i ^ 1, alpha)
        np.testing.assert_allclose(mixed[i], picture, atol=1e-3)
        np.testing.assert_allclose(labels[i], label, atol=1e-6)


def test_repeats_of_one_picture_are_not_mixed(noise):
    images = tf.reshape(tf.constant([1, 1, 2, 2, 3, 3, 4, 4], tf.float32), [8, 1, 1, 1])
    mixed, _ = mixup(images, tf.ones([8, 1]), noise(8, given={MIXUP: 0}), 1.0, repeats=2)
    np.testing.assert_array_equal(mixed[:, 0, 0, 0], [2, 2, 1, 1, 4, 4, 3, 3])


@pytest.mark.parametrize("alphas", [(0.2, 0), (0, 1.0), (0.2, 1.0)])
@pytest.mark.parametrize("repeats", [1, 2])
def test_split_over_replicas_is_the_same(repeats, alphas, pictures, noise):
    images, targets = pictures(16), soft_labels(16)
    whole = mix(tf.constant(images), tf.constant(targets), noise(16), *alphas, repeats)
    for start in range(0, 16, 4):
        part = slice(start, start + 4)
        draws = Noise(noise(16).numbers[part])
        found = mix(tf.constant(images[part]), tf.constant(targets[part]), draws, *alphas, repeats)
        for one, all_of_it in zip(found, whole):
            np.testing.assert_array_equal(one, all_of_it[part])


@pytest.mark.parametrize("alphas", [(0.2, 0), (0, 1.0), (0.8, 0.5)])
def test_labels_sum_to_one_and_agree_with_the_pixels(alphas, noise):
    images = np.zeros((200, 8, 8, 1), np.float32)
    images[::2] = 1  # a mean is the share of the even pictures
    targets = np.tile(np.eye(2, dtype=np.float32), (100, 1))
    mixed, labels = mix(tf.constant(images), tf.constant(targets), noise(200), *alphas)
    np.testing.assert_allclose(np.sum(labels, axis=1), np.ones(200), atol=1e-6)
    np.testing.assert_allclose(np.mean(mixed, axis=(1, 2, 3)), labels[:, 0], atol=1e-5)


def test_cutmix_covers_all_centres_and_areas(noise):
    images = np.zeros((4000, 16, 16, 1), np.uint8)
    images[1::2] = 1
    mixed, _ = cutmix(tf.constant(images), tf.ones([4000, 1]), noise(4000))
    pasted = mixed.numpy()[::2]
    counts = pasted.sum(axis=0)[..., 0]
    assert counts.min() > 0
    share = pasted.mean(axis=(1, 2, 3))
    assert share.min() == 0
    assert share.max() > 0.7
    # Boxes cut at the edges: below the 1/2 of Beta(1, 1).
    assert 0.2 < share.mean() < 0.5


def test_in_a_dataset(pictures, noise):
    images, targets = pictures(12), soft_labels(12)
    expected = mix(tf.constant(images), tf.constant(targets), noise(12), 0.2, 1.0)
    dataset = tf.data.Dataset.from_tensor_slices((images, targets, noise(12).numbers)).batch(8)
    dataset = dataset.map(lambda x, y, r: mix(x, y, Noise(r), 0.2, 1.0))
    assert dataset.element_spec[0].shape.as_list() == [None, 9, 11, 3]
    for found, wanted in zip(zip(*dataset.as_numpy_iterator()), expected):
        np.testing.assert_allclose(np.concatenate(found), wanted, rtol=1e-6)


@pytest.mark.parametrize(("count", "repeats"), [(3, 1), (6, 2), (4, 3)])
def test_batch_must_be_a_multiple(count, repeats, pictures, noise):
    message = f"^a batch to mix must be a multiple of {2 * repeats}, found {count}$"
    with pytest.raises(ValueError, match=message):
        mix(tf.constant(pictures(count)), tf.ones([count, 1]), noise(count), 1.0, 0, repeats)


def test_batch_of_a_wrong_size_that_is_known_late(pictures, noise):
    traced = tf.function(
        lambda x, y, r: mix(x, y, Noise(r), 1.0),
        input_signature=[
            tf.TensorSpec([None, 9, 11, 3], tf.uint8),
            tf.TensorSpec([None, 1], tf.float32),
            tf.TensorSpec([None], tf.int64),
        ],
    )
    with pytest.raises(tf.errors.InvalidArgumentError):
        traced(tf.constant(pictures(3)), tf.ones([3, 1]), noise(3).numbers)


@pytest.mark.parametrize("alphas", [(0, 0), (-0.1, 1), (1, -0.1)])
def test_alphas_out_of_range(alphas, pictures, noise):
    message = (
        r"^alphas must be 0 or more, and one above 0, "
        f"found mixup_alpha={alphas[0]}, cutmix_alpha={alphas[1]}$"
    )
    with pytest.raises(ValueError, match=message):
        mix(tf.constant(pictures(2)), tf.ones([2, 1]), noise(2), *alphas)


def test_repeats_below_1(pictures, noise):
    with pytest.raises(ValueError, match=r"^repeats must be 1 or more, found 0$"):
        mix(tf.constant(pictures(2)), tf.ones([2, 1]), noise(2), 1.0, 0, repeats=0)
