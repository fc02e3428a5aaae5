"""Residual networks of 6n + 2 layers for small images: He et al. 2015 (arXiv 1512.03385, 4.2).

Spatial sizes for 32x32 input: stem 32x32, stage1 32x32, stage2 16x16, stage3 8x8, with w, 2w
and 4w channels (w = 16) in n blocks each; global average pool, dense. Any input from 8x8 up.

No convolution biases, BN and ReLU after the stem, symmetric padding also at stride 2, so that
weights of the well-known PyTorch version fit. Trainable parameters, 10 classes, shortcut A:
    20: 269,722 · 32: 464,154 · 44: 658,586 · 56: 853,018 · 110: 1,727,962 · 1202: 19,421,274

Variables, by name (b counts blocks from 0):
    stem/kernel                   stem_norm/{scale,offset,moving_mean,moving_variance}
    stage{1,2,3}/b/conv{1,2}/…    stage{1,2,3}/b/norm{1,2}/…
    stage{2,3}/0/shortcut/{conv,norm}/… (shortcut B)            head/{kernel,bias}
"""

import dataclasses
import functools

import numpy as np
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
class CifarResNetOptions(ResidualOptions):
    """Options of `CifarResNet`.

    Attributes:
      depth: 6n + 2 with n of 1 or more.
      shortcut: "A" (zero padding) or "B" (projection) where the image halves.
      zero_last_scale: start the last batch norm of each branch at scale 0.
    """

    depth: int
    shortcut: str = "A"
    zero_last_scale: bool = False

    def __post_init__(self):
        super().__post_init__()
        blocks_a_stage(self.depth)
        if self.shortcut not in ("A", "B"):
            raise ValueError(f"shortcut must be 'A' or 'B', got {self.shortcut!r}")


def blocks_a_stage(depth: int) -> int:
    """n of depth 6n + 2."""
    if not isinstance(depth, int) or depth < 8 or depth % 6 != 2:
        raise ValueError(f"depth must be 6n + 2 with n of 1 or more, got {depth!r}")
    return (depth - 2) // 6


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
        return tf.nn.conv2d(x, tf.cast(self._kernel, x.dtype), self.stride, "VALID")


class CifarResNet(Classifier):
    """The networks of He et al. 2015, section 4.2. Kernels are He normal (fan-in)."""

    Options = CifarResNetOptions

    def __init__(self, options: CifarResNetOptions):
        super().__init__(options)
        width, blocks = options.width(16), blocks_a_stage(options.depth)
        init = he_normal(options.seed)
        conv = functools.partial(Conv2D, init=init, padding="symmetric")

        def shortcut(channels_in, channels, stride):
            if stride == 1:
                return Identity()
            if options.shortcut == "A":
                return PaddedShortcut(channels_in, channels, stride)
            return Projection(channels_in, channels, stride, conv=conv, options=options)

        block = functools.partial(BasicBlock, conv=conv, options=options, shortcut=shortcut)
        self.stem = conv(options.channels, width, 3)
        self.stem_norm = options.norm(width)
        self.stage1 = make_stage(block, width, width, 1, blocks)
        self.stage2 = make_stage(block, width, 2 * width, 2, blocks)
        self.stage3 = make_stage(block, 2 * width, 4 * width, 2, blocks)
        set_drop_rates(self, options.stochastic_depth)
        self.head = Dense(4 * width, options.num_classes, init=init)

    def features(self, images, training):
        x = tf.nn.relu(self.stem_norm(self.stem(images), training))
        features = run_stages(self, x, training)
        return {**features, "final": features["stage3"]}
