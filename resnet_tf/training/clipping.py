"""Clipping of gradients, once they are summed over replicas and known to be finite."""

from collections.abc import Callable, Collection

import tensorflow as tf

# From gradients, their variables in the same order, and the gradients' global norm (float32
# scalar) to the clipped gradients.
Clip = Callable[[list[tf.Tensor], list[tf.Variable], tf.Tensor], list[tf.Tensor]]


def by_norm(most: float) -> Clip:
    """g · min(1, most / ‖all gradients‖) (Pascanu et al. 2013, arXiv 1211.5063).

    Raises:
      ValueError: unless `most` is above 0.
    """
    _refuse_not_positive("most", most)

    def clip(gradients, variables, norm):
        factor = tf.minimum(1.0, most / norm)
        return [gradient * factor for gradient in gradients]

    return clip


def by_value(most: float) -> Clip:
    """min(max(g, -most), most), each entry by itself.

    Raises:
      ValueError: unless `most` is above 0.
    """
    _refuse_not_positive("most", most)

    def clip(gradients, variables, norm):
        return [tf.clip_by_value(gradient, -most, most) for gradient in gradients]

    return clip


def adaptive(most: float, epsilon: float = 1e-3, excluded: Collection[tf.Variable] = ()) -> Clip:
    """g · min(1, most · max(‖w‖, epsilon) / ‖g‖) (Brock et al. 2021, arXiv 2102.06171).

    The norms are Frobenius norms of a unit: of what leads to one output channel in a kernel
    (`[h, w, in, out]` or `[in, out]`: all axes but the last), of the whole vector in a bias
    or a batch norm.

    Args:
      most: largest share of its weights' norm that a unit's gradient may have.
      epsilon: the norm that weights count as having at least, so that zeros can move.
      excluded: variables whose gradients stay as they are; the paper leaves out the head.

    Raises:
      ValueError: unless `most` and `epsilon` are above 0.
    """
    _refuse_not_positive("most", most)
    _refuse_not_positive("epsilon", epsilon)
    left_alone = {id(variable) for variable in excluded}

    def clip_one(gradient, variable):
        allowed = most * tf.maximum(_unit_norms(variable), epsilon)
        return gradient * tf.minimum(1.0, allowed / _unit_norms(gradient))

    def clip(gradients, variables, norm):
        return [
            gradient if id(variable) in left_alone else clip_one(gradient, variable)
            for gradient, variable in zip(gradients, variables, strict=True)
        ]

    return clip


def _unit_norms(x: tf.Tensor | tf.Variable) -> tf.Tensor:
    """Of a shape that x can be multiplied by."""
    axes = list(range(len(x.shape) - 1)) if len(x.shape) > 1 else None
    return tf.sqrt(tf.reduce_sum(tf.square(x), axes, keepdims=True))


def _refuse_not_positive(argument: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{argument} must be above 0, got {value}")
