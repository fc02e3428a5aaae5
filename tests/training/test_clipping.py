import numpy as np
import pytest
import references
import tensorflow as tf

from resnet_tf.training import clipping


def clipped(clip, gradients, weights=None):
    weights = gradients if weights is None else weights
    variables = [tf.Variable(w, dtype=tf.float32) for w in weights]
    gradients = [tf.constant(g, tf.float32) for g in gradients]
    return [
        g.numpy().tolist() for g in clip(gradients, variables, tf.linalg.global_norm(gradients))
    ]


# --- by norm


def test_gradients_with_a_larger_norm_are_scaled_to_it_together():
    # ‖(6, 8)‖ = 10
    assert clipped(clipping.by_norm(5.0), [[[6.0]], [0.0, 8.0]]) == [[[3.0]], [0.0, 4.0]]


@pytest.mark.parametrize("most", [10.0, 11.0])
def test_gradients_within_the_norm_stay_to_the_last_bit(most):
    gradients = [[[6.0]], [0.0, 8.0]]
    assert clipped(clipping.by_norm(most), gradients) == gradients


def test_gradients_of_zero_have_no_norm_to_divide_by():
    assert clipped(clipping.by_norm(1.0), [[0.0, 0.0]]) == [[0.0, 0.0]]


def test_the_norm_is_the_one_that_is_given():
    (found,) = clipping.by_norm(1.0)([tf.constant([3.0])], [tf.Variable([1.0])], tf.constant(4.0))
    assert found.numpy().tolist() == [0.75]


# --- by value


def test_each_entry_is_cut_off_by_itself():
    gradients = [[[6.0, -1.5]], [-0.5, -8.0]]
    assert clipped(clipping.by_value(1.5), gradients) == [[[1.5, -1.5]], [-0.5, -1.5]]


# --- adaptive


def test_each_output_of_a_dense_kernel_is_a_unit():
    weights = [[3.0, 0.3], [4.0, 0.4]]  # norms of the columns: 5, 0.5
    gradients = [[0.0, 0.0], [1.0, 1.0]]
    (found,) = clipped(clipping.adaptive(0.1), [gradients], [weights])
    np.testing.assert_allclose(found, [[0.0, 0.0], [0.5, 0.05]], rtol=1e-6)


def test_units_within_their_share_stay_to_the_last_bit():
    weights, gradients = [[3.0, 0.3], [4.0, 0.4]], [[0.0, 0.03], [0.4, 0.0]]
    (found,) = clipped(clipping.adaptive(0.1), [gradients], [weights])
    np.testing.assert_array_equal(found, np.float32(gradients))


def test_a_vector_is_one_unit():
    # norms 5 and 13: 0.5 · 5 / 13
    (found,) = clipped(clipping.adaptive(0.5), [[5.0, 12.0]], [[3.0, 4.0]])
    np.testing.assert_allclose(found, [5 * 2.5 / 13, 12 * 2.5 / 13], rtol=1e-6)


def test_weights_of_zero_count_as_epsilon():
    (found,) = clipped(clipping.adaptive(0.5, epsilon=0.25), [[[2.0]]], [[[0.0]]])
    assert found == [[0.125]]
    (found,) = clipped(clipping.adaptive(0.5), [[[2.0]]], [[[0.0]]])
    np.testing.assert_allclose(found, [[0.5e-3]], rtol=1e-6)


def test_gradients_of_zero_stay():
    zeros = [[[0.0, 0.0]], [0.0]]
    assert clipped(clipping.adaptive(0.01), zeros, [[[0.0, 1.0]], [0.0]]) == zeros


def test_each_output_of_a_convolution_is_a_unit():
    weights, gradients = references.ramp((3, 3, 2, 4)), references.ramp((3, 3, 2, 4), seed=1)
    weights *= [0.01, 0.1, 1.0, 10.0]
    (found,) = clipped(clipping.adaptive(0.3, epsilon=0.1), [gradients], [weights])
    factors = [
        min(1, 0.3 * max(np.linalg.norm(w.ravel()), 0.1) / np.linalg.norm(g.ravel()))
        for w, g in zip(np.moveaxis(weights, -1, 0), np.moveaxis(gradients, -1, 0))
    ]
    assert factors[3] == 1 > max(factors[:3])
    np.testing.assert_allclose(found, gradients * factors, rtol=1e-5)


def test_what_is_excluded_stays():
    variables = [tf.Variable([1.0]), tf.Variable([1.0])]
    gradients = [tf.constant([2.0]), tf.constant([2.0])]
    clip = clipping.adaptive(0.5, excluded=variables[1:])
    assert [g.numpy().tolist() for g in clip(gradients, variables, None)] == [[0.5], [2.0]]


def test_gradients_and_variables_must_be_as_many():
    with pytest.raises(ValueError, match="zip"):
        clipping.adaptive(0.5)([tf.constant([2.0])], [], tf.constant(2.0))


def test_copies_of_a_variable_on_two_replicas_are_clipped_as_one(two_replicas):
    with two_replicas.scope():
        variables = [tf.Variable([[3.0], [4.0]]), tf.Variable([1.0])]
    clip = clipping.adaptive(0.1, excluded=variables[1:])

    @tf.function
    def run():
        gradients = [tf.constant([[0.0], [2.0]]), tf.constant([5.0])]
        return two_replicas.run(lambda: clip(gradients, variables, tf.constant(0.0)))

    for result, expected in zip(run(), ([0.0, 0.5], [5.0])):
        for copy in two_replicas.experimental_local_results(result):
            np.testing.assert_allclose(copy.numpy().ravel(), expected, rtol=1e-6)


# --- errors


@pytest.mark.parametrize("most", [0, -1.0, float("nan")])
@pytest.mark.parametrize("factory", [clipping.by_norm, clipping.by_value, clipping.adaptive])
def test_the_limit_must_be_above_zero(factory, most):
    with pytest.raises(ValueError, match=f"^most must be above 0, got {most}$"):
        factory(most)


def test_epsilon_must_be_above_zero():
    with pytest.raises(ValueError, match=r"^epsilon must be above 0, got 0\.0$"):
        clipping.adaptive(0.1, epsilon=0.0)
