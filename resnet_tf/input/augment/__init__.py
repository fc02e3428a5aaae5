"""Augmentation of a batch of pictures of one size; every number comes from `Noise`.

What happens to a picture depends on the picture and its noise alone, but for mixing, where
it depends on the partner as well.
"""

from resnet_tf.input.augment.augmix import augmix
from resnet_tf.input.augment.erasing import cutout, erasing
from resnet_tf.input.augment.flips import coins, flip
from resnet_tf.input.augment.grey import grey
from resnet_tf.input.augment.jitter import jitter
from resnet_tf.input.augment.lighting import lighting
from resnet_tf.input.augment.mixing import cutmix, mix, mixup
from resnet_tf.input.augment.policies import autoaugment, randaugment, trivialaugment
from resnet_tf.input.augment.shift import pad_crop_flip

__all__ = [
    "augmix",
    "autoaugment",
    "coins",
    "cutmix",
    "cutout",
    "erasing",
    "flip",
    "grey",
    "jitter",
    "lighting",
    "mix",
    "mixup",
    "pad_crop_flip",
    "randaugment",
    "trivialaugment",
]
