"""Residual networks for ImageNet: He et al. 2015 (arXiv 1512.03385, Table 1) and offspring.

For 224x224 input: stem (7x7/2, BN, ReLU) 112x112x64, max pool 3x3/2 56x56, stage1 56x56, stage2
28x28, stage3 14x14, stage4 7x7 with 64, 128, 256, 512 channels (4 times as many behind a
bottleneck); global average pool, dense. No convolution biases. Padding is symmetric, so that
weights of the well-known PyTorch versions fit.

    resnet{18,34}         basic blocks
    resnet{50…200}        v1.5: the stride is in the 3x3 (as in PyTorch's and NVIDIA's)
    …_v1                  the stride is in the first 1x1 (the paper; the same for 18 and 34)
    …_d                   three 3x3 as stem, 2x2 average pool before the 1x1 of a striding
                          shortcut (He et al. 2018, arXiv 1812.01187, Figure 2)
    se_resnet…            squeeze-and-excitation (Hu et al. 2017, arXiv 1709.01507)
    resnext…_GxWd         G groups in the 3x3, W channels each (Xie et al. 2016, arXiv 1611.05431)
    wide_resnet…_2        twice the channels in the 3x3 (arXiv 1605.07146)

Full pre-activation (v2) is in `resnet_v2`. Trainable parameters, 1000 classes:
    18: 11,689,512 · 34: 21,797,672 · 50: 25,557,032 · 101: 44,549,160 · 152: 60,192,808
    resnext50_32x4d: 25,028,904 · wide_resnet50_2: 68,883,240

Variables, by name (s counts stages from 1, b blocks from 0):
    stem/kernel (d: stem/conv{1,2,3}/kernel, stem/norm{1,2}/…)   stem_norm/…   head/{kernel,bias}
    stage{s}/b/conv{1,2,3}/kernel        stage{s}/b/norm{1,2,3}/{scale,offset,moving_…}
    stage{s}/0/shortcut/{conv,norm}/…    stage{s}/b/excitation/{squeeze,excite}/{kernel,bias} (SE)
"""

import dataclasses
import functools

import tensorflow as tf

from resnet_tf.layers import (
    Conv2D,
    Dense,
    average_pool,
    he_normal,
    max_pool,
    ones,
    zeros,
)
from resnet_tf.models.classifier import Classifier
from resnet_tf.models.imagenet import ImageNetOptions, make_stages
from resnet_tf.models.residual import BasicBlock, Block, Identity, Projection, run_stages


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNetOptions(ImageNetOptions):
    """Options of `ResNet` and its variants.

    Attributes:
      zero_last_scale: start the last batch norm of each branch at scale 0.
      use_bias: give convolutions a bias, which batch norm then takes away, as Keras does.
      groups, group_width: of the 3x3 of a bottleneck, which has groups · group_width ·
        channels / 64 channels.
    """

    zero_last_scale: bool = False
    use_bias: bool = False
    groups: int = 1
    group_width: int = 64

    def __post_init__(self):
        super().__post_init__()
        if self.depth < 50 and (self.groups, self.group_width) != (1, 64):
            raise ValueError("groups and group_width are of bottlenecks, from depth 50 on")


class Bottleneck(Block):
    """conv 1x1 BN ReLU, conv 3x3/s BN ReLU, conv 1x1 BN, add, ReLU."""

    expansion = 4
    strides = staticmethod(lambda stride: (1, stride))

    def __init__(self, channels_in, channels, stride, *, conv, options, shortcut, dilations=(1, 1)):
        super().__init__()
        last = zeros if options.zero_last_scale else ones
        inner = channels * options.group_width // 64 * options.groups
        stride1, stride2 = self.strides(stride)
        self.conv1 = conv(channels_in, inner, 1, stride=stride1)
        self.norm1 = options.norm(inner)
        self.conv2 = conv(
            inner, inner, 3, stride=stride2, dilation=dilations[0], groups=options.groups
        )
        self.norm2 = options.norm(inner)
        self.conv3 = conv(inner, 4 * channels, 1)
        self.norm3 = options.norm(4 * channels, scale_init=last)
        self.shortcut = shortcut(channels_in, 4 * channels, stride)

    def branch(self, x, training):
        y = tf.nn.relu(self.norm1(self.conv1(x), training))
        y = tf.nn.relu(self.norm2(self.conv2(y), training))
        return self.norm3(self.conv3(y), training)

    def __call__(self, x, training):
        y = self.drop(self.branch(x, training), training)
        return tf.nn.relu(y + self.shortcut(x, training))


class BottleneckV1(Bottleneck):
    """conv 1x1/s BN ReLU, conv 3x3 BN ReLU, conv 1x1 BN, add, ReLU."""

    strides = staticmethod(lambda stride: (stride, 1))

    def __init__(self, *arguments, dilations=(1, 1), **others):
        # Its 3x3 stands behind the stride.
        super().__init__(*arguments, dilations=(dilations[1], dilations[1]), **others)


class SqueezeExcitation(tf.Module):
    """y = x · sigmoid(W₂ ReLU(W₁ mean(x) + b₁) + b₂), a factor for each channel of an example."""

    def __init__(self, channels, conv, reduction=16):
        super().__init__()
        self.squeeze = conv(channels, channels // reduction, 1, use_bias=True)
        self.excite = conv(channels // reduction, channels, 1, use_bias=True)

    def __call__(self, x):
        y = tf.nn.relu(self.squeeze(tf.reduce_mean(x, axis=[1, 2], keepdims=True)))
        return x * tf.sigmoid(self.excite(y))


class SEBottleneck(Bottleneck):
    """A bottleneck whose branch is weighed channel by channel before the addition."""

    def __init__(self, channels_in, channels, stride, *, conv, **arguments):
        super().__init__(channels_in, channels, stride, conv=conv, **arguments)
        self.excitation = SqueezeExcitation(4 * channels, conv)

    def branch(self, x, training):
        return self.excitation(super().branch(x, training))


class ResNet(Classifier):
    """v1.5, and what differs from it in numbers alone. Kernels are He normal (fan-out)."""

    Options = ResNetOptions
    bottleneck = Bottleneck

    def __init__(self, options: ResNetOptions):
        super().__init__(options)
        init = he_normal(options.seed, "fan_out")
        conv = functools.partial(Conv2D, init=init, padding="symmetric", use_bias=options.use_bias)
        block = BasicBlock if options.depth < 50 else self.bottleneck
        shortcut = functools.partial(self.make_shortcut, conv)
        self.stem = self.make_stem(conv)
        self.stem_norm = options.norm(options.width(64))
        channels = make_stages(self, block, conv=conv, shortcut=shortcut)
        self.head = Dense(channels, options.num_classes, init=init)

    def make_stem(self, conv):
        return conv(self.options.channels, self.options.width(64), 7, stride=2)

    def make_shortcut(self, conv, channels_in, channels, stride):
        if stride == 1 and channels_in == channels:
            return Identity()
        return Projection(channels_in, channels, stride, conv=conv, options=self.options)

    def run_stem(self, images, training):
        return self.stem(images)

    def features(self, images, training):
        x = tf.nn.relu(self.stem_norm(self.run_stem(images, training), training))
        features = run_stages(self, max_pool(x, 3, 2, padding=1, rectified=True), training)
        return {**features, "final": features["stage4"]}


class ResNetV1(ResNet):
    """The stride of a bottleneck in its first 1x1."""

    bottleneck = BottleneckV1


class SEResNet(ResNet):
    """Squeeze-and-excitation in every bottleneck."""

    bottleneck = SEBottleneck


class DeepStem(tf.Module):
    """conv 3x3/2 BN ReLU, conv 3x3 BN ReLU, conv 3x3."""

    def __init__(self, channels_in, channels, *, conv, options):
        super().__init__()
        self.conv1 = conv(channels_in, channels // 2, 3, stride=2)
        self.norm1 = options.norm(channels // 2)
        self.conv2 = conv(channels // 2, channels // 2, 3)
        self.norm2 = options.norm(channels // 2)
        self.conv3 = conv(channels // 2, channels, 3)

    def __call__(self, x, training):
        x = tf.nn.relu(self.norm1(self.conv1(x), training))
        x = tf.nn.relu(self.norm2(self.conv2(x), training))
        return self.conv3(x)


class PooledProjection(Projection):
    """average pool 2x2/2, conv 1x1, BN; an odd last row or column is averaged alone."""

    def __init__(self, channels_in, channels, stride, *, conv, options):
        super().__init__(channels_in, channels, 1, conv=conv, options=options)
        self.stride = stride

    def __call__(self, x, training):
        return super().__call__(average_pool(x, self.stride, self.stride, "same"), training)


class ResNetD(ResNet):
    """Deep stem, and averages where a shortcut would skip three of four pixels."""

    def make_stem(self, conv):
        return DeepStem(
            self.options.channels, self.options.width(64), conv=conv, options=self.options
        )

    def run_stem(self, images, training):
        return self.stem(images, training)

    def make_shortcut(self, conv, channels_in, channels, stride):
        if stride == 1:
            return super().make_shortcut(conv, channels_in, channels, stride)
        return PooledProjection(channels_in, channels, stride, conv=conv, options=self.options)
