"""`ex6_net`: an inception stem on 299x299, 20 classes.

Every convolution has no bias, and BN (a shift, no scale) and ReLU behind it. For 299x299 input,
with + for concatenated channels:

    conv1a 149x149x32 · conv2a 147x147x32 · conv2b 147x147x64
    concat3a 73x73x160     max pool + conv
    concat4a 71x71x192     two branches
    concat5a 35x35x384     conv + max pool
    concat5b, concat5c     35x35x384, four branches, one with an average pool
    concat6a 17x17x1024    conv + branch + max pool
    conv3a 8x8x384 · conv4a 3x3x300
    mean over all positions, dropout keeping 0.8, dense

Any size from 139 up. Parameters, 20 classes, total (trainable): 8,094,024 (8,086,448).

Variables, by name, `…` for conv/kernel and norm/{offset,moving_mean,moving_variance}:
    conv{1a,2a,2b,3a,4a}/…    concat3a/branch1/conv0a/…    concat5a/branch0/conv1a/…
    concat4a/branch0/{conv0a,conv1a}/…    concat4a/branch1/{conv0a,conv0b,conv0c,conv1a}/…
    concat{5b,5c}/branch{0,1,2,3}/{conv0a,conv0b,conv0c}/…    head/{kernel,bias}
    concat6a/branch0/conv1a/…    concat6a/branch1/{conv0a,conv0b,conv1a}/…
These are the scopes of its TF1 checkpoints in our spelling (`Concat_4a/Branch_1/Conv2d_0b_1x7`).
"""

import dataclasses
import functools

import tensorflow as tf

from resnet_tf.layers import Conv2D, Dense, average_pool, max_pool, truncated_normal
from resnet_tf.models.classifier import Classifier, NormalizedOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ex6NetOptions(NormalizedOptions):
    """Options of `Ex6Net`, with the defaults of its source."""

    num_classes: int = 20
    dropout: float = 0.2
    norm_momentum: float = 0.9997
    norm_epsilon: float = 1e-3


class ConvNorm(tf.Module):
    """conv, BN without scale, ReLU."""

    def __init__(self, channels_in, channels, size, stride=1, padding="same", *, init, options):
        super().__init__()
        self.channels = channels
        self.conv = Conv2D(channels_in, channels, size, init=init, stride=stride, padding=padding)
        self.norm = options.norm(channels, scale_init=None)

    def __call__(self, x, training):
        return tf.nn.relu(self.norm(self.conv(x), training))


class Chain(tf.Module):
    """Convolutions one behind the other, each by its name: (channels, size, stride, padding)."""

    def __init__(self, channels_in, conv, **rows):
        super().__init__()
        self._names = list(rows)
        for name, (channels, *rest) in rows.items():
            layer = conv(channels_in, channels, *rest)
            setattr(self, name, layer)
            channels_in = layer.channels
        self.channels = channels_in

    def __call__(self, x, training):
        for name in self._names:
            x = getattr(self, name)(x, training)
        return x


class Reduction(tf.Module):
    """Halves the image: convolutions and a max pool side by side."""

    def __init__(self, pool_first, **branches):
        super().__init__()
        self._pool_first, self._names = pool_first, list(branches)
        for name, branch in branches.items():
            setattr(self, name, branch)

    def __call__(self, x, training):
        convolved = [getattr(self, name)(x, training) for name in self._names]
        pooled = [max_pool(x, 3, 2)]
        return tf.concat(pooled + convolved if self._pool_first else convolved + pooled, axis=-1)


class TwoBranches(tf.Module):
    """concat4a: conv 1x1, 3x3 beside conv 1x1, 1x7, 7x1, 3x3."""

    def __init__(self, channels_in, chain):
        super().__init__()
        self.branch0 = chain(channels_in, conv0a=(64, 1), conv1a=(96, 3, 1, "valid"))
        self.branch1 = chain(
            channels_in,
            conv0a=(64, 1),
            conv0b=(64, (1, 7)),
            conv0c=(64, (7, 1)),
            conv1a=(96, 3, 1, "valid"),
        )
        self.channels = self.branch0.channels + self.branch1.channels

    def __call__(self, x, training):
        return tf.concat([self.branch0(x, training), self.branch1(x, training)], axis=-1)


class FourBranches(tf.Module):
    """concat5b and 5c: conv 1x1; 1x1, 3x3; 1x1, 3x3, 3x3; average pool, 1x1."""

    def __init__(self, channels_in, chain):
        super().__init__()
        self.branch0 = chain(channels_in, conv0a=(96, 1))
        self.branch1 = chain(channels_in, conv0a=(48, 1), conv0b=(96, 3))
        self.branch2 = chain(channels_in, conv0a=(64, 1), conv0b=(96, 3), conv0c=(96, 3))
        self.branch3 = chain(channels_in, conv0b=(96, 1))
        self.channels = 4 * self.branch0.channels

    def __call__(self, x, training):
        averaged = average_pool(x, 3, 1, "same")
        branches = [
            self.branch0(x, training),
            self.branch1(x, training),
            self.branch2(x, training),
            self.branch3(averaged, training),
        ]
        return tf.concat(branches, axis=-1)


class Ex6Net(Classifier):
    """The whole network. Kernels are truncated normal with variance 2 / fan-in."""

    Options = Ex6NetOptions
    smallest_image = 139

    def __init__(self, options: Ex6NetOptions):
        super().__init__(options)
        init = truncated_normal(options.seed)
        plain = functools.partial(ConvNorm, init=init, options=options)

        def conv(channels_in, channels, *rest):
            return plain(channels_in, options.width(channels), *rest)

        def chain(channels_in, **rows):
            return Chain(channels_in, conv, **rows)

        self.conv1a = conv(options.channels, 32, 3, 2, "valid")
        self.conv2a = conv(self.conv1a.channels, 32, 3, 1, "valid")
        self.conv2b = conv(self.conv2a.channels, 64, 3)
        channels = self.conv2b.channels
        branch = chain(channels, conv0a=(96, 3, 2, "valid"))
        self.concat3a = Reduction(pool_first=True, branch1=branch)
        self.concat4a = TwoBranches(channels + branch.channels, chain)
        channels = self.concat4a.channels
        branch = chain(channels, conv1a=(192, 3, 2, "valid"))
        self.concat5a = Reduction(pool_first=False, branch0=branch)
        self.concat5b = FourBranches(channels + branch.channels, chain)
        self.concat5c = FourBranches(self.concat5b.channels, chain)
        channels = self.concat5c.channels
        strided = chain(channels, conv1a=(384, 3, 2, "valid"))
        deeper = chain(channels, conv0a=(192, 1), conv0b=(224, 3), conv1a=(256, 3, 2, "valid"))
        self.concat6a = Reduction(pool_first=False, branch0=strided, branch1=deeper)
        channels += strided.channels + deeper.channels
        self.conv3a = conv(channels, 384, 3, 2, "valid")
        self.conv4a = conv(self.conv3a.channels, 300, 3, 2, "valid")
        self.head = Dense(self.conv4a.channels, options.num_classes, init=init)

    def features(self, images, training):
        x, features = images, {}
        for name in STAGES:
            x = features[name] = getattr(self, name)(x, training)
        return {**features, "final": x}


STAGES = (
    "conv1a", "conv2a", "conv2b", "concat3a", "concat4a", "concat5a", "concat5b", "concat5c",
    "concat6a", "conv3a", "conv4a",
)  # fmt: skip
