"""Random numbers of records: uniform, apart by stream, and the record's own."""

import numpy as np
import pytest

from resnet_tf.input import order
from resnet_tf.input.noise import Noise

import tensorflow as tf  # isort: skip


def make(count, seed=0):
    ids = tf.range(count, dtype=tf.int64)
    return Noise(order.noise_for(ids, tf.zeros_like(ids), seed))


def chi_square_is_usual(counts):
    """Within 5 standard deviations of its mean, for equally likely classes."""
    expected = np.sum(counts) / len(counts)
    statistic = np.sum((counts - expected) ** 2) / expected
    return abs(statistic - (len(counts) - 1)) <= 5 * np.sqrt(2 * (len(counts) - 1))


def test_uniform_is_even_and_below_its_end():
    found = make(20000).uniform(3).numpy()
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() < 1
    assert chi_square_is_usual(np.bincount((found * 50).astype(int), minlength=50))


def test_uniform_between_bounds():
    found, share = make(1000).uniform(3, -2.0, 6.0), make(1000).uniform(3)
    np.testing.assert_allclose(found, -2 + 8 * share.numpy(), rtol=1e-6)


@pytest.mark.parametrize("below", [1, 2, 7, 25, 1000, 2**20])
def test_integer_is_even(below):
    found = make(20000).integer(1, below).numpy()
    assert found.dtype == np.int64
    assert found.min() >= 0
    assert found.max() < below
    classes = min(below, 25)
    assert chi_square_is_usual(np.bincount(found * classes // below, minlength=classes))


@pytest.mark.parametrize("probability", [0, 0.1, 0.5, 1])
def test_coin_has_its_probability(probability):
    found = make(20000).coin(5, probability).numpy()
    spread = np.sqrt(probability * (1 - probability) / 20000)
    assert abs(found.mean() - probability) <= 5 * spread


def test_coin_takes_a_probability_a_record():
    found = make(4).coin(0, tf.constant([0.0, 1.0, 0.0, 1.0]))
    np.testing.assert_array_equal(found, [False, True, False, True])


def test_streams_seeds_and_neighbours_are_uncorrelated():
    first = make(20000).uniform(0).numpy()
    others = [make(20000).uniform(1), make(20000).uniform(100), make(20000, 1).uniform(0)]
    others.append(np.roll(first, 1))
    for other in others:
        assert abs(np.corrcoef(first, other)[0, 1]) < 5 / np.sqrt(20000)


def test_record_has_its_own_numbers():
    together = make(10)
    some = Noise(together.numbers[3:5])
    np.testing.assert_array_equal(some.uniform(2), together.uniform(2)[3:5])
    np.testing.assert_array_equal(some.integer(2, 9), together.integer(2, 9)[3:5])
    np.testing.assert_array_equal(some.octets(2, 6), together.octets(2, 6)[3:5])


def test_octets_by_python_integers():
    numbers = make(3).numbers
    found = make(3).octets(4, 5).numpy()
    assert found.dtype == np.uint8
    for i, start in enumerate(order.scramble(numbers, 4).numpy()):
        for j in range(5):
            x = (int(start) + j * 0x9E3779B9) % 2**32
            x = (x ^ x >> 16) * 0x7FEB352D % 2**32
            x = (x ^ x >> 15) * 0x846CA68B % 2**32
            assert found[i, j] == x >> 24


def test_octets_are_even_and_uncorrelated():
    found = make(40).octets(0, 3000).numpy()
    assert chi_square_is_usual(np.bincount(found.ravel(), minlength=256))
    flat = found.astype(float)
    pairs = [(flat[:, 1:], flat[:, :-1]), (flat[:, 3:], flat[:, :-3]), (flat[1:], flat[:-1])]
    for one, other in pairs:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5 / np.sqrt(one.size)


def test_graph_equals_eager():
    def draw():
        noise = make(20)
        return noise.uniform(1), noise.integer(2, 9), noise.coin(3), noise.octets(4, 7)

    for eager, traced in zip(draw(), tf.function(draw)()):
        np.testing.assert_array_equal(eager, traced)
