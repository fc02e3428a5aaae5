"""Pictures without colour."""

import tensorflow as tf

from resnet_tf.input.augment import streams
from resnet_tf.input.augment.arguments import coloured, within
from resnet_tf.input.augment.subset import only
from resnet_tf.input.noise import Noise

# Each product and each sum of these with three uint8 is below 2^24, hence exact in float32.
_LUMA = (19595.0, 38470.0, 7471.0)


def luma(images: tf.Tensor) -> tf.Tensor:
    """ITU-R 601 luma in 16 bits, as Pillow's `convert("L")`, of uint8 pictures.

        (19595 R + 38470 G + 7471 B + 32768) div 65536        (0.299, 0.587, 0.114)

    Args:
      images: uint8 `[k, H, W, 3]`, or `[k, H, W, 1]`, which is its own luma.

    Returns:
      float32 `[k, H, W, 1]` of whole numbers.
    """
    pixels = tf.cast(images, tf.float32)
    if images.shape[-1] == 1:
        return pixels
    return tf.floor((tf.matmul(pixels, tf.constant(_LUMA)[:, None]) + 32768) * 2.0**-16)


def grey(images: tf.Tensor, noise: Noise, probability: float = 0.2) -> tf.Tensor:
    """Takes the colour of some pictures, which keep three equal channels.

        Y = 0.299 R + 0.587 G + 0.114 B        ITU-R 601; uint8 as in `luma`

    With probability 0.2 it is a part of SimCLR's augmentation (Chen et al., arXiv:2002.05709).

    Args:
      images: uint8 or float32 `[k, H, W, 3]`.
      noise: of the k records.
      probability: of each picture, 0 to 1.

    Returns:
      The same shape and dtype.

    Raises:
      ValueError: another number of channels, or a probability out of range.
    """
    coloured("grey", images)
    within("probability", probability, 0, 1)
    return only(noise.coin(streams.GREY, probability), _grey, images)


def _grey(images):
    if images.dtype == tf.uint8:
        single = tf.cast(luma(images), tf.uint8)
    else:
        red, green, blue = tf.split(images, 3, axis=-1)
        single = 0.299 * red + 0.587 * green + 0.114 * blue
    return tf.repeat(single, 3, axis=-1)
