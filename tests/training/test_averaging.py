"""The average of a network while it trains: by hand, on replicas, saved and begun anew."""

import numpy as np
import pytest
import references

from resnet_tf import models
from resnet_tf.layers import BatchNorm, Dense, named_variables, zeros
from resnet_tf.training.averaging import Average

import tensorflow as tf  # isort: skip

ONE = tf.distribute.get_strategy()  # no strategy: one replica


class Model(tf.Module):
    """Weights and moving statistics."""

    def __init__(self, inputs=1, start=0.0):
        super().__init__()
        self.dense = Dense(inputs, 1, init=zeros)
        self.norm = BatchNorm(1)
        self.put(start)

    def put(self, value):
        for variable in named_variables(self).values():
            variable.assign(tf.fill(variable.shape, value))


NAMES = {
    "dense/kernel", "dense/bias", "norm/scale", "norm/offset", "norm/moving_mean",
    "norm/moving_variance",
}  # fmt: skip


def averages(average):
    return {
        name: variable.numpy().item()
        for name, variable in average.state.items()
        if name != "average_updates"
    }


def every(value, **close):
    return {f"average/{name}": pytest.approx(value, **close) for name in NAMES}


def test_three_updates_by_hand_of_weights_and_statistics_alike():
    model, twin = Model(), Model(start=5.0)
    average = Average(model, twin, decay=0.99)
    assert averages(average) == every(0.0) and average.updates.numpy() == 0
    for value, expected in [
        (10.0, 9.0),  # d = 1/10: 0 + 9/10 · 10
        (20.0, 18.0),  # d = 2/11: 9 + 9/11 · 11
        (22.0, 21.0),  # d = 3/12: 18 + 3/4 · 4
    ]:
        model.put(value)
        average.update()
        assert averages(average) == every(expected, rel=1e-6)
    assert average.updates.numpy() == 3 and average.updates.dtype == tf.int64
    assert model.dense.bias.numpy() == [22.0]  # the network itself is left alone


def test_the_decay_is_the_larger_once_the_warm_up_is_over():
    model = Model()
    average = Average(model, Model(), decay=0.125)
    for value, expected in [
        (10.0, 9.0),  # 1/10 is below 1/8
        (17.0, 16.0),  # 2/11 is not: 9 + 7/8 · 8
        (24.0, 23.0),  # nor 3/12: 16 + 7/8 · 8
    ]:
        model.put(value)
        average.update()
        assert averages(average) == every(expected, rel=1e-6)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.9999])
def test_a_hundred_updates(decay):
    model = Model(start=3.0)
    average = Average(model, Model(), decay)
    values = references.ramp((100,), -2, 4)
    for value in values.tolist():
        model.put(value)
        average.update()
    expected = references.moving_average(3.0, values.astype(np.float64), decay)
    assert averages(average) == every(expected, rel=1e-5)


def test_a_decay_near_1_keeps_its_digits():
    """With no warm-up left, 1 - d is 1e-6, and not what float32 makes of 1 - 0.999999."""
    model = Model()
    average = Average(model, Model(), decay=0.999999)
    average.updates.assign(10**9)
    model.put(1.0)
    average.update()
    assert averages(average) == every(1e-6, rel=1e-6)


def test_what_does_not_move_is_kept_to_the_last_bit():
    model = Model(start=0.1)
    average = Average(model, Model(), decay=0.9)
    for _ in range(20):
        average.update()
    assert set(averages(average).values()) == {float(np.float32(0.1))}


def test_the_state_is_the_variables_of_the_twin_and_the_count():
    model, twin = Model(), Model()
    average = Average(model, twin, decay=0.9)
    assert average.state.keys() == {f"average/{name}" for name in NAMES} | {"average_updates"}
    assert average.state["average_updates"] is average.updates
    for name, variable in named_variables(twin).items():
        assert average.state[f"average/{name}"] is variable


def test_it_goes_on_from_its_state():
    """All that the next update depends on is in `state`, the count of the updates too."""
    model = Model()
    straight, before, after = (Average(model, Model(), decay=0.9) for _ in range(3))

    def run(average, values):
        for value in values:
            model.put(value)
            average.update()

    run(straight, [1.0, 5.0, -2.0, 4.0])
    run(before, [1.0, 5.0])
    for name, variable in after.state.items():
        variable.assign(before.state[name])
    run(after, [-2.0, 4.0])
    assert averages(after) == averages(straight)


def test_restart_copies_the_network_and_warms_up_again():
    model = Model()
    average = Average(model, Model(), decay=0.9)
    for _ in range(5):
        average.update()
    model.put(7.0)  # as other weights that are loaded
    average.restart()
    assert averages(average) == every(7.0) and average.updates.numpy() == 0
    model.put(17.0)
    average.update()
    assert averages(average) == every(16.0)  # 7 + 9/10 · 10


def moved(strategy, steps, decay):
    """A network and its average after steps that move every variable, but for each third."""
    with strategy.scope():
        model, twin = Model(inputs=3, start=0.25), Model(inputs=3)
        average = Average(model, twin, decay)
        step = tf.Variable(0.0, trainable=False)

    def replica_step():
        def update():
            for number, variable in enumerate(named_variables(model).values()):
                value = tf.fill(variable.shape, (number + 1) / (step + 1))
                tf.raw_ops.AssignAddVariableOp(resource=variable.handle, value=value)
            average.update()

        tf.cond(step % 3 != 2, update, lambda: None)

    @tf.function
    def run(count):
        for _ in tf.range(count):
            strategy.run(replica_step)
            step.assign_add(1.0)

    run(tf.constant(steps))
    return model, average


def copies(strategy, average):
    """The state on each replica."""
    state = {n: strategy.experimental_local_results(v) for n, v in average.state.items()}
    number = strategy.num_replicas_in_sync
    return [{n: v[i].numpy() for n, v in state.items()} for i in range(number)]


def test_in_a_traced_step_on_one_and_two_replicas(two_replicas):
    (alone,) = copies(ONE, moved(ONE, steps=6, decay=0.3)[1])
    first, second = copies(two_replicas, moved(two_replicas, steps=6, decay=0.3)[1])
    # Of six steps the third and the last change nothing and are not counted.
    assert alone["average_updates"] == 4
    moves = np.cumsum([1, 1 / 2, 1 / 4, 1 / 5])
    for number, name in enumerate(sorted(NAMES)):
        expected = references.moving_average(0.25, 0.25 + (number + 1) * moves, 0.3)
        np.testing.assert_allclose(alone[f"average/{name}"], expected, rtol=1e-5)
    for name, value in alone.items():
        np.testing.assert_array_equal(first[name], value)
        np.testing.assert_array_equal(second[name], value)


def test_restart_reaches_every_replica(two_replicas):
    model, average = moved(two_replicas, steps=2, decay=0.9)
    for variable in named_variables(model).values():
        variable.assign(tf.fill(variable.shape, 3.0))
    average.restart()
    for copy in copies(two_replicas, average):
        assert copy.pop("average_updates") == 0
        assert all((value == 3.0).all() for value in copy.values())


def test_the_twin_is_a_network_that_can_be_evaluated():
    options = {"depth": 8, "width_multiplier": 0.25, "num_classes": 4}
    model, twin = (models.create("cifar_resnet", seed=seed, **options) for seed in (1, 2))
    images = tf.constant(references.ramp((2, 8, 8, 3)))
    assert np.abs(twin(images, training=False) - model(images, training=False)).max() > 1e-3
    Average(model, twin, 0.9)
    np.testing.assert_array_equal(twin(images, training=False), model(images, training=False))


@pytest.mark.parametrize("decay", [-0.1, 1.0, 1.5, float("nan")])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=rf"decay must be in \[0, 1\), got {decay}"):
        Average(Model(), Model(), decay)


def test_networks_with_different_variables_are_refused():
    with pytest.raises(ValueError, match=r"model and twin differ in dense/kernel$"):
        Average(Model(), Model(inputs=2), 0.9)
    other = Model()
    other.extra = tf.Variable(1.0)
    with pytest.raises(ValueError, match=r"model and twin differ in extra$"):
        Average(Model(), other, 0.9)


def test_an_update_can_be_compiled():
    model = Model()
    average = Average(model, Model(), decay=0.99)
    model.put(10.0)

    @tf.function(jit_compile=True)
    def update(finite):
        tf.cond(finite, average.update, lambda: None)

    update(tf.constant(False))
    assert averages(average) == every(0.0) and average.updates.numpy() == 0
    update(tf.constant(True))
    assert averages(average) == every(9.0, rel=1e-6) and average.updates.numpy() == 1
