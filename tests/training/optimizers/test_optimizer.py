import inspect

import optimized
import pytest
import tensorflow as tf
from optimized import Model, run

from resnet_tf.training import optimizers
from resnet_tf.training.optimizers import LAMB, LARS, SGD, Adam, Optimizer, RMSprop

ALL = [SGD, Adam, RMSprop, LARS, LAMB]
KINDS = pytest.mark.parametrize("kind", ALL)
GRADIENTS = [(1.0, 2.0), (-3.0, 0.5), (2.0, 2.0)]


def test_every_optimizer_is_in_these_tests():
    exported = {getattr(optimizers, name) for name in optimizers.__all__}
    assert exported == {*ALL, Optimizer}


class Halfway(Optimizer):
    """Says what its state is, and not how it updates."""

    @property
    def state(self):
        return {}


def test_a_subclass_must_say_what_its_state_and_its_update_are():
    with pytest.raises(NotImplementedError, match="Optimizer does not define state"):
        _ = Optimizer(Model()).state
    model = Model()
    with pytest.raises(NotImplementedError, match="Halfway does not define _update"):
        run(Halfway(model), model, [(1.0, 1.0)])


@KINDS
def test_a_misspelt_option_is_refused(kind):
    with pytest.raises(TypeError, match="weight_decai"):
        kind(Model(), weight_decai=0.1)


@KINDS
def test_options_are_given_by_name(kind):
    model, *others = inspect.signature(kind).parameters.values()
    assert model.name == "model" and all(p.kind > p.POSITIONAL_OR_KEYWORD for p in others)


@KINDS
def test_the_defaults_decay_nothing_and_train_all_at_one_rate(kind):
    optimizer = kind(Model())
    assert (optimizer.weight_decay, optimizer.decoupled) == (0.0, False)
    assert (optimizer.trained, optimizer.rate_factors) == ({"dense/kernel", "dense/bias"}, {})


@KINDS
def test_gradients_and_variables_must_be_as_many(kind):
    model = Model()
    with pytest.raises(ValueError, match="zip"):
        kind(model).apply([tf.constant([[1.0]])], model.pair, tf.constant(0.1))


@KINDS
def test_moving_statistics_have_no_slots(kind):
    model = Model()
    model.statistic = tf.Variable([1.0], trainable=False)
    assert not any("statistic" in name for name in kind(model).state)


# --- which variables are trained


@KINDS
@pytest.mark.parametrize("trained", ["dense/kernel", "dense/bias"])
@pytest.mark.parametrize("decoupled", [False, True])
def test_what_is_not_trained_stays_and_has_no_slots(kind, trained, decoupled):
    options = {"weight_decay": 0.1, "decoupled": decoupled}
    model, whole = Model(), Model()
    optimizer = kind(model, trained=[trained], **options)
    run(optimizer, model, GRADIENTS)
    run(kind(whole, **options), whole, GRADIENTS)
    moved = ["dense/kernel", "dense/bias"].index(trained)
    assert model.values()[moved] == whole.values()[moved]
    assert model.values()[1 - moved] == Model().values()[1 - moved]
    slots = {name for name in optimizer.state if "/" in name}
    assert slots and all(name.endswith(f"/{trained}") for name in slots)


@KINDS
def test_only_the_trained_variables_may_be_given(kind):
    model, whole = Model(), Model()
    optimizer = kind(model, trained={"dense/bias"})
    for _, of_bias in GRADIENTS:
        optimizer.apply([tf.constant([of_bias])], [model.dense.bias], tf.constant(0.5))
    run(kind(whole), whole, GRADIENTS)
    assert model.values() == [[1.0], whole.values()[1]]


@pytest.mark.parametrize("argument", ["trained", "rate_factors"])
def test_names_that_no_trainable_variable_has_are_refused(argument):
    model = Model()
    model.statistic = tf.Variable([1.0], trainable=False)
    names = {"dense/kernel": 1.0, "statistic": 1.0, "dense/kernal": 1.0}
    message = f"{argument} must name trainable variables, got dense/kernal, statistic$"
    with pytest.raises(ValueError, match=message):
        SGD(model, **{argument: names})


# --- rates by variable


@KINDS
@pytest.mark.parametrize("decoupled", [False, True])
def test_a_factor_multiplies_the_rate_of_its_variable_alone(kind, decoupled):
    """Decoupled decay follows the factor, too."""
    options = {"weight_decay": 0.1, "decoupled": decoupled}
    model, fast, slow = Model(), Model(), Model()
    run(kind(model, rate_factors={"dense/kernel": 0.25}, **options), model, GRADIENTS, rate=0.5)
    run(kind(fast, **options), fast, GRADIENTS, rate=0.5)
    run(kind(slow, **options), slow, GRADIENTS, rate=0.125)
    assert model.values() == [slow.values()[0], fast.values()[1]]
    assert slow.values()[0] != fast.values()[0]


def test_a_factor_by_hand():
    model = Model()
    factors = {"dense/kernel": 0.5}
    optimizer = SGD(model, momentum=0.0, weight_decay=0.5, decoupled=True, rate_factors=factors)
    run(optimizer, model, [(1.0, 1.0)])
    # rates 0.25 and 0.5: kernel 1 - 0.25 - 0.25 · 0.5, bias 2 - 0.5
    assert model.values() == [[0.625], [1.5]]


# --- replicas


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("kind, options", [
    (SGD, {"momentum": 0.0}),
    (SGD, {"momentum": 0.9}),
    (SGD, {"momentum": 0.9, "nesterov": True}),
    (Adam, {}),
    (RMSprop, {"momentum": 0.0}),
    (RMSprop, {"momentum": 0.9}),
    (LARS, {"momentum": 0.0, "trust_coefficient": 0.1}),
    (LARS, {"momentum": 0.9, "trust_coefficient": 0.1}),
    (LARS, {"momentum": 0.9, "trust_coefficient": 0.1, "nesterov": True}),
    (LAMB, {}),
])  # fmt: skip
def test_two_replicas_fed_the_same_gradients_are_updated_as_one(
    two_replicas, kind, options, decoupled
):
    options = {**options, "weight_decay": 0.1, "decoupled": decoupled}
    (one,) = steps_under(tf.distribute.get_strategy(), kind, options)
    first, second = steps_under(two_replicas, kind, options)
    assert first == second == one
    assert one["model"] != optimized.wide().values()


def steps_under(strategy, kind, options):
    """For each replica, the model's values and the optimizer's state after five steps."""
    with strategy.scope():
        model = optimized.wide()
        optimizer = kind(model, **options)

    def replica_step(of_kernel, of_bias):
        gradients = [of_kernel, of_bias]
        finite = tf.math.is_finite(tf.linalg.global_norm(gradients))
        rate = tf.constant(0.05)
        tf.cond(finite, lambda: optimizer.apply(gradients, model.pair, rate), lambda: None)

    step = tf.function(lambda *gradients: strategy.run(replica_step, gradients))
    for pair in optimized.noise(5):
        step(*(tf.constant(gradient, tf.float32) for gradient in pair))
    copies = [strategy.experimental_local_results(v) for v in model.pair]
    saved = {k: strategy.experimental_local_results(v) for k, v in optimizer.state.items()}
    return [
        {
            "model": [copy[replica].numpy().ravel().tolist() for copy in copies],
            "state": {name: copy[replica].numpy().tolist() for name, copy in saved.items()},
        }
        for replica in range(strategy.num_replicas_in_sync)
    ]
