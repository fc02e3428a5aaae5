"""LARS: a rate for each kernel, for large batches."""

import tensorflow as tf

from resnet_tf.training.optimizers.sgd import SGD
from resnet_tf.training.optimizers.trust import trust_ratio


class LARS(SGD):
    """Layer-wise adaptive rate scaling (You et al. 2017, arXiv 1708.03888).

    For a kernel w with gradient g, slot v (zero at first), rate η, momentum μ, decay λ and
    trust coefficient c, with Euclidean norms:

        d = c · ‖w‖ / (‖g‖ + λ · ‖w‖ + ε) · (g + λ · w)
        v ← μ · v + d
        w ← w - η · v                       or, with Nesterov,  w ← w - η · (d + μ · v)

    The ratio is 1 where c · ‖w‖ or its denominator is 0. Only the model's `decayed_variables`
    have it: biases and batch norms take the plain rate, d = g. Decoupled decay is no part of
    d: λ = 0 above, and ‖w‖ is that of w before it decays.

    Departures from the paper: the rate is outside the slot, as in `SGD`; there is no ε (0 by
    default) and no Nesterov.

    Args:
      model: as of `Optimizer`.
      trust_coefficient: c, 0.001 by default.
      epsilon: 0 by default.
      shared: momentum and nesterov as of `SGD`; trained, weight_decay, decoupled and
        rate_factors, as of `Optimizer`.

    Attributes:
      slots: v by the name of its variable.
    """

    def __init__(
        self,
        model: tf.Module,
        *,
        trust_coefficient: float = 0.001,
        epsilon: float = 0.0,
        **shared,
    ):
        super().__init__(model, **shared)
        self.trust_coefficient, self.epsilon = trust_coefficient, epsilon

    @property
    def state(self) -> dict[str, tf.Variable]:
        return {f"lars_momentum/{name}": slot for name, slot in self.slots.items()}

    def _update(self, variable, name, gradient, rate):
        direction = self._with_penalty(gradient, variable)
        if self._decays(variable):
            weights = tf.norm(variable)
            against = tf.norm(gradient) + self._penalty * weights + self.epsilon
            direction *= trust_ratio(self.trust_coefficient * weights, against)
        self._descend(variable, name, direction, rate)
