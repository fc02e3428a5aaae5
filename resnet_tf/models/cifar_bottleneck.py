"""Bottlenecks on small images: 50, 101 and 152 layers, with ReLU before the addition.

The block is ordering c of He et al. 2016 (arXiv 1603.05027) with three convolutions, the depths
are those of He et al. 2015 (arXiv 1512.03385, Table 1). Every stage, the first too, halves the
image: for 32x32 input, stem 32x32x64, stage1 16x16x256, stage2 8x8x512, stage3 4x4x1024, stage4
2x2x2048; BN, ReLU, global average pool, dense. Convolutions have biases; padding is "same".

Parameters, 10 classes, total (trainable):
    50: 23,593,098 (23,543,690) · 101: 42,663,562 (42,561,930) · 152: 57,246,858 (57,105,290)

Variables, by name (b counts blocks from 0):
    stem/{kernel,bias}           stage{1,2,3,4}/b/conv{1,2,3}/…    stage{1,2,3,4}/b/norm{1,2,3}/…
    stage{1,2,3,4}/0/projection/…    final_norm/…    head/{kernel,bias}
"""

import dataclasses
import functools

import tensorflow as tf

from resnet_tf.layers import Conv2D, Dense, he_normal
from resnet_tf.models.classifier import Classifier
from resnet_tf.models.residual import (
    Block,
    ResidualOptions,
    make_stage,
    run_stages,
    set_drop_rates,
)

# depth -> blocks in stage1 to stage4
BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 4, 36, 3)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CifarBottleneckOptions(ResidualOptions):
    """Options of `CifarBottleneckResNet`.

    Attributes:
      depth: a key of `BLOCKS`.
    """

    depth: int

    def __post_init__(self):
        super().__post_init__()
        if self.depth not in BLOCKS:
            raise ValueError(
                f"depth must be one of {', '.join(map(str, BLOCKS))}, got {self.depth}"
            )


class ReluBeforeAdditionBottleneck(Block):
    """conv 1x1 BN ReLU, conv 3x3 BN ReLU, conv 1x1 BN ReLU, add."""

    def __init__(self, channels_in, channels, stride, *, conv, options):
        super().__init__()
        inner = channels // 4
        self.conv1 = conv(channels_in, inner, 1, stride=stride)
        self.norm1 = options.norm(inner)
        self.conv2 = conv(inner, inner, 3)
        self.norm2 = options.norm(inner)
        self.conv3 = conv(inner, channels, 1)
        self.norm3 = options.norm(channels)
        self.projection = conv(channels_in, channels, 1, stride=stride) if stride != 1 else None

    def __call__(self, x, training):
        y = tf.nn.relu(self.norm1(self.conv1(x), training))
        y = tf.nn.relu(self.norm2(self.conv2(y), training))
        y = tf.nn.relu(self.norm3(self.conv3(y), training))
        shortcut = x if self.projection is None else self.projection(x)
        return self.drop(y, training) + shortcut


class CifarBottleneckResNet(Classifier):
    """Four stages of bottlenecks. Kernels are He normal (fan-in)."""

    Options = CifarBottleneckOptions

    def __init__(self, options: CifarBottleneckOptions):
        super().__init__(options)
        init = he_normal(options.seed)
        conv = functools.partial(Conv2D, init=init, use_bias=True)
        block = functools.partial(ReluBeforeAdditionBottleneck, conv=conv, options=options)
        inner = options.width(64)
        channels = inner
        self.stem = conv(options.channels, inner, 3)
        for number, blocks in enumerate(BLOCKS[options.depth]):
            channels_in, channels = channels, 4 * inner * 2**number
            setattr(self, f"stage{number + 1}", make_stage(block, channels_in, channels, 2, blocks))
        set_drop_rates(self, options.stochastic_depth)
        self.final_norm = options.norm(channels)
        self.head = Dense(channels, options.num_classes, init=init)

    def features(self, images, training):
        features = run_stages(self, self.stem(images), training)
        final = tf.nn.relu(self.final_norm(features["stage4"], training))
        return {**features, "final": final}
