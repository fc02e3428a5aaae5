"""`plain_resnet100`: residual bottlenecks without any batch norm, on 224x224.

Every convolution has a bias and a ReLU behind it, also the last of a branch and the projection,
and nothing follows the addition. For 224x224 input:

    stem: conv 7x7 224x224x64, max pool 112x112, conv 1x1, max pool 56x56
    stage1 56x56x64       same                                   then max pool
    stage2 28x28x128      same x 5, increase                     then max pool
    stage3 14x14x256      same x 5, same x 5, increase           then max pool
    stage4 7x7x512        same x 15, increase
    global average pool, dense

"same" (c in, c out): conv 1x1 c/4, 3x3 c/4, 1x1 c; "increase" (c in, 2c out): conv 1x1 c/2, 3x3
c/2, 1x1 2c, with a projection 1x1 2c. (Its source counts 100 layers; there are 107
convolutions.) Any size from 32 up. Parameters, 20 classes: 1,773,652, all trainable.

Initial kernels matter here, because no batch norm mends their scale. He normal (He et al. 2015,
arXiv 1502.01852) keeps the mean square of an activation through conv and ReLU, so 34 branches in
a row pass signal and gradient on; with kernels near zero, every branch returns about nothing,
the head sees almost the same for every image, and the gradient, a product of the same kernels,
does not train them.

Variables, by name (s counts stages from 1, b units from 0):
    stem{1,2}/{kernel,bias}      stage{s}/b/conv{1,2,3}/{kernel,bias}
    stage{s}/b/projection/{kernel,bias} (increase)    head/{kernel,bias}
"""

import dataclasses
import functools

import tensorflow as tf

from resnet_tf.layers import Conv2D, Dense, he_normal, max_pool
from resnet_tf.models.classifier import Classifier, Options
from resnet_tf.models.residual import Block, set_drop_rates, stages_of

# (number of "same" units, whether an "increase" follows) of stage1 to stage4
STAGES = ((1, False), (5, True), (10, True), (15, True))


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlainResNetOptions(Options):
    """Options of `PlainResNet`.

    Attributes:
      stochastic_depth: share of examples for which training drops the last unit's branch;
        earlier units' grow to it in a straight line.
    """

    num_classes: int = 20
    stochastic_depth: float = 0.0


class Unit(Block):
    """conv 1x1 ReLU, conv 3x3 ReLU, conv 1x1 ReLU, add."""

    def __init__(self, channels_in, inner, channels, *, conv):
        super().__init__()
        self.conv1 = conv(channels_in, inner, 1)
        self.conv2 = conv(inner, inner, 3)
        self.conv3 = conv(inner, channels, 1)
        self.projection = conv(channels_in, channels, 1) if channels != channels_in else None

    def __call__(self, x, training):
        y = tf.nn.relu(self.conv1(x))
        y = tf.nn.relu(self.conv2(y))
        y = self.drop(tf.nn.relu(self.conv3(y)), training)
        return y + (x if self.projection is None else tf.nn.relu(self.projection(x)))


class PlainResNet(Classifier):
    """The whole network. Kernels are He normal (fan-in)."""

    Options = PlainResNetOptions
    smallest_image = 32

    def __init__(self, options: PlainResNetOptions):
        super().__init__(options)
        init = he_normal(options.seed)
        conv = functools.partial(Conv2D, init=init, use_bias=True)
        channels = options.width(64)
        self.stem1 = conv(options.channels, channels, 7)
        self.stem2 = conv(channels, channels, 1)
        for number, (same, increase) in enumerate(STAGES, start=1):
            stage = [Unit(channels, channels // 4, channels, conv=conv) for _ in range(same)]
            if increase:
                stage.append(Unit(channels, channels // 2, 2 * channels, conv=conv))
                channels *= 2
            setattr(self, f"stage{number}", stage)
        set_drop_rates(self, options.stochastic_depth)
        self.head = Dense(channels, options.num_classes, init=init)

    def features(self, images, training):
        x = max_pool(tf.nn.relu(self.stem1(images)), 2, 2)
        x = tf.nn.relu(self.stem2(x))
        features = {"stem": x}
        for name, units in stages_of(self):
            x = max_pool(x, 2, 2)
            for unit in units:
                x = unit(x, training)
            features[name] = x
        return {**features, "final": x}
