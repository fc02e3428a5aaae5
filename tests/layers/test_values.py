"""What a layer computes with: given values, or the variables where none are given."""

import threading

import numpy as np
import pytest

from resnet_tf import models
from resnet_tf.layers import Conv2D, Values, named_variables, zeros
from resnet_tf.layers.values import value_of

import tensorflow as tf  # isort: skip


def test_without_any_given_it_is_the_variable():
    variable = tf.Variable([1.0, 2.0])
    value = value_of(variable)
    assert value.dtype == tf.float32 and value.numpy().tolist() == [1, 2]
    variable.assign([3.0, 4.0])
    assert value_of(variable).numpy().tolist() == [3, 4] and value.numpy().tolist() == [1, 2]


def test_a_given_value_is_used_and_the_variable_left_alone():
    first, second = tf.Variable(1.0), tf.Variable(2.0)
    with Values([first], [tf.constant(10.0)]):
        assert (value_of(first).numpy(), value_of(second).numpy()) == (10, 2)
    assert (value_of(first).numpy(), first.numpy()) == (1, 1)


def test_they_nest_and_the_inner_ones_alone_count():
    first, second = tf.Variable(1.0), tf.Variable(2.0)
    with Values([first], [tf.constant(10.0)]):
        with Values([second], [tf.constant(20.0)]):
            assert (value_of(first).numpy(), value_of(second).numpy()) == (1, 20)
        assert (value_of(first).numpy(), value_of(second).numpy()) == (10, 2)


def test_an_error_restores_the_outer_ones():
    variable = tf.Variable(1.0)
    with Values([variable], [tf.constant(10.0)]):
        with pytest.raises(KeyError), Values([variable], [tf.constant(20.0)]):
            raise KeyError
        assert value_of(variable).numpy() == 10
    assert value_of(variable).numpy() == 1


def test_another_thread_has_its_own():
    variable, seen = tf.Variable(1.0), []
    with Values([variable], [tf.constant(10.0)]):
        thread = threading.Thread(target=lambda: seen.append(value_of(variable).numpy()))
        thread.start()
        thread.join()
    assert seen == [1]


def test_as_many_values_as_variables():
    with pytest.raises(ValueError, match="zip"):
        Values([tf.Variable(1.0)], [])


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16, tf.float16])
@pytest.mark.parametrize("given", [False, True])
def test_it_has_the_dtype_that_is_asked_for(dtype, given):
    # 1 + 2**-9 has more digits than bfloat16, and less than float16.
    variable = tf.Variable(1 + 2**-9)
    variables = [variable] if given else []
    with Values(variables, [tf.convert_to_tensor(v) for v in variables]):
        value = value_of(variable, dtype)
    assert value.dtype == dtype
    assert float(value) == (1 if dtype == tf.bfloat16 else 1 + 2**-9)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16, tf.float16])
def test_gradients_flow_to_what_is_given_and_are_float32(dtype):
    layer = Conv2D(2, 1, 1, init=zeros, use_bias=True)
    x = tf.constant([[[[3.0, 5.0], [1.0, 2.0]]]], dtype)
    values = [tf.constant([7.0]), tf.constant([[[[1.0], [2.0]]]])]
    with tf.GradientTape() as tape, Values([layer.bias, layer.kernel], values):
        tape.watch(values)
        y = layer(x)
        total = tf.reduce_sum(y)
    assert y.dtype == dtype and tf.cast(y, tf.float32).numpy().ravel().tolist() == [20, 12]
    of_bias, of_kernel = tape.gradient(total, values)
    assert of_bias.dtype == of_kernel.dtype == tf.float32
    assert of_bias.numpy().tolist() == [2] and of_kernel.numpy().ravel().tolist() == [4, 7]


@pytest.mark.parametrize("name, options, size", [
    ("cifar_resnet", {"depth": 8, "width_multiplier": 0.25, "shortcut": "B"}, 8),
    ("se_resnet50", {"width_multiplier": 0.0625}, 33),
    ("resnet18_v2", {"width_multiplier": 0.0625}, 33),
])  # fmt: skip
def test_a_whole_network_reads_no_variable_that_is_given(name, options, size):
    model, twin = (models.create(name, num_classes=4, seed=seed, **options) for seed in (1, 2))
    named, others = named_variables(model), named_variables(twin)
    images = tf.constant(np.random.default_rng(0).normal(size=(2, size, size, 3)), tf.float32)
    values = [tf.convert_to_tensor(others[key]) for key in named]

    @tf.function
    def logits(values, images):
        with Values(named.values(), values):
            return model(images, training=False)

    np.testing.assert_allclose(
        logits(values, images).numpy(), twin(images, training=False).numpy(), rtol=1e-4, atol=1e-5
    )
    graph = logits.get_concrete_function(values, images).graph
    assert not [op for op in graph.get_operations() if op.type == "ReadVariableOp"]
