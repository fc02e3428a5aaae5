"""The order of training examples, and their noise, as formulas of the position."""

import ciphers
import numpy as np
import pytest

from resnet_tf.input import order

import tensorflow as tf  # isort: skip  after resnet_tf, which prepares the process

MANY = 50_000


def positions(first, end):
    return tf.range(first, end, dtype=tf.int64)


def epoch_order(records, epoch, seed=0):
    first = epoch * records
    return order.record_at(positions(first, first + records), records, seed).numpy()


def correlation(a, b):
    return np.corrcoef(a.astype(np.float64), b.astype(np.float64))[0, 1]


@pytest.mark.parametrize("records", [1, 2, 3, 7, 64, 65, 1000, 1437, MANY])
@pytest.mark.parametrize("epoch", [0, 1, 300])
def test_every_epoch_holds_every_record_once(records, epoch):
    np.testing.assert_array_equal(np.sort(epoch_order(records, epoch)), np.arange(records))


def test_one_record_is_always_record_0():
    np.testing.assert_array_equal(order.record_at(positions(0, 5), 1, 3).numpy(), np.zeros(5))


@pytest.mark.parametrize("batch", [1, 3, 10, 16, 250])
def test_any_split_into_batches_gives_the_same_sequence(batch):
    records, end = 101, 250  # two and a half epochs, so that batches cross an epoch's end
    whole = order.record_at(positions(0, end), records, 5).numpy()
    parts = [
        order.record_at(positions(first, min(first + batch, end)), records, 5).numpy()
        for first in range(0, end, batch)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_batch_across_the_end_of_an_epoch_drops_and_repeats_nothing():
    records = 10
    batches = [order.record_at(positions(p, p + 4), records, 1).numpy() for p in range(0, 20, 4)]
    sequence = np.concatenate(batches)
    assert sorted(sequence[:10]) == list(range(10))
    assert sorted(sequence[10:]) == list(range(10))
    np.testing.assert_array_equal(sequence[8:12], batches[2])


def test_a_far_position_needs_nothing_before_it():
    records, far = 1437, 10**12 + 7
    alone = order.record_at(tf.constant([far], tf.int64), records, 2).numpy()
    among = order.record_at(positions(far - 50, far + 50), records, 2).numpy()
    assert alone[0] == among[50]


def test_epoch_is_position_divided_by_records():
    found = order.epoch_of(tf.constant([0, 9, 10, 19, 20, 10**15], tf.int64), 10).numpy()
    np.testing.assert_array_equal(found, [0, 0, 1, 1, 2, 10**14])


def test_the_mix_is_splitmix64():
    assert ciphers.mix(0) == 0xE220A8397B1DCDAF  # the generator's first number from seed 0


def test_order_is_the_cipher_with_16_rounds_and_the_documented_key():
    records, seed, epoch = 1000, 17, 3
    expected = ciphers.cipher(positions(0, records), (0, seed, epoch, 0), records)  # 0: an order
    np.testing.assert_array_equal(epoch_order(records, epoch, seed), expected)


@pytest.mark.parametrize("copy", [0, 1])
def test_noise_is_the_cipher_below_2_to_the_40_with_its_own_purpose(copy):
    ids = positions(0, 100)
    epochs = tf.fill([100], tf.constant(3, tf.int64))
    found = order.noise_for(ids, epochs, 17, copy).numpy()
    np.testing.assert_array_equal(found, ciphers.cipher(ids, (1, 17, 3, copy), 2**40))  # 1: noise


def test_streams_are_the_cipher_with_their_own_purpose():
    noise = positions(10**9, 10**9 + 50)
    np.testing.assert_array_equal(
        order.scramble(noise, 207).numpy(), ciphers.cipher(noise, (2, 207), 2**40)
    )


@pytest.mark.parametrize("far", [1, 2, 255, 256, 2**16, 2**20])
def test_no_two_epochs_or_seeds_are_alike(far):
    # Given to the cipher as they are, epochs 256 apart would have one order: see the module.
    records = 300
    first = epoch_order(records, 0, seed=0)
    for other in (epoch_order(records, far, seed=0), epoch_order(records, 0, seed=far)):
        assert (first == other).mean() < 0.05


def test_traced_order_equals_eager_order():
    traced = tf.function(lambda p: order.record_at(p, 77, 4))
    p = positions(0, 200)
    np.testing.assert_array_equal(traced(p).numpy(), order.record_at(p, 77, 4).numpy())


@pytest.mark.parametrize("seed", [0, 1, 2, 12345])
def test_neighbours_in_the_order_are_not_correlated(seed):
    # The standard deviation of the coefficient is 1 / sqrt(50,000) = 0.0045.
    ids = epoch_order(MANY, 0, seed)
    assert abs(correlation(ids[:-1], ids[1:])) < 0.02


@pytest.mark.parametrize("seed", [0, 1, 2, 12345])
def test_two_epochs_are_not_correlated(seed):
    assert abs(correlation(epoch_order(MANY, 0, seed), epoch_order(MANY, 1, seed))) < 0.02


@pytest.mark.parametrize("other", [1, 2, 255])
def test_two_seeds_are_not_correlated(other):
    assert abs(correlation(epoch_order(MANY, 0, 0), epoch_order(MANY, 0, other))) < 0.02


def test_few_records_stay_in_place():
    # A random permutation has one fixed point on average, whatever its length.
    assert np.sum(epoch_order(MANY, 0) == np.arange(MANY)) < 10


def noise(ids, epoch, seed):
    return order.noise_for(ids, tf.fill(tf.shape(ids), tf.constant(epoch, tf.int64)), seed).numpy()


def test_noise_is_below_2_to_the_40_and_fills_that_range():
    values = noise(positions(0, MANY), 0, 0)
    assert values.min() >= 0
    assert values.max() < 2**40
    assert values.max() > 0.999 * 2**40
    # Uniform: mean 1/2, with a standard deviation of sqrt(1/12 / 50,000) = 0.0013.
    assert abs(np.mean(values / 2**40) - 0.5) < 0.0065


@pytest.mark.parametrize("modulus", [2, 81, 162])
@pytest.mark.parametrize("epoch", [0, 1])
def test_noise_modulo_is_uniform_by_chi_square(modulus, epoch):
    counts = np.bincount(noise(positions(0, MANY), epoch, 0) % modulus, minlength=modulus)
    expected = MANY / modulus
    chi_square = np.sum((counts - expected) ** 2 / expected)
    # k - 1 degrees of freedom: mean k - 1, variance 2 (k - 1); five standard deviations.
    assert chi_square < (modulus - 1) + 5 * np.sqrt(2 * (modulus - 1))


def test_noise_depends_on_the_record():
    assert len(np.unique(noise(positions(0, 1000), 0, 0))) == 1000


def test_noise_depends_on_the_epoch():
    ids = positions(0, 1000)
    assert not np.any(noise(ids, 0, 0) == noise(ids, 1, 0))


def test_noise_depends_on_the_seed():
    ids = positions(0, 1000)
    assert not np.any(noise(ids, 0, 0) == noise(ids, 0, 1))


def test_noise_takes_an_epoch_a_record():
    ids, epochs = tf.constant([4, 4, 9], tf.int64), tf.constant([0, 1, 1], tf.int64)
    expected = [noise(ids[i : i + 1], int(epochs[i]), 8)[0] for i in range(3)]
    np.testing.assert_array_equal(order.noise_for(ids, epochs, 8).numpy(), expected)
