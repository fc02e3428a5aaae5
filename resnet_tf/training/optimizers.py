"""Optimizers with explicit slots, updated by TensorFlow's fused ops."""

import tensorflow as tf

from resnet_tf.layers import named_variables


class Optimizer(tf.Module):
    """What all optimizers share: slots by name, and weight decay as part of the gradient.

    For a variable w that decays, with gradient g and decay λ, g ← g + λ · w: the gradient
    of the penalty λ/2 · Σ w². A subclass says in `_update` what follows.

    Args:
      model: whose trainable variables are updated, and whose `decayed_variables` decay.
      weight_decay: λ, 0 by default.
    """

    def __init__(self, model: tf.Module, *, weight_decay: float = 0.0):
        super().__init__()
        self.weight_decay = weight_decay
        self._decayed = {id(variable) for variable in model.decayed_variables}
        self._names = {id(v): name for name, v in named_variables(model).items() if v.trainable}
        self._shapes = {name: v.shape for name, v in named_variables(model).items() if v.trainable}

    @property
    def state(self) -> dict[str, tf.Variable]:
        """All that is saved, by name."""
        raise NotImplementedError(f"{type(self).__name__} does not define state")

    def apply(
        self, gradients: list[tf.Tensor], variables: list[tf.Variable], rate: tf.Tensor
    ) -> None:
        """Updates this replica's copy; every replica must give the same summed gradients.

        Args:
          gradients: one a variable, in the same order.
          variables: trainable variables of the model.
          rate: float32 scalar.
        """
        for gradient, variable in zip(gradients, variables, strict=True):
            if self.weight_decay and id(variable) in self._decayed:
                gradient = gradient + self.weight_decay * variable
            self._update(variable, self._names[id(variable)], gradient, rate)

    def _update(self, variable, name, gradient, rate):
        raise NotImplementedError(f"{type(self).__name__} does not define _update")

    def _slots(self) -> dict[str, tf.Variable]:
        """A new slot of zeros for each variable, by its name: float32 of the same shape."""
        return {
            name: tf.Variable(tf.zeros(shape), trainable=False)
            for name, shape in self._shapes.items()
        }


class SGD(Optimizer):
    """Stochastic gradient descent with momentum.

    For a variable w with gradient g, slot v (zero at first), rate η, momentum μ:

        v ← μ · v + g
        w ← w - η · v                       or, with Nesterov,  w ← w - η · (g + μ · v)

    The rate is outside the slot, as in PyTorch and in TF1's `MomentumOptimizer`.

    Args:
      model, weight_decay: as of `Optimizer`.
      momentum: 0.9 by default.
      nesterov: False by default.

    Attributes:
      slots: v by the name of its variable.
    """

    def __init__(
        self,
        model: tf.Module,
        *,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ):
        super().__init__(model, weight_decay=weight_decay)
        self.momentum, self.nesterov = momentum, nesterov
        self.slots = self._slots()

    @property
    def state(self) -> dict[str, tf.Variable]:
        return {f"momentum/{name}": slot for name, slot in self.slots.items()}

    def _update(self, variable, name, gradient, rate):
        tf.raw_ops.ResourceApplyMomentum(
            var=variable.handle,
            accum=self.slots[name].handle,
            lr=rate,
            grad=gradient,
            momentum=self.momentum,
            use_nesterov=self.nesterov,
        )


class Adam(Optimizer):
    """Adam (Kingma and Ba 2014, arXiv 1412.6980), with the bias correction in the rate.

    For a variable w with gradient g, slots m and v (zero at first), rate η, and t counting
    updates from 1:

        m ← β₁ · m + (1 - β₁) · g
        v ← β₂ · v + (1 - β₂) · g²
        w ← w - η · √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε)

    Weight decay is part of g, so it is an L2 penalty, not AdamW's.

    Args:
      model, weight_decay: as of `Optimizer`.
      beta1, beta2: 0.9 and 0.999 by default.
      epsilon: 1e-7 by default, as Keras has it.

    Attributes:
      first, second: m and v by the name of their variable.
      updates: t, int64 scalar.
    """

    def __init__(
        self,
        model: tf.Module,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float = 0.0,
    ):
        super().__init__(model, weight_decay=weight_decay)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.first, self.second = self._slots(), self._slots()
        self.updates = tf.Variable(0, dtype=tf.int64, trainable=False)

    @property
    def state(self) -> dict[str, tf.Variable]:
        first = {f"adam_first/{name}": slot for name, slot in self.first.items()}
        second = {f"adam_second/{name}": slot for name, slot in self.second.items()}
        return {**first, **second, "adam_updates": self.updates}

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
            grad=gradient,
        )
