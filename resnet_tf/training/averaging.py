"""An exponential moving average of a network, kept beside it while it trains."""

import tensorflow as tf

from resnet_tf.layers import named_variables


class Average(tf.Module):
    """The average of a network's variables, in the variables of a twin.

    For a variable w of the network, its average a (w itself at first), decay d and t counting
    updates from 0:

        d_t = min(d, (1 + t) / (10 + t))
        a ← a - (1 - d_t) · (a - w)

    The smaller decays are a warm-up: with d alone, the random weights of the start would be
    a large part of the average for the first 1 / (1 - d) updates and more. The paper on such
    averages is Polyak and Juditsky 1992; the warm-up is that of TF1's
    `ExponentialMovingAverage(num_updates=t)`.

    The moving statistics of batch norm are averaged like the weights. The last ones belong to
    the last weights, which lie elsewhere; averaged at the same pace, they describe the networks
    whose weights went into the average. They are not the statistics that the averaged weights
    would give, which only a pass over the data tells.

    Made in the scope of the strategy that trains the network.

    Args:
      model: whose variables are averaged.
      twin: another network of the same architecture, which holds the average, for evaluation.
      decay: d in [0, 1); 0.9999, say, looks back over some 10,000 updates.

    Attributes:
      twin: the network that holds the average.
      updates: t, int64 scalar.

    Raises:
      ValueError: for a decay out of its range, and networks with different variables.
    """

    def __init__(self, model: tf.Module, twin: tf.Module, decay: float):
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {decay!r}")
        self.decay, self.twin = decay, twin
        self._sources, self._averages = named_variables(model), named_variables(twin)
        shapes = [
            {name: tuple(v.shape) for name, v in variables.items()}
            for variables in (self._sources, self._averages)
        ]
        if shapes[0] != shapes[1]:
            different = sorted(dict(shapes[0].items() ^ shapes[1].items()))
            raise ValueError(f"model and twin differ in {', '.join(different)}")
        self.updates = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.restart()

    @property
    def state(self) -> dict[str, tf.Variable]:
        """All that is saved, by name."""
        averages = {f"average/{name}": average for name, average in self._averages.items()}
        return {**averages, "average_updates": self.updates}

    def update(self) -> None:
        """Takes in the network as it is now; updates this replica's copy.

        To be called after the optimizer, in replica context, where `tf.cond` may decide about
        it: every replica must come by it or none. Values are equal on all replicas then, as
        those of the network are, so nothing is communicated.
        """
        count = tf.cast(self.updates.read_value(), tf.float32)
        # 1 - d_t, but not by a difference of numbers near 1.
        speed = tf.maximum(1 - self.decay, 9 / (10 + count))
        for name, average in self._averages.items():
            tf.raw_ops.AssignSubVariableOp(
                resource=average.handle, value=speed * (average - self._sources[name])
            )
        tf.raw_ops.AssignAddVariableOp(resource=self.updates.handle, value=tf.constant(1, tf.int64))

    def restart(self) -> None:
        """Begins anew from the network as it is now, after other weights were put into it.

        To be called outside of the replicas, as `assign` of mirrored variables is.
        """
        for name, average in self._averages.items():
            average.assign(self._sources[name].read_value())
        self.updates.assign(0)
