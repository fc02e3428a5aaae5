"""What residual networks share: shortcuts, the basic block, stages, stochastic depth."""

import dataclasses
from collections.abc import Callable, Iterator

import tensorflow as tf

from resnet_tf.layers import drop_path, ones, zeros
from resnet_tf.models.classifier import NormalizedOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResidualOptions(NormalizedOptions):
    """Of residual networks with batch norm.

    Attributes:
      stochastic_depth: share of examples for which training drops the last block's branch;
        earlier blocks' grow to it in a straight line (Huang et al. 2016, arXiv 1603.09382).
    """

    stochastic_depth: float = 0.0


class Identity(tf.Module):
    """The shortcut where nothing changes."""

    def __call__(self, x, training):
        return x


class Projection(tf.Module):
    """Shortcut B: a 1x1 convolution and a batch norm."""

    def __init__(self, channels_in, channels, stride, *, conv, options):
        super().__init__()
        self.conv = conv(channels_in, channels, 1, stride=stride)
        self.norm = options.norm(channels)

    def __call__(self, x, training):
        return self.norm(self.conv(x), training)


class Block(tf.Module):
    """A residual block; `drop` is what stochastic depth does to its branch in training."""

    drop_rate = 0.0

    def drop(self, branch, training):
        return drop_path(branch, self.drop_rate, training)


class BasicBlock(Block):
    """conv 3x3 BN ReLU, conv 3x3 BN, add, ReLU: as first drawn in 2015 (arXiv 1512.03385).

    Args:
      channels_in, channels, stride: of the block; the first convolution strides.
      conv: makes a convolution.
      options: with `norm` and `zero_last_scale`.
      shortcut: makes the shortcut from (channels in, channels, stride).
      dilations: of the two convolutions.
    """

    expansion = 1

    def __init__(self, channels_in, channels, stride, *, conv, options, shortcut, dilations=(1, 1)):
        super().__init__()
        last = zeros if options.zero_last_scale else ones
        self.conv1 = conv(channels_in, channels, 3, stride=stride, dilation=dilations[0])
        self.norm1 = options.norm(channels)
        self.conv2 = conv(channels, channels, 3, dilation=dilations[1])
        self.norm2 = options.norm(channels, scale_init=last)
        self.shortcut = shortcut(channels_in, channels, stride)

    def __call__(self, x, training):
        y = tf.nn.relu(self.norm1(self.conv1(x), training))
        y = self.norm2(self.conv2(y), training)
        return tf.nn.relu(self.drop(y, training) + self.shortcut(x, training))


def make_stage(block: Callable, channels_in: int, channels: int, stride: int, number: int) -> list:
    """`number` blocks `block(channels in, channels, stride)`; the first changes the stage."""
    first = block(channels_in, channels, stride)
    return [first] + [block(channels, channels, 1) for _ in range(number - 1)]


def stages_of(model: tf.Module) -> Iterator[tuple[str, list[Block]]]:
    """(name, blocks) of `stage1`, `stage2`, … in order."""
    number = 1
    while hasattr(model, f"stage{number}"):
        yield f"stage{number}", getattr(model, f"stage{number}")
        number += 1


def set_drop_rates(model: tf.Module, last: float) -> None:
    """Block l of L, counted from 1 through all stages, drops at rate last · l / L."""
    blocks = [block for _, stage in stages_of(model) for block in stage]
    for number, block in enumerate(blocks, start=1):
        block.drop_rate = last * number / len(blocks)


def run_stages(model: tf.Module, x: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
    """Feature maps by stage, "stem" (x itself) first."""
    features = {"stem": x}
    for name, blocks in stages_of(model):
        for block in blocks:
            x = block(x, training)
        features[name] = x
    return features
