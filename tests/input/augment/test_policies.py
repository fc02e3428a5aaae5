"""AutoAugment, RandAugment, TrivialAugment: which operations, how often and how strongly."""

import numpy as np
import pytest

from resnet_tf.input.augment import (
    autoaugment,
    operations,
    policies,
    published,
    randaugment,
    streams,
    trivialaugment,
)
from resnet_tf.input.augment.operations import Operation

import tensorflow as tf  # isort: skip


@pytest.fixture
def calls(monkeypatch):
    """What `apply` is called with: (operations, magnitudes, fill) a layer."""
    made = []

    def record(images, chosen, magnitudes, fill=0, bilinear=False):
        made.append((chosen.numpy(), magnitudes.numpy(), fill))
        assert not bilinear
        return operations.apply(images, chosen, magnitudes, fill, bilinear)

    monkeypatch.setattr(policies, "apply", record)
    return made


def largest(operation, height, width, wide):
    """Magnitudes of the last bin, as torchvision documents them."""
    name = operation.name
    if name.startswith("SHEAR"):
        return 0.99 if wide else 0.3
    if name == "TRANSLATE_X":
        return 32 if wide else 150 / 331 * width
    if name == "TRANSLATE_Y":
        return 32 if wide else 150 / 331 * height
    if name == "ROTATE":
        return 135 if wide else 30
    return 0.99 if wide else 0.9


def magnitude(operation, position, height=9, width=11, wide=False):
    """At `position` 0..1 of the range; None where there is none."""
    if operation == Operation.POSTERIZE:
        return 8 - round((6 if wide else 4) * position)
    if operation == Operation.SOLARIZE:
        return 255 * (1 - position)
    if Operation.SHEAR_X <= operation <= Operation.SHARPNESS:
        return position * largest(operation, height, width, wide)
    return None


def is_signed(operation):
    return Operation.SHEAR_X <= operation <= Operation.SHARPNESS


@pytest.mark.parametrize("policy", ["imagenet", "cifar10", "svhn"])
def test_published_tables_are_well_formed(policy):
    table = published.POLICIES[policy]
    assert len(table) == 25
    for operation, probability, place in (step for pair in table for step in pair):
        assert 0 <= probability <= 1
        assert round(probability * 10, 6) % 1 == 0
        assert place in range(10)
        if magnitude(operation, 0) is None:
            assert place == 0


def test_published_tables_by_their_first_and_last_rows():
    o = Operation
    assert published.POLICIES["imagenet"][0] == ((o.POSTERIZE, 0.4, 8), (o.ROTATE, 0.6, 9))
    assert published.POLICIES["imagenet"][24] == ((o.EQUALIZE, 0.8, 0), (o.EQUALIZE, 0.6, 0))
    assert published.POLICIES["cifar10"][0] == ((o.INVERT, 0.1, 0), (o.CONTRAST, 0.2, 6))
    assert published.POLICIES["cifar10"][24] == ((o.TRANSLATE_Y, 0.7, 9), (o.AUTO_CONTRAST, 0.9, 0))
    assert published.POLICIES["svhn"][0] == ((o.SHEAR_X, 0.9, 4), (o.INVERT, 0.2, 0))
    assert published.POLICIES["svhn"][24] == ((o.SHEAR_X, 0.7, 2), (o.INVERT, 0.1, 0))


@pytest.mark.parametrize("policy", ["imagenet", "cifar10", "svhn"])
def test_autoaugment_follows_its_table(policy, pictures, noise, calls):
    count = 400
    draws = noise(count)
    autoaugment(tf.constant(pictures(count)), draws, policy)
    chosen = draws.integer(streams.AUTOAUGMENT, 25).numpy()
    assert set(chosen) == set(range(25))
    for i, (found, magnitudes, fill) in enumerate(calls):
        assert fill == 128
        done = draws.uniform(streams.AUTOAUGMENT + 1 + 2 * i).numpy()
        turned = draws.coin(streams.AUTOAUGMENT + 2 + 2 * i).numpy()
        for k in range(count):
            operation, probability, place = published.POLICIES[policy][chosen[k]][i]
            if done[k] >= np.float32(probability):
                assert found[k] == Operation.IDENTITY
                continue
            assert found[k] == operation
            expected = magnitude(operation, place / 9)
            if expected is not None:
                sign = -1 if turned[k] and is_signed(operation) else 1
                np.testing.assert_allclose(magnitudes[k], sign * expected, rtol=1e-6)
    assert len(calls) == 2


def test_autoaugment_does_a_pair_in_its_order(pictures, noise):
    images = pictures(1)
    first = streams.AUTOAUGMENT
    given = {first: 24 / 25 + 0.01, first + 1: 0, first + 2: 0.9, first + 3: 0, first + 4: 0.9}
    found = autoaugment(tf.constant(images), noise(1, given=given), "svhn")
    shear = tf.constant([int(Operation.SHEAR_X)]), tf.constant([0.3 * 2 / 9], tf.float32)
    sheared = operations.apply(tf.constant(images), *shear, fill=128)
    np.testing.assert_array_equal(found, 255 - sheared.numpy())


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("strength", [0, 9, 17, 30])
def test_randaugment_layers_and_magnitude(strength, layers, pictures, noise, calls):
    draws = noise(300)
    randaugment(tf.constant(pictures(300)), draws, layers, strength, fill=7)
    assert len(calls) == layers
    for i, (found, magnitudes, fill) in enumerate(calls):
        assert fill == 7
        assert set(found) == set(Operation) - {Operation.INVERT}
        turned = draws.coin(streams.RANDAUGMENT + 2 * i + 1).numpy()
        for k in range(300):
            expected = magnitude(Operation(found[k]), strength / 30)
            if expected is not None:
                sign = -1 if turned[k] and is_signed(found[k]) else 1
                np.testing.assert_allclose(magnitudes[k], sign * expected, rtol=1e-6, atol=1e-6)


def test_trivialaugment_draws_all_operations_and_bins(pictures, noise, calls):
    count = 6000
    draws = noise(count)
    trivialaugment(tf.constant(pictures(1).repeat(count, axis=0)), draws)
    ((found, magnitudes, fill),) = calls
    assert fill == 0
    counts = np.bincount(found, minlength=len(Operation))
    assert counts[Operation.INVERT] == 0
    assert np.all(np.abs(counts[:-1] - count / 14) < 5 * np.sqrt(count / 14))
    for operation in Operation:
        if magnitude(operation, 0) is None:
            continue
        bins = [magnitude(operation, i / 30, wide=True) for i in range(31)]
        values = {round(float(v), 3) for v in magnitudes[found == operation]}
        expected = {round(sign * b, 3) for b in bins for sign in (1, -1)}
        if not is_signed(operation):
            expected = {round(b, 3) for b in bins}
        assert values <= expected
        assert len(values) > 0.9 * len(expected)


def test_arguments_out_of_range(pictures, noise):
    images = tf.constant(pictures(1))
    with pytest.raises(ValueError, match=r"^policy must be one of imagenet, .*, found 'cifar'$"):
        autoaugment(images, noise(1), "cifar")
    with pytest.raises(ValueError, match=r"^layers must be from 1 to 30, found 0$"):
        randaugment(images, noise(1), layers=0)
    with pytest.raises(ValueError, match=r"^layers must be from 1 to 30, found 31$"):
        randaugment(images, noise(1), layers=31)
    with pytest.raises(ValueError, match=r"^magnitude must be from 0 to 30, found 31$"):
        randaugment(images, noise(1), magnitude=31)
