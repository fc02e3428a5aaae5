"""What all optimizers share: slots by name, weight decay, rates by variable."""

from collections.abc import Collection, Iterable, Mapping

import tensorflow as tf

from resnet_tf.layers import named_variables


class Optimizer(tf.Module):
    """Base class: which variables are updated, at which rate, and how they decay.

    For a variable w that decays, with gradient g, decay λ and rate η, decay is one of

        g ← g + λ · w           coupled: the gradient of the penalty λ/2 · Σ w²
        w ← w - η · λ · w       decoupled: beside the update, of w as it was before it

    (Loshchilov and Hutter 2017, arXiv 1711.05101; there the schedule alone multiplies λ,
    here the whole rate does, as in PyTorch and Keras). LARS and LAMB say what "coupled" is
    for them. A subclass says in `_update` what follows.

    Args:
      model: whose trainable variables are updated, and whose `decayed_variables` decay.
      trained: names (of `named_variables(model)`) of the variables that are updated, all
        trainable ones by default. The others neither move nor decay, and have no slots.
      weight_decay: λ, 0 by default.
      decoupled: False by default.
      rate_factors: what η is multiplied by, by the name of a variable; 1 where none is given.

    Attributes:
      trained: names of the variables that are updated.

    Raises:
      ValueError: for a name in `trained` or `rate_factors` that no trainable variable has.
    """

    def __init__(
        self,
        model: tf.Module,
        *,
        trained: Collection[str] | None = None,
        weight_decay: float = 0.0,
        decoupled: bool = False,
        rate_factors: Mapping[str, float] | None = None,
    ):
        super().__init__()
        trainable = {name: v for name, v in named_variables(model).items() if v.trainable}
        self.trained = frozenset(trainable if trained is None else trained)
        self.weight_decay, self.decoupled = weight_decay, decoupled
        self.rate_factors = dict(rate_factors or {})
        _refuse_unknown("trained", self.trained, trainable)
        _refuse_unknown("rate_factors", self.rate_factors, trainable)
        self._decayed = {id(variable) for variable in model.decayed_variables}
        self._names = {id(variable): name for name, variable in trainable.items()}
        self._shapes = {name: v.shape for name, v in trainable.items() if name in self.trained}

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
          variables: trainable variables of the model; those that are not trained stay.
          rate: float32 scalar.
        """
        for gradient, variable in zip(gradients, variables, strict=True):
            name = self._names[id(variable)]
            if name not in self.trained:
                continue
            own = rate * self.rate_factors[name] if name in self.rate_factors else rate
            if self.decoupled and self.weight_decay and self._decays(variable):
                decay = own * self.weight_decay * variable
                self._update(variable, name, gradient, own)
                tf.raw_ops.AssignSubVariableOp(resource=variable.handle, value=decay)
            else:
                self._update(variable, name, gradient, own)

    def _update(self, variable, name, gradient, rate):
        raise NotImplementedError(f"{type(self).__name__} does not define _update")

    def _decays(self, variable: tf.Variable) -> bool:
        """Whether it is one of the model's `decayed_variables`, whatever λ is."""
        return id(variable) in self._decayed

    @property
    def _penalty(self) -> float:
        """λ where decay is coupled, else 0."""
        return 0.0 if self.decoupled else self.weight_decay

    def _with_penalty(self, direction: tf.Tensor, variable: tf.Variable) -> tf.Tensor:
        """direction + λ · w, where w decays and decay is coupled."""
        if self._penalty and self._decays(variable):
            return direction + self._penalty * variable
        return direction

    def _slots(self) -> dict[str, tf.Variable]:
        """A new slot of zeros for each trained variable, by its name: float32 of its shape."""
        return {
            name: tf.Variable(tf.zeros(shape), trainable=False)
            for name, shape in self._shapes.items()
        }


def _refuse_unknown(argument: str, names: Iterable[str], known: Collection[str]) -> None:
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(f"{argument} must name trainable variables, got {', '.join(unknown)}")
