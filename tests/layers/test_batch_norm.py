import numpy as np
import pytest
import references

from resnet_tf.layers import BatchNorm, StatisticsTape, batch_norm, named_variables, zeros

SHAPE = (4, 3, 5, 2)
SCALE, OFFSET = np.float32([1.5, -0.5]), np.float32([0.25, 2.0])


def make(**options):
    layer = BatchNorm(2, **options)
    layer.scale.assign(SCALE)
    layer.offset.assign(OFFSET)
    layer.moving_mean.assign([0.5, -1.0])
    layer.moving_variance.assign([2.0, 0.3])
    return layer


@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
@pytest.mark.parametrize("synchronized", [False, True])
def test_training_equals_the_formula(epsilon, synchronized):
    x = references.ramp(SHAPE, low=-3, high=5)
    y = make(epsilon=epsilon, synchronized=synchronized)(x, training=True)
    expected = references.batch_norm(x, SCALE, OFFSET, epsilon)
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-5)


def test_inference_uses_the_stored_statistics_and_leaves_them():
    layer, x = make(), references.ramp(SHAPE)
    expected = references.normalize(x, [0.5, -1.0], [2.0, 0.3], SCALE, OFFSET, 1e-5)
    np.testing.assert_allclose(layer(x, training=False).numpy(), expected, atol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), np.float32([0.5, -1.0]))
    np.testing.assert_array_equal(layer.moving_variance.numpy(), np.float32([2.0, 0.3]))


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("synchronized", [False, True])
def test_statistics_move_by_the_formula(momentum, synchronized):
    layer, x = make(momentum=momentum, synchronized=synchronized), references.ramp(SHAPE, 0, 4)
    layer(x, training=True)
    mean, variance, n = references.batch_statistics(x)
    unbiased = variance * n / (n - 1)
    expected_mean = momentum * np.array([0.5, -1.0]) + (1 - momentum) * mean
    expected_variance = momentum * np.array([2.0, 0.3]) + (1 - momentum) * unbiased
    np.testing.assert_allclose(layer.moving_mean.numpy(), expected_mean, atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance.numpy(), expected_variance, atol=1e-5)


def test_a_tape_records_and_does_not_move():
    layer, x = make(momentum=0.75), references.ramp(SHAPE)
    with StatisticsTape() as tape:
        layer(x, training=True)
    mean, variance, n = references.batch_statistics(x)
    (first, target_mean, rate), (second, target_variance, _) = tape.updates
    assert first is layer.moving_mean and second is layer.moving_variance and rate == 0.25
    np.testing.assert_allclose(target_mean.numpy(), mean, atol=1e-6)
    np.testing.assert_allclose(target_variance.numpy(), variance * n / (n - 1), atol=1e-6)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), np.float32([0.5, -1.0]))


def test_tapes_nest():
    layer, x = make(), references.ramp(SHAPE)
    with StatisticsTape() as outer:
        with StatisticsTape() as inner:
            layer(x, training=True)
        assert len(inner.updates) == 2 and not outer.updates
        layer(x, training=True)
    assert len(outer.updates) == 2


@pytest.mark.parametrize("shape", [(1, 1, 1, 2), (4, 3, 3, 2)])
def test_a_batch_without_variance_gives_finite_values(shape):
    """# fault E10"""
    layer = make()
    y = layer(np.full(shape, 7.0, np.float32), training=True)
    np.testing.assert_allclose(y.numpy(), np.broadcast_to(OFFSET, shape), atol=1e-3)
    assert np.isfinite(layer.moving_variance.numpy()).all()


@pytest.mark.parametrize("synchronized", [False, True])
def test_gradients_equal_central_differences(synchronized):
    import tensorflow as tf

    layer, x = make(epsilon=1e-3, synchronized=synchronized), references.ramp((2, 2, 2, 2), seed=5)
    weights = references.ramp(x.shape, seed=6).astype(np.float64)
    with tf.GradientTape() as tape:
        images = tf.constant(x)
        tape.watch(images)
        y = layer(images, training=True)
        total = tf.reduce_sum(y * tf.constant(weights, tf.float32))
    gradients = tape.gradient(total, [images, layer.scale, layer.offset])

    def loss(images=x, scale=SCALE, offset=OFFSET):
        return float((references.batch_norm(images, scale, offset, 1e-3) * weights).sum())

    expected = references.numeric_gradient(lambda v: loss(images=v), x.astype(np.float64), 1e-4)
    np.testing.assert_allclose(gradients[0].numpy(), expected, atol=1e-3)
    expected = references.numeric_gradient(lambda v: loss(scale=v), SCALE.astype(np.float64))
    np.testing.assert_allclose(gradients[1].numpy(), expected, atol=1e-4)
    expected = references.numeric_gradient(lambda v: loss(offset=v), OFFSET.astype(np.float64))
    np.testing.assert_allclose(gradients[2].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("synchronized", [False, True])
def test_without_a_scale_there_is_no_such_variable_and_the_scale_is_one(synchronized):
    layer = BatchNorm(2, scale_init=None, epsilon=1e-3, synchronized=synchronized)
    assert layer.scale is None
    assert set(named_variables(layer)) == {"offset", "moving_mean", "moving_variance"}
    assert len(layer.trainable_variables) == 1
    layer.offset.assign(OFFSET)
    layer.moving_mean.assign([0.5, -1.0])
    layer.moving_variance.assign([2.0, 0.3])
    x = references.ramp(SHAPE, low=-3, high=5)
    expected = references.normalize(x, [0.5, -1.0], [2.0, 0.3], 1.0, OFFSET, 1e-3)
    np.testing.assert_allclose(layer(x, training=False).numpy(), expected, atol=1e-5)
    expected = references.batch_norm(x, 1.0, OFFSET, 1e-3)
    np.testing.assert_allclose(layer(x, training=True).numpy(), expected, atol=1e-5)
    moved = 0.9 * np.array([0.5, -1.0]) + 0.1 * references.batch_statistics(x)[0]
    np.testing.assert_allclose(layer.moving_mean.numpy(), moved, atol=1e-6)


def test_the_offset_has_a_gradient_without_a_scale():
    import tensorflow as tf

    layer, x = BatchNorm(2, scale_init=None), references.ramp(SHAPE)
    weights = references.ramp(SHAPE, seed=6)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(x, training=True) * weights)
    (of_offset,) = tape.gradient(total, layer.trainable_variables)
    np.testing.assert_allclose(of_offset.numpy(), weights.sum(axis=(0, 1, 2)), atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("synchronized", [False, True])
def test_a_scale_that_starts_at_zero_gives_the_offset_and_can_grow(training, synchronized):
    import tensorflow as tf

    layer = BatchNorm(2, scale_init=zeros, synchronized=synchronized)
    np.testing.assert_array_equal(layer.scale.numpy(), [0, 0])
    layer.offset.assign(OFFSET)
    x = references.ramp(SHAPE)
    with tf.GradientTape() as tape:
        y = layer(x, training)
        total = tf.reduce_sum(y * references.ramp(SHAPE, seed=6))
    np.testing.assert_array_equal(y.numpy(), np.broadcast_to(OFFSET, SHAPE))
    assert (np.abs(tape.gradient(total, layer.scale).numpy()) > 1e-3).all()


def test_a_scale_starts_at_one_by_default():
    np.testing.assert_array_equal(BatchNorm(3).scale.numpy(), [1, 1, 1])


def run_on_two(strategy, layer, x, weights):
    """Outputs, gradients of scale (summed) and of the input of halves of x on two replicas."""
    import tensorflow as tf

    halves = np.split(x, 2), np.split(weights, 2)

    @tf.function
    def step(images, factors):
        def replica(images, factors):
            with tf.GradientTape() as tape:
                tape.watch(images)
                y = layer(images, training=True)
                total = tf.reduce_sum(y * factors)
            of_images, of_scale = tape.gradient(total, [images, layer.scale])
            context = tf.distribute.get_replica_context()
            return y, of_images, context.all_reduce("SUM", of_scale)

        return strategy.run(replica, args=(images, factors))

    def spread(parts):
        return strategy.experimental_distribute_values_from_function(
            lambda c: tf.constant(parts[c.replica_id_in_sync_group])
        )

    y, of_images, of_scale = (
        [part.numpy() for part in strategy.experimental_local_results(value)]
        for value in step(spread(halves[0]), spread(halves[1]))
    )
    return np.concatenate(y), np.concatenate(of_images), of_scale[0]


def test_synchronized_on_two_replicas_equals_the_whole_batch_on_one(two_replicas):
    import tensorflow as tf

    x = references.ramp((8, 3, 3, 2), low=-2, high=4, seed=7)
    weights = references.ramp(x.shape, seed=8)
    with two_replicas.scope():
        layer = make(synchronized=True)
    y, of_images, of_scale = run_on_two(two_replicas, layer, x, weights)
    alone = make()
    with tf.GradientTape() as tape:
        images = tf.constant(x)
        tape.watch(images)
        expected = alone(images, training=True)
        total = tf.reduce_sum(expected * weights)
    expected_of_images, expected_of_scale = tape.gradient(total, [images, alone.scale])
    np.testing.assert_allclose(y, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(of_images, expected_of_images.numpy(), atol=1e-5)
    np.testing.assert_allclose(of_scale, expected_of_scale.numpy(), atol=1e-4)
    for moved, wanted in ((layer.moving_mean, alone.moving_mean),
                          (layer.moving_variance, alone.moving_variance)):  # fmt: skip
        np.testing.assert_allclose(moved.numpy(), wanted.numpy(), atol=1e-6)


def test_synchronized_without_a_scale_on_two_replicas_equals_one(two_replicas):
    import tensorflow as tf

    x = references.ramp((8, 3, 3, 2), low=-2, high=4, seed=7)
    with two_replicas.scope():
        layer = BatchNorm(2, scale_init=None, synchronized=True)
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda c: tf.constant(np.split(x, 2)[c.replica_id_in_sync_group])
    )
    step = tf.function(lambda h: two_replicas.run(lambda x: layer(x, training=True), args=(h,)))
    y = np.concatenate([p.numpy() for p in two_replicas.experimental_local_results(step(halves))])
    np.testing.assert_allclose(y, references.batch_norm(x, 1.0, 0.0), atol=1e-5)


def test_local_statistics_on_two_replicas_move_the_stored_ones_by_their_mean(two_replicas):
    x = references.ramp((8, 3, 3, 2), low=-2, high=4, seed=7)
    with two_replicas.scope():
        layer = make(momentum=0.0)
    y, _, _ = run_on_two(two_replicas, layer, x, np.ones_like(x))
    first, second = np.split(x, 2)
    expected = [references.batch_norm(half, SCALE, OFFSET) for half in (first, second)]
    np.testing.assert_allclose(y, np.concatenate(expected), atol=1e-5)
    mean = (references.batch_statistics(first)[0] + references.batch_statistics(second)[0]) / 2
    np.testing.assert_allclose(layer.moving_mean.numpy(), mean, atol=1e-6)


@pytest.mark.parametrize(
    "options, message",
    [({"channels": 0}, "channels must be 1 or more, got 0"),
     ({"channels": 2, "momentum": 1.5}, r"momentum must be in \[0, 1\], got 1.5")],
)  # fmt: skip
def test_a_value_out_of_range_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BatchNorm(**options)


@pytest.mark.parametrize("taped", [False, True])
@pytest.mark.parametrize("synchronized", [False, True])
def test_a_frozen_one_trains_with_what_is_stored_and_moves_nothing(synchronized, taped):
    layer, x = make(synchronized=synchronized), references.ramp(SHAPE, low=-3, high=5)
    layer.frozen = True
    if taped:
        with StatisticsTape() as tape:
            y = layer(x, training=True)
        assert tape.updates == []
    else:
        y = layer(x, training=True)
    expected = references.normalize(x, [0.5, -1.0], [2.0, 0.3], SCALE, OFFSET, 1e-5)
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), np.float32([0.5, -1.0]))
    np.testing.assert_array_equal(layer.moving_variance.numpy(), np.float32([2.0, 0.3]))


@pytest.mark.parametrize("on_gpus", [False, True])
def test_the_gradient_of_a_frozen_one_is_that_of_a_linear_function(on_gpus, monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(batch_norm, "_on_gpus", lambda: on_gpus)
    layer, x = make(epsilon=1e-3), references.ramp(SHAPE, low=-3, high=5)
    layer.frozen = True
    weights = references.ramp(SHAPE, seed=6)
    with tf.GradientTape() as tape:
        images = tf.constant(x)
        tape.watch(images)
        total = tf.reduce_sum(layer(images, training=True) * weights)
    of_images, of_scale, of_offset = tape.gradient(total, [images, layer.scale, layer.offset])
    spread = np.sqrt(np.array([2.0, 0.3]) + 1e-3)
    np.testing.assert_allclose(of_images.numpy(), weights * SCALE / spread, atol=1e-5)
    standard = (x - [0.5, -1.0]) / spread
    np.testing.assert_allclose(of_scale.numpy(), (weights * standard).sum((0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(of_offset.numpy(), weights.sum(axis=(0, 1, 2)), atol=1e-5)


@pytest.mark.parametrize("kind, digits", [("bfloat16", 2**-8), ("float16", 2**-11)])
@pytest.mark.parametrize("synchronized, frozen", [(False, False), (True, False), (False, True)])
def test_of_16_bit_inputs_the_statistics_are_float32(kind, digits, synchronized, frozen):
    import tensorflow as tf

    layer = make(momentum=0.0, synchronized=synchronized)
    layer.frozen = frozen
    # Far from zero: a variance of 16-bit sums would be wrong altogether.
    x = tf.cast(references.ramp(SHAPE, low=6, high=9), kind)
    seen = tf.cast(x, tf.float32).numpy()
    y = layer(x, training=True)
    mean, variance, n = references.batch_statistics(seen)
    stored = ([0.5, -1.0], [2.0, 0.3]) if frozen else (mean, variance)
    expected = references.normalize(seen, *stored, SCALE, OFFSET, 1e-5)
    assert y.dtype == x.dtype
    np.testing.assert_allclose(tf.cast(y, tf.float32).numpy(), expected, rtol=digits, atol=1e-3)
    if not frozen:
        assert layer.moving_mean.dtype == layer.moving_variance.dtype == tf.float32
        np.testing.assert_allclose(layer.moving_mean.numpy(), mean, rtol=1e-5)
        np.testing.assert_allclose(layer.moving_variance.numpy(), variance * n / (n - 1), rtol=1e-4)
