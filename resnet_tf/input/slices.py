"""Which positions of the endless sequence one input pipeline makes batches of."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Slices:
    """The slices of the global batch that belong to the replicas of one pipeline.

    Batch k of the pipeline is for step first_step + k div r and its replica k mod r, with r its
    own number of replicas, which is the order in which `tf.distribute` hands batches out. Of
    several parts that are made elsewhere, each makes one batch in `parts`.

    Attributes:
      first_step: from which on.
      batch_size: over all replicas of all pipelines.
      per_replica: examples a replica takes.
      first_replica, replicas: those of this pipeline.
      part, parts: only the batches k with k mod parts = part.
    """

    first_step: int
    batch_size: int
    per_replica: int
    first_replica: int
    replicas: int
    part: int = 0
    parts: int = 1

    def batches(self) -> tf.data.Dataset:
        """Endless: the positions of each batch, int64 `[per_replica]`."""

        def positions(k):
            step, replica = k // self.replicas, self.first_replica + k % self.replicas
            start = step * self.batch_size + replica * self.per_replica
            return start + tf.range(self.per_replica, dtype=tf.int64)

        first = self.first_step * self.replicas + self.part
        return tf.data.Dataset.counter(first, self.parts).map(positions)

    @property
    def first_position(self) -> int:
        """The first position of all."""
        return self.first_step * self.batch_size + self.first_replica * self.per_replica

    def within(self, first: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
        """The positions from `first` to before `end` that belong here, ascending; int64 `[k]`."""
        first = tf.maximum(first, self.first_position)
        positions = tf.range(first, tf.maximum(first, end))
        replicas = positions % self.batch_size // self.per_replica - self.first_replica
        here = (replicas >= 0) & (replicas < self.replicas)
        if self.parts > 1:
            k = (positions // self.batch_size - self.first_step) * self.replicas + replicas
            here &= k % self.parts == self.part
        return tf.boolean_mask(positions, here)
