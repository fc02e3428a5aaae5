"""Dropout and stochastic depth, with noise that belongs to the step and the example."""

import threading

import tensorflow as tf

_streams = threading.local()
# Bits of a float32 behind its leading one.
_DIGITS = 23


class NoiseStream:
    """The random numbers of one training step: a function of seed, step and example.

        with NoiseStream(seed, step):
            logits = model(images, training=True)

    The k-th layer that draws inside it gets the k-th sequence of the step, and example i of
    the *global* batch the i-th row of it. So one replica or many drop the same units, and a
    resumed run drops what the undisturbed one would have. Outside any stream the numbers
    come from TensorFlow's global generator.

    The price: each replica, and each part of a batch, draws the numbers of the whole step and
    takes its own.

    Args:
      seed: of the run.
      step: int64 scalar.
      first, total: number of the first example in the global batch, int32 scalar, and of all
        its examples. By default the replica context tells them, each replica having its share.
      stride: distance of its examples in the global batch, 1 by default.
    """

    def __init__(
        self,
        seed: int,
        step: tf.Tensor,
        first: tf.Tensor | None = None,
        total: int | None = None,
        *,
        stride: int = 1,
    ):
        self._seed = tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)])
        self._first, self._total, self._stride, self._draws = first, total, stride, 0

    def __enter__(self) -> "NoiseStream":
        self._outer = getattr(_streams, "current", None)
        _streams.current = self
        return self

    def __exit__(self, *exc) -> None:
        _streams.current = self._outer

    def uniform(self, shape: list) -> tf.Tensor:
        """float32 in [0, 1) of `shape`, whose first entry counts this replica's examples."""
        # Named, since XLA would choose another algorithm.
        seed = tf.random.experimental.stateless_fold_in(self._seed, self._draws, alg="philox")
        self._draws += 1
        first, total = self._first, self._total
        if total is None:
            replica = tf.distribute.get_replica_context()
            first = shape[0] * replica.replica_id_in_sync_group
            total = shape[0] * replica.num_replicas_in_sync
        # Whole numbers, since XLA would make a float of other bits of them.
        everyone = tf.random.stateless_uniform(
            [total, *shape[1:]], seed, None, None, tf.int32, alg="philox"
        )
        stride = self._stride
        if stride > 1:
            everyone = tf.reshape(everyone, [-1, stride, *shape[1:]])[:, first % stride]
        own = tf.slice(everyone, [first // stride, *[0] * (len(shape) - 1)], shape)
        return tf.cast(own & (2**_DIGITS - 1), tf.float32) * 2.0**-_DIGITS


def dropout(x: tf.Tensor, rate: float, training: bool) -> tf.Tensor:
    """x · b / (1 - rate) with b = 1 with probability 1 - rate, else 0, for each entry.

    In inference x itself (Srivastava et al. 2014, JMLR 15).

    Args:
      x: `[N, …]`, float32, bfloat16 or float16.
      rate: share of entries that are dropped, in [0, 1).
      training: whether to drop.
    """
    return _drop(x, rate, training, tf.unstack(tf.shape(x)))


def drop_path(branch: tf.Tensor, rate: float, training: bool) -> tf.Tensor:
    """Stochastic depth (Huang et al. 2016, arXiv 1603.09382): one b for each example's branch.

    The paper keeps the branch as it is in training and scales it by 1 - rate in inference;
    here training divides by 1 - rate instead, which is the same but for the factor, and
    leaves inference alone.

    Args:
      branch: `[N, H, W, C]`, before it is added to the shortcut.
      rate: share of examples whose branch is dropped, in [0, 1).
      training: whether to drop.
    """
    return _drop(branch, rate, training, [tf.shape(branch)[0]] + [1] * (len(branch.shape) - 1))


def _drop(x, rate, training, shape):
    if not training or rate == 0:
        return x
    stream = getattr(_streams, "current", None)
    noise = stream.uniform(shape) if stream else tf.random.uniform(shape)
    # A selection and not a product: 0 times an infinite entry would be NaN.
    return tf.where(noise >= rate, x / (1 - rate), tf.zeros([], x.dtype))
