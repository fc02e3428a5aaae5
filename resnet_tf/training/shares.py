"""What several replicas compute in a step, by one device alone: a share after the other."""

import dataclasses

import tensorflow as tf

from resnet_tf.training.gradient import Batch, Gradient, Sums


class InShares:
    """The sums of a batch as so many replicas find them, to stand in the place of a `Gradient`.

    The batch of B examples is cut as it is among replicas: share r has the b = B / shares
    examples from r · b on, and its batch norms see those alone. Then

        gradients = Σ_r gradients of share r      loss and correct likewise
        statistics = Σ_r statistics of share r / shares

    One share at a time, so it takes the memory of one.

    Args:
      gradient: of the network, without sums over replicas in it.
      shares: their number, which divides the examples.

    Attributes:
      variables, moved, synchronized: as those of a `Gradient`.
    """

    def __init__(self, gradient: Gradient, shares: int):
        def of_share(values, *batch):
            sums = gradient(values, Batch(*batch))
            return sums.gradients, sums.statistics, sums.loss, sums.correct

        self._shares = shares
        self._of_share = tf.function(of_share, autograph=False)  # one graph for all shares
        self.variables, self.moved = gradient.variables, gradient.moved
        self.synchronized = False

    def __call__(self, values: list[tf.Tensor], batch: Batch) -> Sums:
        """The sums of one batch, for the values of `variables`, float32."""

        def of(number):
            return self._of_share(values, *self._fields_of_share(batch, number))

        _, total = tf.while_loop(
            lambda number, _: number < self._shares,
            lambda number, total: (number + 1, tf.nest.map_structure(tf.add, total, of(number))),
            (tf.constant(1), of(tf.constant(0))),
            parallel_iterations=1,  # else shares would overlap, and their memory with them
        )
        gradients, statistics, loss, correct = total
        return Sums(gradients, [seen / self._shares for seen in statistics], loss, correct)

    def _fields_of_share(self, batch: Batch, number: tf.Tensor) -> tuple:
        size = batch.images.shape[0] // self._shares
        images, labels = (
            tf.reshape(x, [self._shares, size, *x.shape[1:]])[number]
            for x in (batch.images, batch.labels)
        )
        first = batch.first + batch.stride * number * size
        share = dataclasses.replace(batch, images=images, labels=labels, first=first)
        return tuple(getattr(share, field.name) for field in dataclasses.fields(share))
