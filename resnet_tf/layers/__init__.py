"""Layers: `tf.Module`s that own explicit variables, created in the constructor."""

from resnet_tf.layers.batch_norm import BatchNorm, StatisticsTape
from resnet_tf.layers.conv import Conv2D
from resnet_tf.layers.dense import Dense
from resnet_tf.layers.dropout import NoiseStream, drop_path, dropout
from resnet_tf.layers.initializers import (
    Initializer,
    he_normal,
    ones,
    truncated_normal,
    zeros,
)
from resnet_tf.layers.naming import named_variables
from resnet_tf.layers.pooling import average_pool, global_average_pool, max_pool
from resnet_tf.layers.values import Values, value_of

__all__ = [
    "BatchNorm",
    "Conv2D",
    "Dense",
    "Initializer",
    "NoiseStream",
    "StatisticsTape",
    "Values",
    "average_pool",
    "drop_path",
    "dropout",
    "global_average_pool",
    "he_normal",
    "max_pool",
    "named_variables",
    "ones",
    "truncated_normal",
    "value_of",
    "zeros",
]
