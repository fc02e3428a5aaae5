"""Stochastic gradient descent."""

import tensorflow as tf

from resnet_tf.training.optimizers.optimizer import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent with momentum.

    For a variable w with gradient g, slot v (zero at first), rate η, momentum μ:

        v ← μ · v + g
        w ← w - η · v                       or, with Nesterov,  w ← w - η · (g + μ · v)

    The rate is outside the slot, as in PyTorch and in TF1's `MomentumOptimizer`. Without
    momentum this is w ← w - η · g, and there are no slots.

    Args:
      model: as of `Optimizer`.
      momentum: 0.9 by default.
      nesterov: False by default.
      shared: trained, weight_decay, decoupled and rate_factors, as of `Optimizer`.

    Attributes:
      slots: v by the name of its variable.
    """

    def __init__(
        self, model: tf.Module, *, momentum: float = 0.9, nesterov: bool = False, **shared
    ):
        super().__init__(model, **shared)
        self.momentum, self.nesterov = momentum, nesterov
        self.slots = self._slots() if momentum else {}

    @property
    def state(self) -> dict[str, tf.Variable]:
        return {f"momentum/{name}": slot for name, slot in self.slots.items()}

    def _update(self, variable, name, gradient, rate):
        self._descend(variable, name, self._with_penalty(gradient, variable), rate)

    def _descend(self, variable, name, direction, rate):
        if not self.momentum:
            tf.raw_ops.ResourceApplyGradientDescent(
                var=variable.handle, alpha=rate, delta=direction
            )
            return
        tf.raw_ops.ResourceApplyMomentum(
            var=variable.handle,
            accum=self.slots[name].handle,
            lr=rate,
            grad=direction,
            momentum=self.momentum,
            use_nesterov=self.nesterov,
        )
