"""RMSprop."""

import tensorflow as tf

from resnet_tf.training.optimizers.optimizer import Optimizer


class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton 2012, lecture 6.5 of their course), not centred.

    For a variable w with gradient g, slots s and u (zero at first), rate η, momentum μ:

        s ← ρ · s + (1 - ρ) · g²
        u ← μ · u + η · g / √(s + ε)
        w ← w - u

    ε is under the root, as TensorFlow and Keras have it; PyTorch adds it to the root. The
    rate is inside the slot u. Without momentum u is written before it is read, so it is no
    part of the state.

    Args:
      model: as of `Optimizer`.
      rho: ρ, 0.9 by default.
      momentum: 0 by default.
      epsilon: 1e-7 by default, as Keras has it.
      shared: trained, weight_decay, decoupled and rate_factors, as of `Optimizer`.

    Attributes:
      squares, steps: s and u by the name of their variable.
    """

    def __init__(
        self,
        model: tf.Module,
        *,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        **shared,
    ):
        super().__init__(model, **shared)
        self.rho, self.momentum, self.epsilon = rho, momentum, epsilon
        self.squares, self.steps = self._slots(), self._slots()

    @property
    def state(self) -> dict[str, tf.Variable]:
        squares = {f"rmsprop_square/{name}": slot for name, slot in self.squares.items()}
        steps = {f"rmsprop_momentum/{name}": slot for name, slot in self.steps.items()}
        return {**squares, **steps} if self.momentum else squares

    def _update(self, variable, name, gradient, rate):
        tf.raw_ops.ResourceApplyRMSProp(
            var=variable.handle,
            ms=self.squares[name].handle,
            mom=self.steps[name].handle,
            lr=rate,
            rho=self.rho,
            momentum=self.momentum,
            epsilon=self.epsilon,
            grad=self._with_penalty(gradient, variable),
        )
