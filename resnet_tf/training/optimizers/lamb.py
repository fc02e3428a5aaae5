"""LAMB: Adam's direction with a rate for each kernel, for large batches."""

import tensorflow as tf

from resnet_tf.training.optimizers.adam import Adam
from resnet_tf.training.optimizers.trust import trust_ratio


class LAMB(Adam):
    """Layer-wise adaptive moments (You et al. 2019, arXiv 1904.00962).

    For a kernel w with gradient g, slots m and v (zero at first), rate η, decay λ, and t
    counting updates from 1, with Euclidean norms:

        m ← β₁ · m + (1 - β₁) · g
        v ← β₂ · v + (1 - β₂) · g²
        d = (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + ε) + λ · w
        w ← w - η · ‖w‖ / ‖d‖ · d

    The ratio is 1 where either norm is 0. Only the model's `decayed_variables` have it:
    biases and batch norms take the plain rate, w ← w - η · d. So coupled decay is no part
    of g here, and decoupled decay is no part of d: λ = 0 above, and ‖w‖ is that of w before
    it decays.

    Args:
      model: as of `Optimizer`.
      epsilon: 1e-6 by default.
      shared: beta1 and beta2 (0.9 and 0.999 by default) as of `Adam`; trained, weight_decay,
        decoupled and rate_factors, as of `Optimizer`.

    Attributes:
      first, second: m and v by the name of their variable.
      updates: t, int64 scalar.
    """

    _prefix = "lamb"

    def __init__(self, model: tf.Module, *, epsilon: float = 1e-6, **shared):
        super().__init__(model, epsilon=epsilon, **shared)

    def _update(self, variable, name, gradient, rate):
        mean = self._mean(self.first[name], gradient, self.beta1)
        square = self._mean(self.second[name], tf.square(gradient), self.beta2)
        direction = self._with_penalty(mean / (tf.sqrt(square) + self.epsilon), variable)
        if self._decays(variable):
            rate *= trust_ratio(tf.norm(variable), tf.norm(direction))
        tf.raw_ops.AssignSubVariableOp(resource=variable.handle, value=rate * direction)

    def _mean(self, slot, value, beta):
        """Moves the slot towards the value; returns it with its bias corrected."""
        moved = beta * slot + (1 - beta) * value
        tf.raw_ops.AssignVariableOp(resource=slot.handle, value=moved)
        # In float32, 1 - β₂ᵗ is off by 1e-5 of itself at first.
        count = tf.cast(self.updates.read_value(), tf.float64)
        return moved / tf.cast(1 - tf.pow(tf.constant(beta, tf.float64), count), tf.float32)
