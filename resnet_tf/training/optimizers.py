"""Optimizers with explicit slots, updated by TensorFlow's fused ops."""

import tensorflow as tf

from resnet_tf.layers import named_variables


class SGD(tf.Module):
    """Stochastic gradient descent with momentum and weight decay.

    For a variable w with gradient g, slot v (zero at first), rate η, momentum μ, decay λ:

        g ← g + λ · w                       where w decays
        v ← μ · v + g
        w ← w - η · v                       or, with Nesterov,  w ← w - η · (g + μ · v)

    The rate is outside the slot, as in PyTorch and in TF1's `MomentumOptimizer`; λ is the
    factor of the penalty λ/2 · Σ w².

    Args:
      model: whose trainable variables are updated, and whose `decayed_variables` decay.
      momentum: 0.9 by default.
      nesterov: False by default.
      weight_decay: λ, 0 by default.

    Attributes:
      slots: v by the name of its variable, float32 of the same shape.
    """

    def __init__(
        self,
        model: tf.Module,
        *,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ):
        super().__init__()
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay
        self._decayed = {id(variable) for variable in model.decayed_variables}
        trainable = {k: v for k, v in named_variables(model).items() if v.trainable}
        self.slots = {
            name: tf.Variable(tf.zeros(variable.shape), trainable=False)
            for name, variable in trainable.items()
        }
        self._slot_of = {id(v): self.slots[name] for name, v in trainable.items()}

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
            slot = self._slot_of[id(variable)]
            if self.weight_decay and id(variable) in self._decayed:
                gradient = gradient + self.weight_decay * variable
            tf.raw_ops.ResourceApplyMomentum(
                var=variable.handle,
                accum=slot.handle,
                lr=rate,
                grad=gradient,
                momentum=self.momentum,
                use_nesterov=self.nesterov,
            )
