"""Dropout, stochastic depth, and the noise that belongs to the step and the example."""

import numpy as np
import pytest
import references
import tensorflow as tf

from resnet_tf.layers import NoiseStream, drop_path, dropout

SHAPE = (6, 3, 4, 2)
X = references.ramp(SHAPE, 1, 2)  # no zero of its own


def kept(y, rate, x=X):
    """Where y is x / (1 - rate); everywhere else it must be zero."""
    y = np.asarray(y)
    scaled = np.isclose(y, x / (1 - rate), rtol=1e-6, atol=0)
    assert (scaled | (y == 0)).all()
    return scaled


@pytest.mark.parametrize("drop", [dropout, drop_path])
@pytest.mark.parametrize("rate, training", [(0.5, False), (0.0, True), (0, False)])
def test_inference_and_rate_zero_give_the_input_itself(drop, rate, training):
    x = tf.constant(X)
    assert drop(x, rate, training) is x


@pytest.mark.parametrize("drop", [dropout, drop_path])
@pytest.mark.parametrize("rate", [0.25, 0.5, 0.8])
def test_what_is_not_dropped_is_divided_by_the_share_that_is_kept(drop, rate):
    masks = []
    for step in range(4):
        with NoiseStream(0, step):
            masks.append(kept(drop(X, rate, True), rate))
    assert 0 < np.mean(masks) < 1


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.9])
def test_the_expectation_is_the_input(rate):
    ones = np.ones((400, 100), np.float32)
    with NoiseStream(3, 0):
        y = dropout(ones, rate, True).numpy()
    # Each entry has variance rate / (1 - rate).
    assert abs(y.mean() - 1) < 4 * np.sqrt(rate / (1 - rate) / ones.size)


def test_drop_path_drops_its_share_of_examples():
    with NoiseStream(3, 0):
        y = drop_path(np.ones((4000, 1, 1, 2), np.float32), 0.3, True).numpy()
    assert abs((y[:, 0, 0, 0] == 0).mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 4000)


def test_drop_path_drops_whole_examples_and_dropout_single_entries():
    whole, single = [], []
    for step in range(20):
        with NoiseStream(0, step):
            whole.append(kept(drop_path(X, 0.5, True), 0.5).reshape(6, -1).mean(axis=1))
            single.append(kept(dropout(X, 0.5, True), 0.5).reshape(6, -1).mean(axis=1))
    assert set(np.ravel(whole)) == {0.0, 1.0}
    assert np.std(whole, axis=1).max() > 0  # not the same for all examples of a step
    assert ((np.ravel(single) > 0) & (np.ravel(single) < 1)).mean() > 0.9


@pytest.mark.parametrize("drop", [dropout, drop_path])
def test_any_number_of_axes(drop):
    x = np.ones((50, 8), np.float32)
    with NoiseStream(0, 0):
        assert 0 < kept(drop(x, 0.5, True), 0.5, x).mean() < 1


def mask(seed=1, step=2, draws_before=0, shape=(64, 5)):
    ones = np.ones(shape, np.float32)
    with NoiseStream(seed, step):
        for _ in range(draws_before):
            dropout(ones, 0.5, True)
        return kept(dropout(ones, 0.5, True), 0.5, ones)


def test_the_same_seed_step_and_draw_give_the_same_noise():
    np.testing.assert_array_equal(mask(), mask())
    np.testing.assert_array_equal(mask(step=tf.constant(2, tf.int64)), mask(step=2))


@pytest.mark.parametrize("other", [
    {"seed": 2}, {"step": 3}, {"draws_before": 1}, {"seed": 2, "step": 1}, {"step": 2 + 2**32},
])  # fmt: skip
def test_another_seed_step_or_draw_gives_other_noise(other):
    assert 0.3 < (mask() == mask(**other)).mean() < 0.7


def test_streams_nest():
    with NoiseStream(1, 2):
        with NoiseStream(1, 2):
            first = dropout(X, 0.5, True)
        again = dropout(X, 0.5, True)
    np.testing.assert_array_equal(first.numpy(), again.numpy())


def test_a_layer_that_draws_nothing_does_not_move_the_others():
    with NoiseStream(1, 2):
        dropout(X, 0.0, True)
        drop_path(X, 0.5, False)
        found = dropout(X, 0.5, True)
    with NoiseStream(1, 2):
        expected = dropout(X, 0.5, True)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_outside_any_stream_the_numbers_are_tensorflows():
    def draw():
        return dropout(X, 0.5, True).numpy(), drop_path(X, 0.5, True).numpy()

    tf.random.set_seed(7)
    first, second = draw(), draw()
    tf.random.set_seed(7)
    again = draw()
    with NoiseStream(1, 2):
        dropout(X, 0.5, True)
    following = draw()
    for a, b in zip(first + second, again + following):
        np.testing.assert_array_equal(a, b)
    assert (first[0] != second[0]).any()


def test_a_step_that_is_traced_gives_the_noise_of_each_step():
    @tf.function
    def run(step):
        with NoiseStream(1, step):
            return dropout(X, 0.5, True), drop_path(X, 0.5, True)

    for step in range(3):
        found = run(tf.constant(step, tf.int64))
        with NoiseStream(1, step):
            expected = dropout(X, 0.5, True), drop_path(X, 0.5, True)
        for a, b in zip(found, expected):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert run.experimental_get_tracing_count() == 1


def test_a_batch_size_that_is_not_known_when_traced():
    @tf.function(input_signature=[tf.TensorSpec([None, 3, 4, 2])])
    def run(x):
        with NoiseStream(1, 0):
            return dropout(x, 0.5, True), drop_path(x, 0.5, True)

    with NoiseStream(1, 0):
        expected = dropout(X, 0.5, True), drop_path(X, 0.5, True)
    for a, b in zip(run(X), expected):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("drop", [dropout, drop_path])
def test_two_replicas_drop_what_one_drops_of_the_whole_batch(drop, two_replicas):
    x = references.ramp((64, 2, 2, 3), 1, 2)

    def forward(images):
        with NoiseStream(5, tf.constant(11, tf.int64)):
            drop(images, 0.5, True)
            return drop(images, 0.5, True)

    halves = two_replicas.experimental_distribute_values_from_function(
        lambda c: tf.constant(np.split(x, 2)[c.replica_id_in_sync_group])
    )
    both = tf.function(lambda h: two_replicas.run(forward, args=(h,)))(halves)
    parts = [part.numpy() for part in two_replicas.experimental_local_results(both)]
    np.testing.assert_array_equal(np.concatenate(parts), forward(x).numpy())
    assert (kept(parts[0], 0.5, x[:32]) != kept(parts[1], 0.5, x[32:])).any()


@pytest.mark.parametrize("drop", [dropout, drop_path])
def test_the_gradient_is_zero_where_dropped_and_scaled_elsewhere(drop):
    weights = references.ramp(SHAPE, 1, 2, seed=1)
    with tf.GradientTape() as tape, NoiseStream(0, 0):
        x = tf.constant(X)
        tape.watch(x)
        y = drop(x, 0.75, True)
        total = tf.reduce_sum(y * weights)
    expected = np.where(kept(y, 0.75), weights / 0.25, 0)
    assert 0 < (expected == 0).mean() < 1
    np.testing.assert_allclose(tape.gradient(total, x).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("drop", [dropout, drop_path])
def test_an_infinite_entry_that_is_dropped_gives_zero(drop):
    with NoiseStream(0, 0):
        y = drop(np.full((64, 4), np.inf, np.float32), 0.5, True).numpy()
    assert set(y.ravel()) == {0.0, np.inf}


@pytest.mark.parametrize("drop", [dropout, drop_path])
@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_of_16_bits_the_same_entries_are_dropped_as_of_float32(drop, kind):
    with NoiseStream(3, 1):
        expected = drop(X, 0.5, True).numpy() != 0
    with NoiseStream(3, 1):
        y = drop(tf.cast(X, kind), 0.5, True)
    assert y.dtype == tf.as_dtype(kind) and 0 < expected.mean() < 1
    found = tf.cast(y, tf.float32).numpy()
    np.testing.assert_array_equal(found != 0, expected)
    twice = 2 * tf.cast(tf.cast(X, kind), tf.float32).numpy()
    np.testing.assert_array_equal(found[expected], twice[expected])


@pytest.mark.parametrize("drop", [dropout, drop_path])
def test_parts_of_a_batch_drop_what_the_whole_one_does(drop):
    with NoiseStream(3, 1):
        whole = drop(X, 0.5, True).numpy()
    parts = []
    for first in (0, 2, 4):
        with NoiseStream(3, 1, tf.constant(first), 6):
            parts.append(drop(X[first : first + 2], 0.5, True).numpy())
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("shape", [(64, 5), (7, 1, 1, 1), (6, 3, 5, 7)])
def test_the_noise_is_tensorflows_and_compiled_it_is_the_same(shape):
    def draw(step):
        with NoiseStream(3, step) as stream:
            return stream.uniform(list(shape)), stream.uniform(list(shape))

    step = tf.constant(11, tf.int64)
    first, second = draw(step)
    seed = tf.random.experimental.stateless_fold_in(tf.constant([3, 11], tf.int64), 0, "philox")
    expected = tf.random.stateless_uniform(shape, seed, alg="philox")
    np.testing.assert_array_equal(first.numpy(), expected.numpy())
    compiled = tf.function(draw, jit_compile=True)(step)
    np.testing.assert_array_equal(compiled[0].numpy(), first.numpy())
    np.testing.assert_array_equal(compiled[1].numpy(), second.numpy())
    assert (first.numpy() != second.numpy()).any()
