"""Eighteen layers of basic blocks for small images, with the defaults of Keras' layers.

Stem 3x3 with BN and ReLU, then eight post-activation blocks of He et al. 2015 (arXiv
1512.03385), two a stage. For 32x32 input: stem and stage1 32x32x64, stage2 16x16x128, stage3
8x8x256, stage4 4x4x512; global average pool, dense. Convolutions have biases, padding is
"same", batch norms have epsilon 1e-3 and momentum 0.99.

Parameters, 10 classes: 11,188,362 (11,178,762 trainable).

Variables, by name (b counts blocks from 0):
    stem/{kernel,bias}    stem_norm/{scale,offset,moving_mean,moving_variance}
    stage{1,2,3,4}/b/conv{1,2}/…     stage{1,2,3,4}/b/norm{1,2}/…
    stage{2,3,4}/0/shortcut/{conv,norm}/…    head/{kernel,bias}
"""

import dataclasses
import functools

import tensorflow as tf

from resnet_tf.layers import Conv2D, Dense, he_normal
from resnet_tf.models.classifier import Classifier
from resnet_tf.models.residual import (
    BasicBlock,
    Identity,
    Projection,
    ResidualOptions,
    make_stage,
    run_stages,
    set_drop_rates,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CifarResNet18Options(ResidualOptions):
    """Options of `CifarResNet18`.

    Attributes:
      zero_last_scale: start the last batch norm of each branch at scale 0.
    """

    norm_momentum: float = 0.99
    norm_epsilon: float = 1e-3
    zero_last_scale: bool = False


class CifarResNet18(Classifier):
    """Four stages of two basic blocks. Kernels are He normal (fan-in)."""

    Options = CifarResNet18Options

    def __init__(self, options: CifarResNet18Options):
        super().__init__(options)
        init = he_normal(options.seed)
        conv = functools.partial(Conv2D, init=init, use_bias=True)

        def shortcut(channels_in, channels, stride):
            if stride == 1:
                return Identity()
            return Projection(channels_in, channels, stride, conv=conv, options=options)

        block = functools.partial(BasicBlock, conv=conv, options=options, shortcut=shortcut)
        width = options.width(64)
        self.stem = conv(options.channels, width, 3)
        self.stem_norm = options.norm(width)
        self.stage1 = make_stage(block, width, width, 1, 2)
        self.stage2 = make_stage(block, width, 2 * width, 2, 2)
        self.stage3 = make_stage(block, 2 * width, 4 * width, 2, 2)
        self.stage4 = make_stage(block, 4 * width, 8 * width, 2, 2)
        set_drop_rates(self, options.stochastic_depth)
        self.head = Dense(8 * width, options.num_classes, init=init)

    def features(self, images, training):
        x = tf.nn.relu(self.stem_norm(self.stem(images), training))
        features = run_stages(self, x, training)
        return {**features, "final": features["stage4"]}
