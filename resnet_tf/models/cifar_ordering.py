"""Five orders of the same operations: He et al. 2016 (arXiv 1603.05027), on small images.

As the 6n + 2 layers of `cifar_resnet`, but convolutions have biases, the stem is a bare
convolution, and BN and ReLU follow the last block. Sizes for 32x32 input: stem and stage1
32x32, stage2 16x16, stage3 8x8, with 16, 32 and 64 channels. Padding is TF's "same".

Parameters, 10 classes, total (trainable):
    depth 32, a b c d: 470,410 (468,042) · e: 470,218 (467,946) · the 34: 416,458 (414,186)

Variables, by name (b counts blocks from 0):
    stem/{kernel,bias}            stage{1,2,3}/b/conv{1,2}/…    stage{1,2,3}/b/norm{1,2}/…
    stage{2,3}/0/projection/…     final_norm/…    head/{kernel,bias}
    stage{2,3}/0/conv3/…          stage{2,3}/0/norm3/… (the 34)
"""

import dataclasses
import functools

import tensorflow as tf

from resnet_tf.layers import Conv2D, Dense, he_normal
from resnet_tf.models.cifar_resnet import blocks_a_stage
from resnet_tf.models.classifier import Classifier
from resnet_tf.models.residual import (
    Block,
    ResidualOptions,
    make_stage,
    run_stages,
    set_drop_rates,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OrderingOptions(ResidualOptions):
    """Options of `OrderingResNet`.

    Attributes:
      depth: 6n + 2 with n of 1 or more.
      ordering: a key of `ORDERINGS`.
      bottleneck_changes: let full pre-activation bottlenecks change the stage, two layers
        more in all and fewer parameters; goes with ordering "e".
    """

    depth: int
    ordering: str
    bottleneck_changes: bool = False

    def __post_init__(self):
        super().__post_init__()
        blocks_a_stage(self.depth)
        if self.ordering not in ORDERINGS:
            known = ", ".join(ORDERINGS)
            raise ValueError(f"ordering must be one of {known}, got {self.ordering!r}")
        if self.bottleneck_changes and self.ordering != "e":
            raise ValueError(f"bottleneck_changes needs ordering 'e', got {self.ordering!r}")


class OrderedBlock(Block):
    """The parts that all orderings share; a subclass puts them in order.

    A projection, 1x1 with bias and no BN, exists only where the stage changes; elsewhere
    the shortcut carries the block's input itself.
    """

    norm_comes_first = False  # then norm1 sees the block's input channels

    def __init__(self, channels_in, channels, stride, *, conv, options):
        super().__init__()
        self.conv1 = conv(channels_in, channels, 3, stride=stride)
        self.norm1 = options.norm(channels_in if self.norm_comes_first else channels)
        self.conv2 = conv(channels, channels, 3)
        self.norm2 = options.norm(channels)
        changes = stride != 1 or channels_in != channels
        self.projection = conv(channels_in, channels, 1, stride=stride) if changes else None

    def shortcut(self, x, projected):
        """x itself, or the projection of `projected` where the stage changes."""
        return x if self.projection is None else self.projection(projected)


class Original(OrderedBlock):
    """a: conv BN ReLU conv BN, add, ReLU."""

    def __call__(self, x, training):
        y = tf.nn.relu(self.norm1(self.conv1(x), training))
        y = self.norm2(self.conv2(y), training)
        return tf.nn.relu(self.drop(y, training) + self.shortcut(x, projected=x))


class NormAfterAddition(OrderedBlock):
    """b: conv BN ReLU conv, add, BN ReLU."""

    def __call__(self, x, training):
        y = tf.nn.relu(self.norm1(self.conv1(x), training))
        y = self.drop(self.conv2(y), training)
        return tf.nn.relu(self.norm2(y + self.shortcut(x, projected=x), training))


class ReluBeforeAddition(OrderedBlock):
    """c: conv BN ReLU conv BN ReLU, add."""

    def __call__(self, x, training):
        y = tf.nn.relu(self.norm1(self.conv1(x), training))
        y = tf.nn.relu(self.norm2(self.conv2(y), training))
        return self.drop(y, training) + self.shortcut(x, projected=x)


class ReluOnlyPreActivation(OrderedBlock):
    """d: ReLU conv BN ReLU conv BN, add; the projection sees the activated input."""

    def __call__(self, x, training):
        activated = tf.nn.relu(x)
        y = tf.nn.relu(self.norm1(self.conv1(activated), training))
        y = self.norm2(self.conv2(y), training)
        return self.drop(y, training) + self.shortcut(x, projected=activated)


class ReluOnlyPreActivationV2(OrderedBlock):
    """d_v2: as d, but the projection sees the block's input."""

    def __call__(self, x, training):
        y = tf.nn.relu(self.norm1(self.conv1(tf.nn.relu(x)), training))
        y = self.norm2(self.conv2(y), training)
        return self.drop(y, training) + self.shortcut(x, projected=x)


class FullPreActivation(OrderedBlock):
    """e: BN ReLU conv BN ReLU conv, add; the projection sees the activated input."""

    norm_comes_first = True

    def __call__(self, x, training):
        activated = tf.nn.relu(self.norm1(x, training))
        y = tf.nn.relu(self.norm2(self.conv1(activated), training))
        return self.drop(self.conv2(y), training) + self.shortcut(x, projected=activated)


class FullPreActivationV2(OrderedBlock):
    """e_v2: as e, but the projection sees the block's input."""

    norm_comes_first = True

    def __call__(self, x, training):
        y = self.conv1(tf.nn.relu(self.norm1(x, training)))
        y = self.conv2(tf.nn.relu(self.norm2(y, training)))
        return self.drop(y, training) + self.shortcut(x, projected=x)


class BottleneckChange(Block):
    """e with three convolutions, 1x1/2, 3x3, 1x1: half the channels inside.

    *Reading*: the stride is in the first of the three.
    """

    def __init__(self, channels_in, channels, stride, *, conv, options):
        super().__init__()
        inner = channels // 2
        self.norm1 = options.norm(channels_in)
        self.conv1 = conv(channels_in, inner, 1, stride=stride)
        self.norm2 = options.norm(inner)
        self.conv2 = conv(inner, inner, 3)
        self.norm3 = options.norm(inner)
        self.conv3 = conv(inner, channels, 1)
        self.projection = conv(channels_in, channels, 1, stride=stride)

    def __call__(self, x, training):
        activated = tf.nn.relu(self.norm1(x, training))
        y = tf.nn.relu(self.norm2(self.conv1(activated), training))
        y = tf.nn.relu(self.norm3(self.conv2(y), training))
        return self.drop(self.conv3(y), training) + self.projection(activated)


ORDERINGS = {
    "a": Original,
    "b": NormAfterAddition,
    "c": ReluBeforeAddition,
    "d": ReluOnlyPreActivation,
    "d_v2": ReluOnlyPreActivationV2,
    "e": FullPreActivation,
    "e_v2": FullPreActivationV2,
}


class OrderingResNet(Classifier):
    """The orderings of He et al. 2016, Figure 4. Kernels are He normal (fan-in)."""

    Options = OrderingOptions

    def __init__(self, options: OrderingOptions):
        super().__init__(options)
        width, blocks = options.width(16), blocks_a_stage(options.depth)
        init = he_normal(options.seed)
        conv = functools.partial(Conv2D, init=init, use_bias=True)
        block = functools.partial(ORDERINGS[options.ordering], conv=conv, options=options)
        change = functools.partial(BottleneckChange, conv=conv, options=options)

        def first_or_other(channels_in, channels, stride):
            changes = options.bottleneck_changes and stride == 2
            return (change if changes else block)(channels_in, channels, stride)

        self.stem = conv(options.channels, width, 3)
        self.stage1 = make_stage(first_or_other, width, width, 1, blocks)
        self.stage2 = make_stage(first_or_other, width, 2 * width, 2, blocks)
        self.stage3 = make_stage(first_or_other, 2 * width, 4 * width, 2, blocks)
        set_drop_rates(self, options.stochastic_depth)
        self.final_norm = options.norm(4 * width)
        self.head = Dense(4 * width, options.num_classes, init=init)

    def features(self, images, training):
        features = run_stages(self, self.stem(images), training)
        final = tf.nn.relu(self.final_norm(features["stage3"], training))
        return {**features, "final": final}
