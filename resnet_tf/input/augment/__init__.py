"""Augmentation of a batch of pictures of one size; every number comes from `Noise`."""

from resnet_tf.input.augment.shift import pad_crop_flip

__all__ = ["pad_crop_flip"]
