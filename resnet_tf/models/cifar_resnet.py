"""Residual networks of 6n + 2 layers for small images.

Spatial sizes for 32x32 input: stem 32x32, stage1 32x32, stage2 16x16, stage3 8x8, with w, 2w
and 4w channels (w = 16) in n blocks each; global average pool, dense. Any input from 8x8 up.

`PaperResNet`, after He et al. 2015 (arXiv 1512.03385, section 4.2): no convolution biases, BN
and ReLU after the stem, symmetric padding also at stride 2 (so that weights of the well-known
PyTorch version fit). Trainable parameters, 10 classes, shortcut A:
    20: 269,722 · 32: 464,154 · 44: 658,586 · 56: 853,018 · 110: 1,727,962 · 1202: 19,421,274

`OrderingResNet`, after He et al. 2016 (arXiv 1603.05027): five orders of the same operations.
Convolutions have biases, the stem is a bare convolution, BN and ReLU follow the last block.
Parameters at depth 32, 10 classes: a b c d 470,410 (468,042 trainable), e 470,218 (467,946).

Variables, by name (b counts blocks from 0):
    stem/kernel [bias]            stem_norm/{scale,offset,moving_mean,moving_variance} (paper)
    stage{1,2,3}/b/conv{1,2}/…    stage{1,2,3}/b/norm{1,2}/…
    stage{2,3}/0/projection/…     stage{2,3}/0/shortcut/{conv,norm}/… (paper, shortcut B)
    final_norm/… (orderings)      head/{kernel,bias}
"""

import functools

import numpy as np
import tensorflow as tf

from resnet_tf.layers import BatchNorm, Conv2D, Dense, he_normal
from resnet_tf.models.classifier import Classifier


class Identity(tf.Module):
    """The shortcut where nothing changes."""

    def __call__(self, x, training):
        return x


class PaddedShortcut(tf.Module):
    """Shortcut A: every second pixel, zeros for the new channels, half of them in front.

    Written as a 1x1 convolution with a constant kernel of zeros and ones, which gives the
    same numbers to the last bit as a strided slice and a pad, and runs as one fast op.
    """

    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.stride = stride
        front = (channels - channels_in) // 2
        kernel = np.eye(channels_in, channels, k=front, dtype=np.float32)
        self._kernel = kernel[None, None]

    def __call__(self, x, training):
        return tf.nn.conv2d(x, self._kernel, self.stride, "VALID")


class ProjectedShortcut(tf.Module):
    """Shortcut B: a 1x1 convolution and a batch norm."""

    def __init__(self, channels_in, channels, stride, conv, norm):
        super().__init__()
        self.conv = conv(channels_in, channels, 1, stride=stride, padding=0)
        self.norm = norm(channels)

    def __call__(self, x, training):
        return self.norm(self.conv(x), training)


class PaperBlock(tf.Module):
    """conv BN ReLU conv BN, add, ReLU: as first drawn in 2015."""

    def __init__(self, channels_in, channels, stride, *, shortcut, conv, norm):
        super().__init__()
        self.conv1 = conv(channels_in, channels, 3, stride=stride)
        self.norm1 = norm(channels)
        self.conv2 = conv(channels, channels, 3)
        self.norm2 = norm(channels)
        if stride == 1 and channels_in == channels:
            self.shortcut = Identity()
        elif shortcut == "A":
            self.shortcut = PaddedShortcut(channels_in, channels, stride)
        else:
            self.shortcut = ProjectedShortcut(channels_in, channels, stride, conv, norm)

    def __call__(self, x, training):
        y = tf.nn.relu(self.norm1(self.conv1(x), training))
        y = self.norm2(self.conv2(y), training)
        return tf.nn.relu(y + self.shortcut(x, training))


class OrderedBlock(tf.Module):
    """The parts that all orderings share; a subclass puts them in order.

    A projection, 1x1 with bias and no BN, exists only where the stage changes; elsewhere
    the shortcut carries the block's input itself.
    """

    norm_comes_first = False  # then norm1 sees the block's input channels

    def __init__(self, channels_in, channels, stride, *, conv, norm):
        super().__init__()
        self.conv1 = conv(channels_in, channels, 3, stride=stride)
        self.norm1 = norm(channels_in if self.norm_comes_first else channels)
        self.conv2 = conv(channels, channels, 3)
        self.norm2 = norm(channels)
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
        return tf.nn.relu(y + self.shortcut(x, projected=x))


class NormAfterAddition(OrderedBlock):
    """b: conv BN ReLU conv, add, BN ReLU."""

    def __call__(self, x, training):
        y = tf.nn.relu(self.norm1(self.conv1(x), training))
        y = self.conv2(y)
        return tf.nn.relu(self.norm2(y + self.shortcut(x, projected=x), training))


class ReluBeforeAddition(OrderedBlock):
    """c: conv BN ReLU conv BN ReLU, add."""

    def __call__(self, x, training):
        y = tf.nn.relu(self.norm1(self.conv1(x), training))
        y = tf.nn.relu(self.norm2(self.conv2(y), training))
        return y + self.shortcut(x, projected=x)


class ReluOnlyPreActivation(OrderedBlock):
    """d: ReLU conv BN ReLU conv BN, add; the projection sees the activated input."""

    def __call__(self, x, training):
        activated = tf.nn.relu(x)
        y = tf.nn.relu(self.norm1(self.conv1(activated), training))
        y = self.norm2(self.conv2(y), training)
        return y + self.shortcut(x, projected=activated)


class ReluOnlyPreActivationV2(OrderedBlock):
    """d_v2: as d, but the projection sees the block's input."""

    def __call__(self, x, training):
        y = tf.nn.relu(self.norm1(self.conv1(tf.nn.relu(x)), training))
        y = self.norm2(self.conv2(y), training)
        return y + self.shortcut(x, projected=x)


class FullPreActivation(OrderedBlock):
    """e: BN ReLU conv BN ReLU conv, add; the projection sees the activated input."""

    norm_comes_first = True

    def __call__(self, x, training):
        activated = tf.nn.relu(self.norm1(x, training))
        y = tf.nn.relu(self.norm2(self.conv1(activated), training))
        return self.conv2(y) + self.shortcut(x, projected=activated)


class FullPreActivationV2(OrderedBlock):
    """e_v2: as e, but the projection sees the block's input."""

    norm_comes_first = True

    def __call__(self, x, training):
        y = self.conv1(tf.nn.relu(self.norm1(x, training)))
        y = self.conv2(tf.nn.relu(self.norm2(y, training)))
        return y + self.shortcut(x, projected=x)


ORDERINGS = {
    "a": Original,
    "b": NormAfterAddition,
    "c": ReluBeforeAddition,
    "d": ReluOnlyPreActivation,
    "d_v2": ReluOnlyPreActivationV2,
    "e": FullPreActivation,
    "e_v2": FullPreActivationV2,
}


class _ThreeStages(Classifier):
    """Three lists of blocks; the second and third halve the image and double the channels."""

    def _make_stages(self, block, depth, width):
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"depth must be 6n + 2 with n of 1 or more, got {depth!r}")
        blocks = (depth - 2) // 6

        def stage(channels_in, channels, stride):
            first = block(channels_in, channels, stride)
            return [first] + [block(channels, channels, 1) for _ in range(blocks - 1)]

        self.stage1 = stage(width, width, 1)
        self.stage2 = stage(width, 2 * width, 2)
        self.stage3 = stage(2 * width, 4 * width, 2)

    def _run_stages(self, x, training):
        features = {"stem": x}
        for name in ("stage1", "stage2", "stage3"):
            for block in getattr(self, name):
                x = block(x, training)
            features[name] = x
        return features


class PaperResNet(_ThreeStages):
    """The networks of He et al. 2015, section 4.2.

    Args:
      depth: 6n + 2.
      num_classes: 10 by default.
      channels: of the images, 3 by default.
      width: channels of the first stage, 16 by default.
      shortcut: "A" (zero padding, default) or "B" (projection) where the image halves.
      sync_batch_norm: take batch statistics over all replicas.
      seed: of the initial kernels, He normal (fan-in).

    Raises:
      ValueError: for another depth or shortcut.
    """

    def __init__(
        self,
        depth: int,
        *,
        num_classes: int = 10,
        channels: int = 3,
        width: int = 16,
        shortcut: str = "A",
        sync_batch_norm: bool = False,
        seed: int = 0,
    ):
        super().__init__()
        if shortcut not in ("A", "B"):
            raise ValueError(f"shortcut must be 'A' or 'B', got {shortcut!r}")
        init = he_normal(seed)
        conv = functools.partial(Conv2D, init=init, padding=1)
        norm = functools.partial(BatchNorm, synchronized=sync_batch_norm)
        self.stem = conv(channels, width, 3)
        self.stem_norm = norm(width)
        block = functools.partial(PaperBlock, shortcut=shortcut, conv=conv, norm=norm)
        self._make_stages(block, depth, width)
        self.head = Dense(4 * width, num_classes, init=init)

    def features(self, images, training):
        x = tf.nn.relu(self.stem_norm(self.stem(images), training))
        features = self._run_stages(x, training)
        return {**features, "final": features["stage3"]}


class OrderingResNet(_ThreeStages):
    """The orderings of He et al. 2016, Figure 4.

    Args:
      depth: 6n + 2.
      ordering: a key of `ORDERINGS`.
      num_classes: 10 by default.
      channels: of the images, 3 by default.
      width: channels of the first stage, 16 by default.
      sync_batch_norm: take batch statistics over all replicas.
      seed: of the initial kernels, He normal (fan-in).

    Raises:
      ValueError: for another depth or ordering.
    """

    def __init__(
        self,
        depth: int,
        *,
        ordering: str,
        num_classes: int = 10,
        channels: int = 3,
        width: int = 16,
        sync_batch_norm: bool = False,
        seed: int = 0,
    ):
        super().__init__()
        if ordering not in ORDERINGS:
            raise ValueError(f"ordering must be one of {', '.join(ORDERINGS)}, got {ordering!r}")
        init = he_normal(seed)
        conv = functools.partial(Conv2D, init=init, use_bias=True)
        norm = functools.partial(BatchNorm, synchronized=sync_batch_norm)
        self.stem = conv(channels, width, 3)
        block = functools.partial(ORDERINGS[ordering], conv=conv, norm=norm)
        self._make_stages(block, depth, width)
        self.final_norm = norm(4 * width)
        self.head = Dense(4 * width, num_classes, init=init)

    def features(self, images, training):
        features = self._run_stages(self.stem(images), training)
        final = tf.nn.relu(self.final_norm(features["stage3"], training))
        return {**features, "final": final}
