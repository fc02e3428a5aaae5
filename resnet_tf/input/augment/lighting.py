"""The lighting noise of AlexNet."""

import tensorflow as tf

from resnet_tf.input.augment import streams
from resnet_tf.input.augment.arguments import coloured
from resnet_tf.input.augment.distributions import normal
from resnet_tf.input.noise import Noise

# Of ImageNet's colours in [0, 1], as published with fb.resnet.torch (datasets/imagenet.lua).
EIGENVALUES = (0.2175, 0.0188, 0.0045)
EIGENVECTORS = (  # one a column; rows are red, green, blue
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


def lighting(images: tf.Tensor, noise: Noise, std: float = 0.1) -> tf.Tensor:
    """Adds one colour to a whole picture, along the main axes of ImageNet's colours.

        x + 255 · P · (α · λ)        α_1, α_2, α_3 from N(0, std²), once a picture

    with eigenvectors P and eigenvalues λ of the covariance of red, green and blue; one clip at
    the end. Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep
    Convolutional Neural Networks", 2012, section 4.1, with std 0.1.

    Args:
      images: uint8 or float32 `[k, H, W, 3]` in 0..255.
      noise: of the k records.
      std: of α, 0 or more.

    Returns:
      float32 `[k, H, W, 3]` in 0..255, not rounded.

    Raises:
      ValueError: another number of channels, or a std below 0.
    """
    coloured("lighting", images)
    if std < 0:
        raise ValueError(f"std must be 0 or more, found {std}")
    added = tf.zeros([1, 3])
    for i in range(3):
        axis = [255 * std * EIGENVALUES[i] * row[i] for row in EIGENVECTORS]
        added += normal(noise, streams.LIGHTING + 2 * i)[:, None] * tf.constant(axis)
    return tf.clip_by_value(tf.cast(images, tf.float32) + added[:, None, None, :], 0, 255)
