"""Full pre-activation residual networks for ImageNet: He et al. 2016 (arXiv 1603.05027).

Sizes and depths are those of `resnet`; BN and ReLU stand before each convolution and after the
last block, the stem is a bare convolution, and where a stage changes, the projection (1x1, no
BN) sees the activated input.

Two layouts. "paper", the default: a stage's first block strides, in its 3x3. "keras" is that of
`keras.applications` (and, but for its padding, TF-slim): a stage's last block strides, its
shortcut taking every second pixel; the stem's pool is padded with zeros; and convolutions
that no BN follows have a bias.

Parameters, 1000 classes, total (trainable):
    50, paper: 25,594,792 (25,549,352) · 50, keras: 25,613,800 (25,568,360)

Variables, by name (s counts stages from 1, b blocks from 0):
    stem/kernel    stage{s}/b/norm{1,2,3}/{scale,offset,moving_mean,moving_variance}
    stage{s}/b/conv{1,2,3}/kernel    stage{s}/0/projection/kernel    final_norm/…
    head/{kernel,bias}    stem, stage{s}/b/conv3 (basic: conv2), stage{s}/0/projection: bias (keras)
"""

import dataclasses
import functools

import tensorflow as tf

from resnet_tf.layers import Conv2D, Dense, he_normal, max_pool
from resnet_tf.models.classifier import Classifier
from resnet_tf.models.imagenet import ImageNetOptions, make_stages
from resnet_tf.models.residual import Block, run_stages


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNetV2Options(ImageNetOptions):
    """Options of `ResNetV2`.

    Attributes:
      layout: "paper" or "keras".
    """

    layout: str = "paper"

    def __post_init__(self):
        super().__post_init__()
        if self.layout not in ("paper", "keras"):
            raise ValueError(f"layout must be 'paper' or 'keras', got {self.layout!r}")

    def stages(self):
        stages = super().stages()
        if self.layout == "paper":
            return stages
        followers = [*stages[1:], [(1, stages[-1][-1][1])]]
        changes = [(stage[0][0], stage[-1][1][1]) for stage in followers]
        for stage, (stride, behind) in zip(stages, changes):
            dilation = stage[-1][1][1]
            stage[:] = [(1, (dilation, dilation))] * (len(stage) - 1)
            stage.append((stride, (dilation, behind)))
        return stages


class PreActivationBlock(Block):
    """The shortcut of both blocks: x itself, every second pixel of it, or a projection."""

    def shortcut(self, x, activated):
        if self.projection is not None:
            return self.projection(activated)
        return x if self.stride == 1 else x[:, :: self.stride, :: self.stride]


class PreActivationBasic(PreActivationBlock):
    """BN ReLU conv 3x3/s, BN ReLU conv 3x3, add."""

    expansion = 1

    def __init__(self, channels_in, channels, stride, *, conv, end, options, dilations):
        super().__init__()
        self.stride = stride
        self.norm1 = options.norm(channels_in)
        self.conv1 = conv(channels_in, channels, 3, stride=stride, dilation=dilations[0])
        self.norm2 = options.norm(channels)
        self.conv2 = end(channels, channels, 3, dilation=dilations[1])
        changes = channels_in != channels
        self.projection = end(channels_in, channels, 1, stride=stride) if changes else None

    def __call__(self, x, training):
        activated = tf.nn.relu(self.norm1(x, training))
        y = tf.nn.relu(self.norm2(self.conv1(activated), training))
        return self.drop(self.conv2(y), training) + self.shortcut(x, activated)


class PreActivationBottleneck(PreActivationBlock):
    """BN ReLU conv 1x1, BN ReLU conv 3x3/s, BN ReLU conv 1x1, add."""

    expansion = 4

    def __init__(self, channels_in, channels, stride, *, conv, end, options, dilations):
        super().__init__()
        self.stride = stride
        self.norm1 = options.norm(channels_in)
        self.conv1 = conv(channels_in, channels, 1)
        self.norm2 = options.norm(channels)
        self.conv2 = conv(channels, channels, 3, stride=stride, dilation=dilations[0])
        self.norm3 = options.norm(channels)
        self.conv3 = end(channels, 4 * channels, 1)
        changes = channels_in != 4 * channels
        self.projection = end(channels_in, 4 * channels, 1, stride=stride) if changes else None

    def __call__(self, x, training):
        activated = tf.nn.relu(self.norm1(x, training))
        y = tf.nn.relu(self.norm2(self.conv1(activated), training))
        y = tf.nn.relu(self.norm3(self.conv2(y), training))
        return self.drop(self.conv3(y), training) + self.shortcut(x, activated)


class ResNetV2(Classifier):
    """Full pre-activation. Kernels are He normal (fan-out)."""

    Options = ResNetV2Options

    def __init__(self, options: ResNetV2Options):
        super().__init__(options)
        init = he_normal(options.seed, "fan_out")
        conv = functools.partial(Conv2D, init=init, padding="symmetric")
        # What makes the convolutions that no batch norm follows.
        end = functools.partial(conv, use_bias=options.layout == "keras")
        block = PreActivationBasic if options.depth < 50 else PreActivationBottleneck
        self.stem = end(options.channels, options.width(64), 7, stride=2)
        channels = make_stages(self, block, conv=conv, end=end)
        self.final_norm = options.norm(channels)
        self.head = Dense(channels, options.num_classes, init=init)

    def features(self, images, training):
        features = run_stages(self, self._pool(self.stem(images)), training)
        final = tf.nn.relu(self.final_norm(features["stage4"], training))
        return {**features, "final": final}

    def _pool(self, x):
        if self.options.layout == "keras":
            # Zeros, not minus infinity: nothing has been rectified yet.
            return max_pool(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2)
        return max_pool(x, 3, 2, padding=1)
