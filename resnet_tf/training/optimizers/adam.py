"""Adam, and AdamW."""

import tensorflow as tf

from resnet_tf.training.optimizers.optimizer import Optimizer


class Adam(Optimizer):
    """Adam (Kingma and Ba 2014, arXiv 1412.6980), with the bias correction in the rate.

    For a variable w with gradient g, slots m and v (zero at first), rate η, and t counting
    updates from 1:

        m ← β₁ · m + (1 - β₁) · g
        v ← β₂ · v + (1 - β₂) · g²
        w ← w - η · √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε)

    Coupled weight decay is part of g, an L2 penalty. With `decoupled` this is AdamW
    (Loshchilov and Hutter 2017, arXiv 1711.05101).

    Args:
      model: as of `Optimizer`.
      beta1, beta2: 0.9 and 0.999 by default.
      epsilon: 1e-7 by default, as Keras has it.
      shared: trained, weight_decay, decoupled and rate_factors, as of `Optimizer`.

    Attributes:
      first, second: m and v by the name of their variable.
      updates: t, int64 scalar.
    """

    _prefix = "adam"

    def __init__(
        self,
        model: tf.Module,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-7,
        **shared,
    ):
        super().__init__(model, **shared)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.first, self.second = self._slots(), self._slots()
        self.updates = tf.Variable(0, dtype=tf.int64, trainable=False)

    @property
    def state(self) -> dict[str, tf.Variable]:
        first = {f"{self._prefix}_first/{name}": slot for name, slot in self.first.items()}
        second = {f"{self._prefix}_second/{name}": slot for name, slot in self.second.items()}
        return {**first, **second, f"{self._prefix}_updates": self.updates}

    def apply(self, gradients, variables, rate):
        tf.raw_ops.AssignAddVariableOp(resource=self.updates.handle, value=tf.constant(1, tf.int64))
        super().apply(gradients, variables, rate)

    def _update(self, variable, name, gradient, rate):
        count = tf.cast(self.updates.read_value(), tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self.first[name].handle,
            v=self.second[name].handle,
            beta1_power=tf.pow(self.beta1, count),
            beta2_power=tf.pow(self.beta2, count),
            lr=rate,
            beta1=self.beta1,
            beta2=self.beta2,
            epsilon=self.epsilon,
            grad=self._with_penalty(gradient, variable),
        )
