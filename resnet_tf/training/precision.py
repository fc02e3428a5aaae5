"""Loss scales for 16-bit arithmetic (Micikevicius et al. 2017, arXiv 1710.03740, section 3.2).

Small gradients vanish in float16, so those of scale · loss are taken and divided by the scale
in float32, once they are summed.
"""

import tensorflow as tf

# So that a network without gradients does not drive it to infinity.
_LARGEST = 2.0**24


class FixedScale(tf.Module):
    """A scale that stays.

    Args:
      scale: above 0; 1 by default.

    Attributes:
      state: what is saved: nothing.
    """

    def __init__(self, scale: float = 1.0):
        super().__init__()
        self._scale = scale
        self.state: dict[str, tf.Variable] = {}

    def value(self) -> tf.Tensor:
        """The scale, float32 scalar."""
        return tf.constant(self._scale, tf.float32)

    def unscaled(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """The gradients of the loss itself."""
        return gradients if self._scale == 1 else [g / self._scale for g in gradients]

    def overflowed(self, forward_finite: tf.Tensor, finite: tf.Tensor) -> tf.Tensor:
        """Whether a step that is not finite is the scale's fault; never."""
        return tf.constant(False)

    def update(self, finite: tf.Tensor, overflowed: tf.Tensor) -> None:
        """To be called once a step, on every replica with the same flags."""
        del finite, overflowed  # and so a body, which AutoGraph needs


class DynamicScale(tf.Module):
    """A scale as large as gradients allow.

    A step whose loss and batch statistics are finite and whose gradients are not has overflowed:
    it is left out, and halves the scale, down to 1. After `interval` finite steps in a row the
    scale doubles, up to 2**24. Any other step that is not finite changes nothing.

    Args:
      scale: at first; 2**15 by default.
      interval: steps; 2000 by default.

    Attributes:
      scale: float32 scalar.
      in_a_row: finite steps since the scale last changed, int64 scalar.
      overflows: steps left out so far, int64 scalar.
      state: what is saved, by name.
    """

    def __init__(self, scale: float = 2.0**15, interval: int = 2000):
        super().__init__()
        self._interval = interval
        self.scale = tf.Variable(scale, dtype=tf.float32, trainable=False)
        self.in_a_row = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.overflows = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.state = {
            "loss_scale/scale": self.scale,
            "loss_scale/in_a_row": self.in_a_row,
            "loss_scale/overflows": self.overflows,
        }

    def value(self) -> tf.Tensor:
        """The scale, float32 scalar."""
        return tf.convert_to_tensor(self.scale)

    def unscaled(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """The gradients of the loss itself; a power of two is divided by exactly."""
        return [g / self.value() for g in gradients]

    def overflowed(self, forward_finite: tf.Tensor, finite: tf.Tensor) -> tf.Tensor:
        """Whether a step that is not finite is the scale's fault; bool scalar."""
        return forward_finite & ~finite & (self.value() > 1)

    def update(self, finite: tf.Tensor, overflowed: tf.Tensor) -> None:
        """To be called once a step, on every replica with the same flags."""
        scale, in_a_row = self.value(), tf.convert_to_tensor(self.in_a_row)
        grown = finite & (in_a_row + 1 >= self._interval)
        larger = tf.where(grown, tf.minimum(scale * 2, _LARGEST), scale)
        self._set(self.scale, tf.where(overflowed, tf.maximum(scale / 2, 1), larger))
        counted = in_a_row + tf.cast(finite, tf.int64)
        counted = tf.where(grown | overflowed, tf.zeros_like(counted), counted)
        self._set(self.in_a_row, counted)
        overflows = tf.convert_to_tensor(self.overflows) + tf.cast(overflowed, tf.int64)
        self._set(self.overflows, overflows)

    def _set(self, variable, value):
        # This replica's copy, as every replica computes the same.
        tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)


LossScale = FixedScale | DynamicScale
