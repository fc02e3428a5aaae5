"""Windows, repeats and slices: the same order however it is read."""

import itertools

import ciphers
import numpy as np
import pytest

from resnet_tf.input import order
from resnet_tf.input.order import Order
from resnet_tf.input.slices import Slices

import tensorflow as tf  # isort: skip  after resnet_tf, which prepares the process

SHARDS = (5, 0, 3, 1, 0, 7, 4)
N = sum(SHARDS)
WINDOWS = (0, 1, 2, 3, len(SHARDS), len(SHARDS) + 5)
OWNER = np.repeat(np.arange(len(SHARDS)), SHARDS)
SEED = 5


def positions(first, end):
    return tf.range(first, end, dtype=tf.int64)


def ids_of(how, first, end):
    return how.at(positions(first, end))[0].numpy()


def windows_of(how, epochs):
    """Of each window, one after another: its shards, its first position, its end."""
    numbers = range(epochs * how.windows)
    return [
        tuple(x.numpy() for x in how.shards_of_window(tf.constant(number, tf.int64)))
        for number in numbers
    ]


@pytest.mark.parametrize("repeats", [1, 2, 3])
@pytest.mark.parametrize("window", WINDOWS)
def test_every_record_comes_as_often_as_it_is_repeated_an_epoch(window, repeats):
    how = Order(SHARDS, SEED, window, repeats)
    assert how.records == N
    found = ids_of(how, 0, 3 * N * repeats).reshape(3, N, repeats)
    assert (found == found[:, :, :1]).all()  # copies follow each other
    for epoch in found[:, :, 0]:
        assert sorted(epoch) == list(range(N))
    assert (found[0] != found[1]).any() and (found[1] != found[2]).any()


@pytest.mark.parametrize("window", [0, len(SHARDS), len(SHARDS) + 5])
def test_one_window_is_the_order_without_windows(window):
    how = Order(SHARDS, SEED, window)
    assert how.windows == 1
    expected = order.record_at(positions(0, 3 * N), N, SEED).numpy()
    np.testing.assert_array_equal(ids_of(how, 0, 3 * N), expected)
    assert [w[0].tolist() for w in windows_of(how, 2)] == [list(range(len(SHARDS)))] * 2


@pytest.mark.parametrize("window, count", [(1, 7), (2, 4), (3, 3), (6, 2)])
def test_number_of_windows(window, count):
    assert Order(SHARDS, SEED, window).windows == count


@pytest.mark.parametrize("window", [0, 2, 3])
@pytest.mark.parametrize("size", [4, N + 3])
def test_any_slicing_gives_the_same_list(window, size):
    how = Order(SHARDS, SEED, window, repeats=2)
    end = 5 * N
    whole = [x.numpy() for x in how.at(positions(0, end))]
    at = tf.function(how.at)
    parts = [at(positions(first, min(first + size, end))) for first in range(0, end, size)]
    for expected, part in zip(whole, zip(*parts, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate([p.numpy() for p in part]), expected)


@pytest.mark.parametrize("window", [0, 2, 3])
def test_positions_may_come_in_any_order_and_from_any_epoch(window):
    how = Order(SHARDS, SEED, window)
    some = np.array([3 * N + 4, 0, 1000 * N + 7, N - 1, N, 5, 5, 1000 * N + 7])
    found = how.at(tf.constant(some, tf.int64))
    for i, position in enumerate(some):
        alone = how.at(tf.constant([position], tf.int64))
        assert [x[i].numpy() for x in found] == [x[0].numpy() for x in alone]


@pytest.mark.parametrize("repeats", [1, 2])
@pytest.mark.parametrize("window", WINDOWS)
def test_the_records_of_a_window_lie_in_its_range_of_positions(window, repeats):
    how = Order(SHARDS, SEED, window, repeats)
    made = windows_of(how, 3)
    end_before = 0
    for number, (shards, first, end) in enumerate(made):
        assert first == end_before and end >= first
        assert len(shards) <= (window or len(SHARDS)) and sorted(shards) == list(shards)
        found = ids_of(how, first, end)
        inside = np.flatnonzero(np.isin(OWNER, shards))
        np.testing.assert_array_equal(np.sort(found), np.repeat(inside, repeats))
        for position in range(first, end):
            assert how.window_of(tf.constant(position, tf.int64)).numpy() == number
        end_before = end
    assert end_before == 3 * N * repeats
    for epoch in range(3):
        of_epoch = made[epoch * how.windows : (epoch + 1) * how.windows]
        assert sorted(np.concatenate([w[0] for w in of_epoch])) == list(range(len(SHARDS)))


def test_no_position_has_no_record():
    for window in WINDOWS:
        how = Order(SHARDS, SEED, window)
        for find in (how.at, tf.function(how.at)):
            assert [x.shape[0] for x in find(positions(3, 3))] == [0, 0]


def test_windows_are_put_together_anew_each_epoch_and_by_seed():
    how, other = Order((1,) * 12, SEED, 4), Order((1,) * 12, SEED + 1, 4)
    first, second = ([set(w[0]) for w in windows_of(how, 2)[i : i + 3]] for i in (0, 3))
    assert first != second
    assert first != [set(w[0]) for w in windows_of(other, 1)]


def test_records_of_equal_windows_are_permuted_differently():
    """The places inside a window, by rank, in each of 8 windows of 20 records."""
    how = Order((20,) * 8, SEED, 1)
    ranks = ids_of(how, 0, 160).reshape(8, 20) % 20
    assert len({tuple(row) for row in ranks}) == 8


def test_where_a_shard_comes_in_the_epoch_is_uniform():
    """The shards' order is drawn by the same cipher: over 200 epochs no place is preferred."""
    how = Order((1,) * 5, SEED, 1)
    first = ids_of(how, 0, 5 * 200).reshape(200, 5)[:, 0]
    counts = np.bincount(first, minlength=5)
    assert np.sum((counts - 40) ** 2 / 40) < 18.5  # chi square, 4 degrees, one in a thousand


@pytest.mark.parametrize("window", [0, 2])
def test_noise_is_that_of_record_epoch_and_copy(window):
    how = Order(SHARDS, SEED, window, repeats=3)
    ids, noise = (x.numpy() for x in how.at(positions(0, 6 * N)))
    for position in (0, 1, 2, 7, 3 * N - 1, 3 * N, 6 * N - 1):
        record, epoch, copy = ids[position], position // (3 * N), position % 3
        parts = (1, SEED, epoch, copy)
        assert noise[position] == ciphers.cipher(tf.constant(record, tf.int64), parts, 2**40)
    assert len(set(noise.tolist())) == 6 * N  # between records, copies and epochs
    other = Order(SHARDS, SEED + 1, window, repeats=3).at(positions(0, 6 * N))[1].numpy()
    assert not set(noise.tolist()) & set(other.tolist())


def test_without_repeats_the_noise_is_that_of_copy_0():
    once, twice = Order(SHARDS, SEED), Order(SHARDS, SEED, repeats=2)
    np.testing.assert_array_equal(
        twice.at(positions(0, 4 * N))[1].numpy()[::2], once.at(positions(0, 2 * N))[1].numpy()
    )


# --- slices


def pipelines(count, replicas, batch_size, first_step):
    """`count` pipelines of `replicas` each that share a global batch."""
    each = batch_size // (count * replicas)
    return [Slices(first_step, batch_size, each, i * replicas, replicas) for i in range(count)]


def steps_of(slices, steps):
    """Positions of each step of one pipeline, int64 `[steps, of all its replicas]`."""
    batches = list(slices.batches().take(steps * slices.replicas).as_numpy_iterator())
    assert all(batch.shape == (slices.per_replica,) for batch in batches)
    return np.array(batches).reshape(steps, -1)


@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("first_step", [0, 7])
def test_the_pipelines_of_one_global_batch_share_it_without_rest(count, replicas, first_step):
    parts = [steps_of(s, 4) for s in pipelines(count, replicas, 24, first_step)]
    together = np.concatenate(parts, axis=1)
    expected = np.arange(first_step * 24, (first_step + 4) * 24).reshape(4, 24)
    np.testing.assert_array_equal(together, expected)


@pytest.mark.parametrize("count, replicas", [(1, 1), (1, 3), (2, 2), (4, 1)])
@pytest.mark.parametrize("first_step", [0, 2])
def test_what_lies_within_a_stretch_is_what_the_batches_have_of_it(count, replicas, first_step):
    for slices in pipelines(count, replicas, 12, first_step):
        all_of_them = steps_of(slices, 8).ravel()
        assert slices.first_position == all_of_them[0]
        cuts = [0, 1, 5, 30, 31, 31, 60, (first_step + 8) * 12]
        found = []
        for first, end in itertools.pairwise(cuts):
            part = slices.within(*tf.constant([first, end], tf.int64)).numpy()
            assert ((part >= first) & (part < end)).all()
            found.append(part)
        np.testing.assert_array_equal(np.concatenate(found), all_of_them)
