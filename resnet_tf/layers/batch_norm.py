"""Batch normalisation (Ioffe and Szegedy 2015, arXiv 1502.03167)."""

import functools
import threading

import tensorflow as tf

from resnet_tf.layers.initializers import Initializer, ones, zeros
from resnet_tf.layers.values import value_of

_tapes = threading.local()


class StatisticsTape:
    """Records the batch statistics of every `BatchNorm` called inside it, like a gradient tape.

        with tf.GradientTape() as tape, StatisticsTape() as statistics:
            loss = ...model(images, training=True)...
        for variable, target, rate in statistics.updates: ...

    A batch norm called in training outside any tape moves its statistics at once. Inside
    one it only records what it saw, and the step moves them when it knows that the batch
    was sound, from the mean over all replicas.

    Attributes:
      updates: a list of (variable, batch statistic, rate) with
        variable ← variable + rate · (batch statistic - variable) still to be done.
    """

    def __init__(self):
        self.updates: list[tuple[tf.Variable, tf.Tensor, float]] = []

    def __enter__(self) -> "StatisticsTape":
        self._outer = getattr(_tapes, "current", None)
        _tapes.current = self
        return self

    def __exit__(self, *exc) -> None:
        _tapes.current = self._outer


class BatchNorm(tf.Module):
    """Normalises each channel over batch and positions, in one fused op.

    In training, with mean μ and variance σ² of this batch over (N, H, W), divided by their
    number n = N·H·W:

        y = scale · (x - μ) / √(σ² + epsilon) + offset
        moving_mean     ← momentum · moving_mean     + (1 - momentum) · μ
        moving_variance ← momentum · moving_variance + (1 - momentum) · σ² · n / (n - 1)

    In inference the moving statistics stand in for μ and σ². The n / (n - 1), for n > 1,
    makes the stored variance unbiased, as fused kernels and PyTorch do. A *frozen* one does
    in training what it does in inference, and its statistics stay. Statistics are float32 also
    where the input has 16 bits.

    Variables, all float32 `[channels]`: `scale` (unless there is none), `offset`, and, not
    trainable, `moving_mean`, `moving_variance`.

    Args:
      channels: size of the last axis of the input.
      momentum: 0.9 by default.
      epsilon: 1e-5 by default.
      scale_init: initialiser of the scale; ones by default. None: no such variable, the
        scale is 1.
      synchronized: take μ and σ² over the batches of all replicas, by two small
        all-reduces. By default each replica takes its own.

    Attributes:
      frozen: False by default; to be set before the step is traced.

    Raises:
      ValueError: for channels below 1 or a momentum outside [0, 1].
    """

    def __init__(
        self,
        channels: int,
        *,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        scale_init: Initializer | None = ones,
        synchronized: bool = False,
    ):
        super().__init__()
        if channels < 1:
            raise ValueError(f"channels must be 1 or more, got {channels!r}")
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], got {momentum!r}")
        self.momentum, self.epsilon, self.synchronized = momentum, epsilon, synchronized
        self.frozen = False
        self.scale = tf.Variable(scale_init((channels,)), name="scale") if scale_init else None
        self.offset = tf.Variable(zeros((channels,)), name="offset")
        statistic = functools.partial(
            tf.Variable, trainable=False, aggregation=tf.VariableAggregation.MEAN
        )
        self.moving_mean = statistic(zeros((channels,)), name="moving_mean")
        self.moving_variance = statistic(ones((channels,)), name="moving_variance")

    def __call__(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        """`[N, H, W, channels]` to the same shape and dtype: float32, bfloat16 or float16."""
        if not training or self.frozen:
            stored = value_of(self.moving_mean), value_of(self.moving_variance)
            if training and _on_gpus():
                return self._normalize(x, *stored)
            return self._fused(x, *stored, training=False)[0]
        if self.synchronized:
            y, mean, variance = self._normalize_over_replicas(x)
        else:
            # In training the fused op ignores the statistics it is given.
            y, mean, variance = self._fused(x, tf.zeros([0]), tf.zeros([0]), training=True)
        self._move((self.moving_mean, mean), (self.moving_variance, variance))
        return y

    def _fused(self, x, mean, variance, training):
        return tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=self._scale(),
            offset=value_of(self.offset),
            mean=mean,
            variance=variance,
            epsilon=self.epsilon,
            is_training=training,
        )[:3]

    def _scale(self):
        return tf.ones(self.offset.shape) if self.scale is None else value_of(self.scale)

    def _normalize_over_replicas(self, x):
        """The same formulas with μ and σ² of the global batch.

        Every replica holds the same number of examples, so μ is the mean of the replicas'
        means; and σ² the mean of local variance + (local mean - μ)², which unlike
        E[x²] - μ² cancels nothing.
        """
        replicas = tf.distribute.get_replica_context()
        local_mean, local_variance = tf.nn.moments(tf.cast(x, tf.float32), [0, 1, 2])
        mean = replicas.all_reduce(tf.distribute.ReduceOp.MEAN, local_mean)
        variance = replicas.all_reduce(
            tf.distribute.ReduceOp.MEAN, local_variance + tf.square(local_mean - mean)
        )
        count = tf.size(x) // tf.size(mean) * replicas.num_replicas_in_sync
        unbiased = variance * tf.cast(count / tf.maximum(count - 1, 1), tf.float32)
        return self._normalize(x, mean, variance), mean, unbiased

    def _normalize(self, x, mean, variance):
        offset, scale = value_of(self.offset), self._scale()
        y = tf.cast(x, tf.float32)
        return tf.cast(
            tf.nn.batch_normalization(y, mean, variance, offset, scale, self.epsilon), x.dtype
        )

    def _move(self, *targets: tuple[tf.Variable, tf.Tensor]) -> None:
        rate = 1 - self.momentum
        tape = getattr(_tapes, "current", None)
        for variable, target in targets:
            if tape is not None:
                tape.updates.append((variable, tf.stop_gradient(target), rate))
            else:
                variable.assign_add(rate * (target - variable))


def _on_gpus() -> bool:
    """Whether there are GPUs: for these the op without training has no deterministic gradient."""
    return bool(tf.config.list_physical_devices("GPU"))
