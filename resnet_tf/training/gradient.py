"""Loss, gradients and batch statistics as a pure function of the network's values and a batch.

Reading the variables, summing over replicas and updating stand outside, in `step`, so that
XLA can compile this function without meeting a variable or another replica.
"""

import dataclasses
from collections.abc import Callable, Sequence

import tensorflow as tf

from resnet_tf.layers import BatchNorm, NoiseStream, StatisticsTape, Values
from resnet_tf.training.losses import Loss, cross_entropy
from resnet_tf.training.metrics import correct_in_top


@dataclasses.dataclass(frozen=True)
class Batch:
    """What one call of the function sees of a step.

    Attributes:
      images: pixels `[b, H, W, C]`, uint8 or float32.
      labels: int64 `[b]`, or float32 `[b, classes]`.
      first: number of its first example in the global batch, int32 scalar.
      stride: how far apart its examples are there.
      step: finished steps, int64 scalar.
      scale: of the loss whose gradients are taken, float32 scalar.
    """

    images: tf.Tensor
    labels: tf.Tensor
    first: tf.Tensor
    step: tf.Tensor
    scale: tf.Tensor
    stride: int = 1

    def part(self, number: tf.Tensor | int, parts: int) -> "Batch":
        """One of `parts` of the same size, counted from 0; they divide `b`, which is static.

        It has every `parts`-th example, so the replicas' parts of a number are, taken together,
        the same examples for any number of replicas.
        """
        images, labels = (
            tf.reshape(x, [x.shape[0] // parts, parts, *x.shape[1:]])[:, number]
            for x in (self.images, self.labels)
        )
        return dataclasses.replace(
            self, images=images, labels=labels, first=self.first + number, stride=parts
        )


@dataclasses.dataclass(frozen=True)
class Sums:
    """What batches of one step add up to.

    Attributes:
      gradients: of scale · loss, float32, one a trained variable.
      statistics: what each batch norm saw, float32 vectors in the order of `Gradient.moved`.
      loss: sum of the examples' losses over the examples of the whole step, float32 scalar.
      correct: examples whose label has the largest logit, float32 scalar.
    """

    gradients: list[tf.Tensor]
    statistics: list[tf.Tensor]
    loss: tf.Tensor
    correct: tf.Tensor


class Gradient:
    """Computes `Sums` of a batch.

    Args:
      model: the network.
      trained: the variables whose gradients are taken.
      preprocess: from pixels `[b, H, W, C]` to float32 input.
      batch_size: examples a step, over all replicas.
      loss: from float32 logits and labels to a float32 loss an example.
      seed: of what the layers drop, together with the step.
      dtype: in which the layers compute: float32, bfloat16 or float16. Weights, logits, loss and
        statistics are float32 in any case.

    Attributes:
      variables: all of the network's, trained ones first: `values` of a call has their order.
      moved: (moving statistic, rate) of each batch norm, known once it was traced.
      synchronized: whether it holds sums over replicas, of batch norms.
    """

    def __init__(
        self,
        model: tf.Module,
        trained: Sequence[tf.Variable],
        *,
        preprocess: Callable[[tf.Tensor], tf.Tensor],
        batch_size: int,
        loss: Loss = cross_entropy,
        seed: int = 0,
        dtype: tf.DType = tf.float32,
    ):
        self._model, self._loss, self._preprocess = model, loss, preprocess
        self._batch_size, self._seed, self._dtype = batch_size, seed, dtype
        self._number_trained = len(trained)
        known = {id(variable) for variable in trained}
        self.variables = [*trained, *(v for v in model.variables if id(v) not in known)]
        self.moved: list[tuple[tf.Variable, float]] = []
        norms = (m for m in model.submodules if isinstance(m, BatchNorm))
        self.synchronized = any(norm.synchronized for norm in norms)

    def prepared(self, images: tf.Tensor) -> tf.Tensor:
        """What the network is given for pixels `[b, H, W, C]`."""
        return tf.cast(self._preprocess(images), self._dtype)

    def __call__(self, values: list[tf.Tensor], batch: Batch) -> Sums:
        """The sums of one batch, for the values of `variables`, float32."""
        trained = values[: self._number_trained]
        noise = NoiseStream(
            self._seed, batch.step, batch.first, self._batch_size, stride=batch.stride
        )
        with (
            tf.GradientTape(watch_accessed_variables=False) as tape,
            StatisticsTape() as statistics,
            Values(self.variables, values),
            noise,
        ):
            tape.watch(trained)
            logits = self._model(self.prepared(batch.images), training=True)
            loss = tf.reduce_sum(self._loss(logits, batch.labels)) / self._batch_size
            scaled = loss * batch.scale
        self.moved[:] = [(variable, rate) for variable, _, rate in statistics.updates]
        return Sums(
            gradients=tape.gradient(
                scaled, trained, unconnected_gradients=tf.UnconnectedGradients.ZERO
            ),
            statistics=[seen for _, seen, _ in statistics.updates],
            loss=loss,
            correct=tf.reduce_sum(tf.cast(correct_in_top(logits, batch.labels, 1), tf.float32)),
        )
