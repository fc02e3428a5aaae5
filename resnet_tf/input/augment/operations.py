"""The operations that policies are made of: one a picture, each with a magnitude of its own.

They are those of AutoAugment (Cubuk et al., arXiv:1805.09501, table 6) with the results of
Pillow's `ImageOps`, `ImageEnhance` and `transform`, bit for bit. Cutout and SamplePairing, the
other two of that table, are in none of the published policies, and left out.
"""

import enum
import math

import tensorflow as tf

from resnet_tf.input.augment.affine import affine
from resnet_tf.input.augment.grey import luma
from resnet_tf.input.augment.lookup import autocontrast, equalize


class Operation(enum.IntEnum):
    """What is done, and what its magnitude m means; v is a pixel's value, L the luma.

    Brightness, colour, contrast and sharpness go from a degenerate picture D through the
    picture, at m = 0, and beyond: trunc(clip(D + (1 + m) · (v - D), 0, 255)).
    """

    IDENTITY = 0
    SHEAR_X = 1  # pixel (x, y) from (x + m · y, y)
    SHEAR_Y = 2  # pixel (x, y) from (x, y + m · x)
    TRANSLATE_X = 3  # pixel (x, y) from (x + trunc(m), y)
    TRANSLATE_Y = 4  # pixel (x, y) from (x, y + trunc(m))
    ROTATE = 5  # counter-clockwise by m degrees about the centre
    BRIGHTNESS = 6  # D = 0
    COLOR = 7  # D = L
    CONTRAST = 8  # D = the mean of L, rounded
    SHARPNESS = 9  # D = round((the eight neighbours + 5 v) / 13); v at the edges
    POSTERIZE = 10  # the upper m bits are kept
    SOLARIZE = 11  # 255 - v where v >= m
    AUTO_CONTRAST = 12
    EQUALIZE = 13
    INVERT = 14  # 255 - v


_AFFINE = (
    Operation.SHEAR_X,
    Operation.SHEAR_Y,
    Operation.TRANSLATE_X,
    Operation.TRANSLATE_Y,
    Operation.ROTATE,
)

_EDGES = [[0, 0], [1, 1], [1, 1], [0, 0]]


def apply(
    images: tf.Tensor,
    operations: tf.Tensor,
    magnitudes: tf.Tensor,
    fill: int = 0,
    bilinear: bool = False,
) -> tf.Tensor:
    """One operation on each picture; each is run on its own pictures only.

    Args:
      images: uint8 `[k, H, W, C]` with C = 1 or 3.
      operations: int32 `[k]` of `Operation`.
      magnitudes: float32 `[k]`.
      fill: 0 to 255, for what comes from outside of the picture.
      bilinear: between pixels, where a picture is sheared or turned; otherwise nearest.

    Returns:
      uint8 `[k, H, W, C]`.

    Raises:
      ValueError: pictures that are no uint8, or have other channels.
    """
    if images.dtype != tf.uint8 or images.shape[-1] not in (1, 3):
        found = f"{images.dtype.name} with {images.shape[-1]}"
        raise ValueError(f"operations need uint8 pictures of 1 or 3 channels, found {found}")
    # The five affine ones are one group, in the place of the first.
    groups = tf.where(
        (operations >= min(_AFFINE)) & (operations <= max(_AFFINE)), min(_AFFINE), operations
    )

    def parts(values):
        return tf.dynamic_partition(values, groups, len(Operation))

    done = parts(images)
    mine, factors = parts(operations), parts(magnitudes)
    for group, run in _RUN.items():
        done[group] = run(done[group], factors[group])
    group = min(_AFFINE)
    matrices = _matrices(mine[group], factors[group], *images.shape[1:3])
    done[group] = affine(done[group], matrices, fill, bilinear)
    places = parts(tf.range(tf.shape(images)[0]))
    return tf.ensure_shape(tf.dynamic_stitch(places, done), images.shape)


def _matrices(operations, magnitudes, height, width):
    magnitudes = tf.cast(magnitudes, tf.float64)

    def of(operation):
        return tf.where(operations == operation, magnitudes, 0)

    angle = -of(Operation.ROTATE) * (math.pi / 180)
    cos, sin = tf.cos(angle), tf.sin(angle)
    x, y = width / 2, height / 2
    move_x = x - x * cos - y * sin + _trunc(of(Operation.TRANSLATE_X))
    move_y = y + x * sin - y * cos + _trunc(of(Operation.TRANSLATE_Y))
    shear_x, shear_y = of(Operation.SHEAR_X), of(Operation.SHEAR_Y)
    return tf.stack([cos, sin + shear_x, move_x, shear_y - sin, cos, move_y], axis=1)


def _trunc(values):
    return tf.sign(values) * tf.floor(tf.abs(values))


def _brightness(images, magnitudes):
    return _blend(0.0, images, magnitudes)


def _color(images, magnitudes):
    # Repeated, since broadcasting along a last axis of 3 is slow.
    return _blend(tf.repeat(luma(images), images.shape[-1], axis=-1), images, magnitudes)


def _contrast(images, magnitudes):
    pixels = images.shape[1] * images.shape[2]
    total = tf.reduce_sum(tf.cast(luma(images), tf.int64), axis=[1, 2, 3], keepdims=True)
    mean = (2 * total + pixels) // (2 * pixels)
    return _blend(tf.cast(mean, tf.float32), images, magnitudes)


def _sharpness(images, magnitudes):
    height, width = images.shape[1:3]
    if min(height, width) < 3:
        return images  # nothing but edges
    pixels = tf.cast(images, tf.float32)
    rows = pixels[:, :-2] + pixels[:, 1:-1] + pixels[:, 2:]
    boxes = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    # Of a sum of whole numbers a thirteenth never lies half way.
    smooth = tf.floor((boxes + 4 * pixels[:, 1:-1, 1:-1]) / 13 + 0.5)
    inside = tf.pad(tf.ones_like(smooth, tf.bool), _EDGES)
    smooth = tf.where(inside, tf.pad(smooth, _EDGES), pixels)
    return _blend(smooth, images, magnitudes)


def _posterize(images, magnitudes):
    bits = tf.cast(magnitudes, tf.int32)
    mask = tf.cast(256 - tf.bitwise.left_shift(1, 8 - bits), tf.uint8)
    return tf.bitwise.bitwise_and(images, mask[:, None, None, None])


def _solarize(images, magnitudes):
    threshold = tf.cast(tf.math.ceil(magnitudes), tf.int32)[:, None, None, None]
    return tf.where(tf.cast(images, tf.int32) < threshold, images, 255 - images)


def _blend(degenerate, images, magnitudes):
    factor = (1 + magnitudes)[:, None, None, None]
    mixed = degenerate + factor * (tf.cast(images, tf.float32) - degenerate)
    return tf.cast(tf.clip_by_value(mixed, 0, 255), tf.uint8)


def _without_magnitude(function):
    return lambda images, _: function(images)


_RUN = {
    Operation.BRIGHTNESS: _brightness,
    Operation.COLOR: _color,
    Operation.CONTRAST: _contrast,
    Operation.SHARPNESS: _sharpness,
    Operation.POSTERIZE: _posterize,
    Operation.SOLARIZE: _solarize,
    Operation.AUTO_CONTRAST: _without_magnitude(autocontrast),
    Operation.EQUALIZE: _without_magnitude(equalize),
    Operation.INVERT: _without_magnitude(lambda images: 255 - images),
}
