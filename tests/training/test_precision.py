"""Sixteen bits: what has them and what has not, how far off they are, and the loss scales."""

import functools

import numpy as np
import pytest
from small_steps import (
    BATCH,
    ONE,
    Smooth,
    after,
    apart,
    batches,
    everything,
    labels,
    pictures,
    start,
)

from resnet_tf.layers import named_variables
from resnet_tf.training.gradient import Batch, Gradient
from resnet_tf.training.optimizers import Adam
from resnet_tf.training.precision import DynamicScale, FixedScale

import tensorflow as tf  # isort: skip

KINDS = pytest.mark.parametrize("kind", [tf.bfloat16, tf.float16])
NOISY = functools.partial(Smooth, dropout=0.25, stochastic_depth=0.25)


def traced(kind, network=NOISY):
    """The gradient function's graph, its sums, the logits and labels that its loss was given."""
    model, seen = network(), []

    def loss(logits, targets):
        seen.append(logits)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)

    gradient = Gradient(
        model, model.trainable_variables, preprocess=lambda x: x, batch_size=BATCH, loss=loss,
        dtype=kind,
    )  # fmt: skip
    sums = []

    @tf.function
    def run(values, images, targets):
        batch = Batch(images, targets, tf.constant(0), tf.constant(0, tf.int64), tf.constant(1.0))
        sums.append(gradient(values, batch))
        return sums[0].loss

    values = [tf.convert_to_tensor(v) for v in gradient.variables]
    graph = run.get_concrete_function(values, tf.constant(pictures()), tf.constant(labels())).graph
    return graph, sums[0], seen[0], model


@pytest.mark.parametrize("kind", [tf.float32, tf.bfloat16, tf.float16])
def test_layers_compute_in_it_and_everything_else_in_float32(kind):
    graph, sums, logits, model = traced(kind)
    operations = graph.get_operations()
    convolutions = [op for op in operations if op.type.startswith("Conv2D")]
    assert [op.type for op in convolutions].count("Conv2D") == 2 and len(convolutions) > 4
    assert {op.outputs[0].dtype for op in convolutions} == {kind}
    (norm,) = [op for op in operations if op.type == "FusedBatchNormV3"]
    assert norm.outputs[0].dtype == kind
    assert {output.dtype for output in norm.outputs[1:5]} == {tf.float32}
    assert {op.outputs[0].dtype for op in operations if op.type == "Tanh"} == {kind}
    assert logits.dtype == sums.loss.dtype == sums.correct.dtype == tf.float32
    assert {x.dtype for x in (*sums.gradients, *sums.statistics)} == {tf.float32}
    assert {v.dtype for v in named_variables(model).values()} == {tf.float32}


@pytest.mark.parametrize("optimizer", [None, Adam])
@pytest.mark.parametrize("kind, far", [(tf.bfloat16, 0.05), (tf.float16, 0.005)])
def test_three_steps_are_near_those_of_float32(kind, far, optimizer):
    told = {"steps": 3, "network": NOISY, "ema": 0.5}
    told |= {"optimizer": optimizer, "rate": 0.01} if optimizer else {}
    exact, expected = after(ONE, **told)
    moves, health = after(ONE, of_gradient={"dtype": kind}, **told)
    np.testing.assert_allclose(health["loss"], expected["loss"], rtol=far)
    assert not (health["loss"] == expected["loss"]).any()
    if not optimizer:  # Adam divides by the size of the gradient, however small
        assert apart(exact, moves) < 4 * far
    assert {value.dtype for name, value in moves.items() if "updates" not in name} == {
        np.dtype(np.float32)
    }


@KINDS
def test_two_replicas_of_16_bits_train_as_one(two_replicas, kind):
    told = {"network": functools.partial(Smooth, sync=True), "of_gradient": {"dtype": kind}}
    (one, health), (two, others) = (after(s, **told) for s in (ONE, two_replicas))
    np.testing.assert_allclose(health["loss"], others["loss"], rtol=1e-3)
    assert apart(one, two) < (0.03 if kind == tf.bfloat16 else 0.004)


# --- a scale that stays


@pytest.mark.parametrize("scale", [2.0**15, 2.0**-10])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_power_of_two_changes_no_bit_of_an_update_in_float32(scale, accumulate):
    told = {"network": NOISY, "steps": 2, "accumulate": accumulate}
    exact, _ = after(ONE, **told)
    moves, health = after(ONE, scale=lambda: FixedScale(scale), **told)
    for name, move in exact.items():
        np.testing.assert_array_equal(moves[name], move)
    assert health["loss_scale"].tolist() == [scale] * 2


def small_loss(logits, targets):
    return 1e-9 * tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)


def test_a_scale_keeps_what_16_bits_lose():
    """Gradients of a billionth: below the smallest float16, unless they are scaled."""
    told = {"of_gradient": {"dtype": tf.float16, "loss": small_loss}, "rate": 2.0**30}
    exact, _ = after(ONE, of_gradient={"loss": small_loss}, rate=2.0**30)
    scaled, _ = after(ONE, scale=lambda: FixedScale(2.0**27), **told)
    lost, _ = after(ONE, **told)
    near, found = ({"stem": moves["stem/kernel"]} for moves in (exact, scaled))
    assert apart(near, found) < 0.02
    assert exact["stem/kernel"].any() and not lost["stem/kernel"].any()


def test_a_fixed_scale_has_no_state_and_no_fault():
    scale = FixedScale(8.0)
    assert scale.state == {} and scale.value().numpy() == 8
    scale.update(tf.constant(False), tf.constant(False))
    assert scale.value().numpy() == 8
    assert not scale.overflowed(tf.constant(True), tf.constant(False)).numpy()
    assert [g.numpy() for g in scale.unscaled([tf.constant(24.0)])] == [3.0]
    assert FixedScale().value().numpy() == 1


# --- a scale that moves


def state_of(scale):
    return tuple(v.numpy().item() for v in (scale.scale, scale.in_a_row, scale.overflows))


def tell(scale, word):
    """One step: "fine", "over" (only the gradient is infinite) or "bad" (the loss is, too)."""
    finite, forward_finite = tf.constant(word == "fine"), tf.constant(word != "bad")
    overflowed = scale.overflowed(forward_finite, finite)
    scale.update(finite, overflowed)
    return bool(overflowed.numpy())


HISTORY = [
    # word, whether the scale is at fault, then (scale, finite steps in a row, overflows)
    ("fine", False, (8, 1, 0)),
    ("fine", False, (8, 2, 0)),
    ("fine", False, (16, 0, 0)),  # three in a row
    ("fine", False, (16, 1, 0)),
    ("over", True, (8, 0, 1)),  # and the counting begins anew
    ("fine", False, (8, 1, 1)),
    ("fine", False, (8, 2, 1)),
    ("bad", False, (8, 2, 1)),  # changes nothing
    ("fine", False, (16, 0, 1)),
    ("over", True, (8, 0, 2)),
    ("over", True, (4, 0, 3)),
    ("over", True, (2, 0, 4)),
    ("over", True, (1, 0, 5)),
    ("over", False, (1, 0, 5)),  # at 1 it is not the scale's fault any more
]


def test_a_history_by_hand():
    """# fault E7: at a scale of 1 it is a step that is not finite, which ends with 76."""
    scale = DynamicScale(8.0, interval=3)
    assert state_of(scale) == (8, 0, 0)
    for word, fault, expected in HISTORY:
        assert (tell(scale, word), state_of(scale)) == (fault, expected)


def test_the_same_history_in_replicas(two_replicas):
    with two_replicas.scope():
        scale = DynamicScale(8.0, interval=3)

    @tf.function
    def step(finite, forward_finite):
        def replica():
            overflowed = scale.overflowed(forward_finite, finite)
            scale.update(finite, overflowed)
            return overflowed

        return two_replicas.run(replica)

    for word, fault, expected in HISTORY:
        flags = step(tf.constant(word == "fine"), tf.constant(word != "bad"))
        found = [flag.numpy() for flag in two_replicas.experimental_local_results(flags)]
        assert found == [fault, fault]
        for variable, value in zip((scale.scale, scale.in_a_row, scale.overflows), expected):
            copies = two_replicas.experimental_local_results(variable)
            assert [copy.numpy() for copy in copies] == [value, value]


def test_it_grows_to_2_to_the_24_and_no_further():
    scale = DynamicScale(2.0**22, interval=1)
    for expected in (2**23, 2**24, 2**24, 2**24):
        tell(scale, "fine")
        assert scale.value().numpy() == expected


def test_its_defaults_and_what_is_saved():
    scale = DynamicScale()
    assert state_of(scale) == (2**15, 0, 0)
    assert scale.state == {
        "loss_scale/scale": scale.scale, "loss_scale/in_a_row": scale.in_a_row,
        "loss_scale/overflows": scale.overflows,
    }  # fmt: skip
    scale.in_a_row.assign(1998)
    tell(scale, "fine")
    assert state_of(scale) == (2**15, 1999, 0)
    tell(scale, "fine")
    assert state_of(scale) == (2**16, 0, 0)


def steep(kind):
    """A loss whose value is finite and whose gradient is far beyond float16."""

    def loss(logits, targets):
        base = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)
        return base * 64

    return {"dtype": kind, "loss": loss}


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_overflow_is_left_out_and_halves_the_scale(two_replicas, replicas, accumulate):
    """# fault E7"""
    strategy = two_replicas if replicas == 2 else ONE
    state, train = start(
        strategy, scale=lambda: DynamicScale(2.0**20, interval=2), of_gradient=steep(tf.float16),
        accumulate=accumulate, ema=0.5, optimizer=Adam, rate=1e-4,
    )  # fmt: skip
    iterator = batches(strategy, pictures(20), labels(20))
    before = everything(state)
    health = {k: v.numpy() for k, v in train(iterator, tf.constant(1)).items()}
    assert (health["finite"].tolist(), health["overflowed"].tolist()) == ([False], [True])
    assert np.isfinite(health["loss"]).all() and health["loss_scale"].tolist() == [2**20]
    changed = {k for k, v in everything(state).items() if (v != before[k]).any()}
    assert changed == {"loss_scale/scale", "loss_scale/overflows"}
    assert state.step.numpy() == 1 and state.loss_scale.scale.numpy() == 2**19
    # The call goes on over overflows, until the scale is small enough, and then trains.
    health = {k: v.numpy() for k, v in train(iterator, tf.constant(12)).items()}
    assert len(health["finite"]) == 12 and state.step.numpy() == 13
    assert (health["finite"] != health["overflowed"]).all() and health["finite"].any()
    scale, row, overflows = 2.0**19, 0, 1
    for found, finite in zip(health["loss_scale"], health["finite"], strict=True):
        assert found == scale
        row, overflows = (row + 1, overflows) if finite else (0, overflows + 1)
        scale = scale if finite else scale / 2
        scale, row = (scale * 2, 0) if row == 2 else (scale, row)
    assert state_of(state.loss_scale) == (scale, row, overflows)
    assert everything(state)["average_updates"] == health["finite"].sum()


@pytest.mark.parametrize("dtype", [tf.float32, tf.float16])
def test_a_loss_that_is_not_finite_is_not_the_fault_of_the_scale(dtype):
    state, train = start(
        ONE, scale=lambda: DynamicScale(2.0**10),
        of_gradient={"dtype": dtype, "preprocess": lambda x: x * np.float32(np.nan)},
    )  # fmt: skip
    before = everything(state)
    health = train(batches(ONE, pictures(2), labels(2)), tf.constant(2))
    assert health["finite"].numpy().tolist() == health["overflowed"].numpy().tolist() == [False]
    assert all((before[name] == value).all() for name, value in everything(state).items())
    assert state.step.numpy() == 0
