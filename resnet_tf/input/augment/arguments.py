"""Checks of what the augmentations are called with."""

import tensorflow as tf


def within(name: str, value: float, low: float, high: float) -> None:
    """Raises ValueError unless low <= value <= high."""
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}, found {value}")


def coloured(name: str, images: tf.Tensor) -> None:
    """Raises ValueError unless the pictures have three channels."""
    if images.shape[-1] != 3:
        raise ValueError(f"{name} needs pictures of 3 channels, found {images.shape[-1]}")
