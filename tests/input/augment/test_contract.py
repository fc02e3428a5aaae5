"""What every augmentation keeps: shape, dtype, and that a record stands for itself."""

import numpy as np
import pytest

from resnet_tf.input import augment, order
from resnet_tf.input.augment import streams
from resnet_tf.input.noise import Noise

import tensorflow as tf  # isort: skip

UINT8 = {
    "flip": lambda x, noise: augment.flip(x, noise, True, True),
    "grey": lambda x, noise: augment.grey(x, noise, 0.5),
    "autoaugment": lambda x, noise: augment.autoaugment(x, noise, "imagenet"),
    "randaugment": lambda x, noise: augment.randaugment(x, noise, 3, 20),
    "trivialaugment": augment.trivialaugment,
    "augmix": augment.augmix,
    "erasing": lambda x, noise: augment.erasing(x, noise, 0.7),
    "erasing with a colour": lambda x, noise: augment.erasing(x, noise, 0.7, 99),
    "cutout": lambda x, noise: augment.cutout(x, noise, 4),
}
FLOAT = {
    "jitter": lambda x, noise: augment.jitter(x, noise, 0.3, 0.4, 0.5, 0.1),
    "lighting": augment.lighting,
}
ALL = {**UINT8, **FLOAT}
COLOURED = ("grey", "jitter", "lighting")
each = pytest.mark.parametrize("name", ALL)


@each
def test_record_stands_for_itself(name, pictures, noise):
    images, numbers = pictures(24), noise(24).numbers.numpy()
    together = ALL[name](tf.constant(images), Noise(tf.constant(numbers))).numpy()
    assert any(np.any(a != b) for a, b in zip(together, images))
    order = np.random.default_rng(1).permutation(24)
    permuted = ALL[name](tf.constant(images[order]), Noise(tf.constant(numbers[order])))
    np.testing.assert_array_equal(permuted, together[order])
    for i in range(0, 24, 3):
        alone = ALL[name](tf.constant(images[i : i + 1]), Noise(tf.constant(numbers[i : i + 1])))
        np.testing.assert_array_equal(alone, together[i : i + 1])


@each
def test_in_a_dataset_with_batches_of_several_sizes(name, pictures, noise):
    images, numbers = pictures(13), noise(13).numbers
    expected = ALL[name](tf.constant(images), Noise(numbers)).numpy()
    dataset = tf.data.Dataset.from_tensor_slices((images, numbers)).batch(8)
    dataset = dataset.map(lambda x, r: ALL[name](x, Noise(r)))
    assert dataset.element_spec.shape.as_list() == [None, *images.shape[1:]]
    found = np.concatenate(list(dataset.as_numpy_iterator()))
    np.testing.assert_array_equal(found, expected)


@each
def test_dtype(name, pictures, noise):
    found = ALL[name](tf.constant(pictures(6)), noise(6))
    assert found.shape == (6, 9, 11, 3)
    assert found.dtype == (tf.float32 if name in FLOAT else tf.uint8)


@pytest.mark.parametrize("name", ["flip", "grey", "erasing", "erasing with a colour", "cutout"])
def test_float_pictures_stay_float(name, pictures, noise):
    images = pictures(12) + np.float32(0.25)
    found = ALL[name](tf.constant(images), noise(12)).numpy()
    assert found.dtype == np.float32
    kept = [i for i in range(12) if np.array_equal(found[i], images[i])]
    assert len(kept) < 12
    whole = ALL[name](tf.constant(images - np.float32(0.25)), noise(12)).numpy()
    close = np.isclose(found, whole + 0.25) | (found == whole)
    assert close.all()


@each
def test_one_channel(name, pictures, noise):
    images = tf.constant(pictures(8, channels=1))
    if name in COLOURED:
        with pytest.raises(ValueError, match=r"needs pictures of 3 channels, found 1$"):
            ALL[name](images, noise(8))
    else:
        assert ALL[name](images, noise(8)).shape == images.shape


@each
def test_no_picture_at_all(name, noise):
    images = tf.zeros([0, 9, 11, 3], tf.uint8)
    assert ALL[name](images, noise(0)).shape == (0, 9, 11, 3)


def test_streams_belong_to_one_augmentation(pictures, noise, monkeypatch):
    owned = [value for name, value in vars(streams).items() if name.isupper()]
    owned.remove(streams.PER_AUGMENTATION)
    assert sorted(owned) == list(range(0, 1200, streams.PER_AUGMENTATION))
    used = set()
    scramble = order.scramble
    monkeypatch.setattr(order, "scramble", lambda r, s: used.add(int(s)) or scramble(r, s))
    images, numbers = tf.constant(pictures(4)), noise(4).numbers
    targets = tf.one_hot([0, 1, 2, 0], 3)
    functions = {
        **ALL,
        "augmix": lambda x, r: augment.augmix(x, r, width=8),
        "randaugment": lambda x, r: augment.randaugment(x, r, layers=30),
        "mixing": lambda x, r: augment.mix(x, targets, r, 0.2, 1.0),
    }
    for name, function in functions.items():
        used.clear()
        function(images, Noise(numbers))
        first = getattr(streams, name.upper().replace(" WITH A COLOUR", ""))
        assert used
        assert used <= set(range(first, first + streams.PER_AUGMENTATION)), name
