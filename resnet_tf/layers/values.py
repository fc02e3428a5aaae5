"""What a layer computes with: its variables, or values that were read from them beforehand."""

import threading
from collections.abc import Iterable

import tensorflow as tf

_given = threading.local()


class Values:
    """Gives layers called inside it these values in place of their variables.

        with Values(variables, tensors):
            logits = model(images, training=True)

    So a network becomes a pure function of its values, which XLA can compile and a gradient
    tape can watch, while reading and updating stay outside. A variable that is not among
    them is read.

    Args:
      variables: some of the network's.
      values: a tensor of the same shape for each.
    """

    def __init__(self, variables: Iterable[tf.Variable], values: Iterable[tf.Tensor]):
        self._values = {id(v): value for v, value in zip(variables, values, strict=True)}

    def __enter__(self) -> "Values":
        self._outer = getattr(_given, "current", None)
        _given.current = self._values
        return self

    def __exit__(self, *exc) -> None:
        _given.current = self._outer


def value_of(variable: tf.Variable, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """The value that a layer computes with, float32, or cast to the dtype of its input."""
    given = getattr(_given, "current", None) or {}
    value = given.get(id(variable))
    value = tf.convert_to_tensor(variable) if value is None else value
    return value if value.dtype == dtype else tf.cast(value, dtype)
