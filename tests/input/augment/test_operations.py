"""The operations of policies, against loops that do what Pillow's sources do."""

import math

import numpy as np
import pytest

from resnet_tf.input.augment.affine import affine
from resnet_tf.input.augment.operations import Operation, apply

import tensorflow as tf  # isort: skip


def integer_luma(image):
    if image.shape[-1] == 1:
        return image[..., 0].astype(int)
    return (image.astype(int) @ [19595, 38470, 7471] + 32768) // 65536


def matrix(operation, m, height, width):
    if operation == Operation.SHEAR_X:
        return 1, m, 0, 0, 1, 0
    if operation == Operation.SHEAR_Y:
        return 1, 0, 0, m, 1, 0
    if operation == Operation.TRANSLATE_X:
        return 1, 0, int(m), 0, 1, 0
    if operation == Operation.TRANSLATE_Y:
        return 1, 0, 0, 0, 1, int(m)
    cos, sin = math.cos(math.radians(m)), math.sin(math.radians(m))
    x, y = width / 2, height / 2
    return cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos


def mapped(image, matrix, fill, bilinear=False):
    """A pixel at a time; the matrix in 1/65536 as Pillow's fixed-point code has it."""
    height, width, _ = image.shape
    a, b, c, d, e, f = matrix
    fixed = [math.floor(v * 65536 + 0.5) for v in (a, b, c + (a + b) / 2, d, e, f + (d + e) / 2)]
    result = np.full_like(image, fill)
    for row, column in np.ndindex(height, width):
        x = fixed[0] * column + fixed[1] * row + fixed[2]
        y = fixed[3] * column + fixed[4] * row + fixed[5]
        if not (0 <= x >> 16 < width and 0 <= y >> 16 < height):
            continue
        if bilinear:
            result[row, column] = blended(image, x / 65536 - 0.5, y / 65536 - 0.5)
        else:
            result[row, column] = image[y >> 16, x >> 16]
    return result


def blended(image, x, y):
    height, width, _ = image.shape
    left, top = math.floor(x), math.floor(y)
    columns = [min(max(left + i, 0), width - 1) for i in (0, 1)]
    rows = [min(max(top + i, 0), height - 1) for i in (0, 1)]
    corner = image.astype(float)
    upper, lower = (
        corner[row, columns[0]] * (1 - x + left) + corner[row, columns[1]] * (x - left)
        for row in rows
    )
    return np.floor(upper * (1 - y + top) + lower * (y - top) + 1e-4)


def smooth(image):
    result = image.copy()
    for row in range(1, image.shape[0] - 1):
        for column in range(1, image.shape[1] - 1):
            around = image[row - 1 : row + 2, column - 1 : column + 2].astype(int)
            total = around.sum(axis=(0, 1)) + 4 * around[1, 1]
            result[row, column] = (2 * total + 13) // 26
    return result


def enhanced(image, degenerate, m):
    factor = np.float32(1) + np.float32(m)
    d = np.float32(degenerate)
    return np.clip(d + factor * (np.float32(image) - d), 0, 255).astype(np.uint8)


def autocontrast(image):
    result = image.copy()
    for channel in range(image.shape[-1]):
        low, high = int(image[..., channel].min()), int(image[..., channel].max())
        if high > low:
            scale = 255 / (high - low)
            table = [min(max(int(v * scale - low * scale), 0), 255) for v in range(256)]
            result[..., channel] = np.array(table)[image[..., channel]]
    return result


def equalize(image):
    result = image.copy()
    for channel in range(image.shape[-1]):
        counts = np.bincount(image[..., channel].ravel(), minlength=256)
        step = (counts.sum() - counts[counts > 0][-1]) // 255
        if step:
            below = np.concatenate([[0], np.cumsum(counts)[:-1]])
            table = np.minimum((step // 2 + below) // step, 255)
            result[..., channel] = table[image[..., channel]]
    return result


def reference(image, operation, m, fill):
    """`m` is what a float32 of it is."""
    m = float(np.float32(m))
    height, width, _ = image.shape
    if Operation.SHEAR_X <= operation <= Operation.ROTATE:
        return mapped(image, matrix(operation, m, height, width), fill)
    luma = integer_luma(image)
    return {
        Operation.IDENTITY: lambda: image,
        Operation.BRIGHTNESS: lambda: enhanced(image, 0, m),
        Operation.COLOR: lambda: enhanced(image, luma[..., None], m),
        Operation.CONTRAST: lambda: enhanced(image, int(luma.mean() + 0.5), m),
        Operation.SHARPNESS: lambda: enhanced(image, smooth(image), m),
        Operation.POSTERIZE: lambda: image & np.uint8(256 - 2 ** (8 - int(m))),
        Operation.SOLARIZE: lambda: np.where(image < m, image, 255 - image),
        Operation.AUTO_CONTRAST: lambda: autocontrast(image),
        Operation.EQUALIZE: lambda: equalize(image),
        Operation.INVERT: lambda: 255 - image,
    }[operation]()


MAGNITUDES = {
    Operation.SHEAR_X: (0.3, -0.3, 0.13, 0.99),
    Operation.SHEAR_Y: (0.3, -0.3, 0.13, -0.99),
    Operation.TRANSLATE_X: (0, 3, -3, 4.9, -4.9, 100),
    Operation.TRANSLATE_Y: (0, 3, -3, 4.9, -4.9, -100),
    Operation.ROTATE: (0, 30, -30, 7, 90, 180, -135),
    Operation.POSTERIZE: (8, 7, 4, 1, 0),
    Operation.SOLARIZE: (256, 255, 128, 28.3, 1, 0),
    Operation.BRIGHTNESS: (-1, -0.9, -0.27, 0, 0.5, 0.99),
    Operation.COLOR: (-1, -0.9, -0.27, 0, 0.5, 0.99),
    Operation.CONTRAST: (-1, -0.9, -0.27, 0, 0.5, 0.99),
    Operation.SHARPNESS: (-1, -0.9, -0.27, 0, 0.5, 0.99),
}


@pytest.fixture
def varied(pictures):
    """Smooth, random, flat, two-valued and large-ranged pictures."""

    def make(height, width, channels):
        images = np.concatenate([pictures(3, height, width, channels)] * 2)
        rng = np.random.default_rng(4)
        images[1] = rng.integers(0, 256, images[1].shape)
        images[2] = 77
        images[3] = 40 + 9 * rng.integers(0, 2, images[3].shape)
        images[4, ..., 0] = 0
        return images

    return make


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize(
    ("height", "width", "channels"), [(19, 24, 3), (24, 19, 1), (3, 3, 3), (2, 5, 3), (1, 1, 1)]
)
def test_equals_the_loops(height, width, channels, operation, varied):
    magnitudes = MAGNITUDES.get(operation, (0,))
    images = np.repeat(varied(height, width, channels), len(magnitudes), axis=0)
    numbers = np.tile(np.float32(magnitudes), 6)
    found = apply(
        tf.constant(images),
        tf.fill([len(images)], int(operation)),
        tf.constant(numbers),
        fill=128,
    )
    for i, m in enumerate(numbers):
        expected = reference(images[i], operation, m, 128)
        np.testing.assert_array_equal(found[i], expected, err_msg=f"{operation!r} {m}")


def test_each_picture_gets_its_own_operation(varied):
    images = np.concatenate([varied(9, 8, 3)] * 10)
    rng = np.random.default_rng(0)
    operations = rng.integers(0, len(Operation), 60)
    magnitudes = np.float32([rng.choice(MAGNITUDES.get(o, (0,))) for o in operations])
    found = apply(
        tf.constant(images), tf.constant(operations, tf.int32), tf.constant(magnitudes), fill=5
    )
    for i in range(60):
        expected = reference(images[i], Operation(operations[i]), magnitudes[i], 5)
        np.testing.assert_array_equal(found[i], expected)


def test_large_histogram_steps(varied):
    images = varied(60, 70, 3)  # 4,200 pixels: a step of 16
    found = apply(tf.constant(images), tf.fill([6], int(Operation.EQUALIZE)), tf.zeros([6]))
    for i in range(6):
        np.testing.assert_array_equal(found[i], equalize(images[i]))


@pytest.mark.parametrize("fill", [0, 200])
def test_bilinear_equals_the_loops(fill, pictures):
    images = pictures(12, 15, 18)
    rng = np.random.default_rng(1)
    rows = [matrix(Operation.ROTATE, angle, 15, 18) for angle in (0, 10, -33, 90)]
    rows += [matrix(Operation.SHEAR_X, 0.21, 15, 18), matrix(Operation.TRANSLATE_Y, 4, 15, 18)]
    rows += [tuple(rng.normal([1, 0, 0, 0, 1, 0], [0.2, 0.2, 3, 0.2, 0.2, 3])) for _ in range(6)]
    found = affine(tf.constant(images), tf.constant(rows, tf.float64), fill, bilinear=True)
    for i in range(12):
        expected = mapped(images[i], rows[i], fill, bilinear=True).astype(int)
        # Rounded down, so that a value next to a whole number may fall on either side.
        assert np.max(np.abs(found[i].numpy() - expected)) <= 1
        assert np.mean(found[i] != expected) < 0.01


def test_bilinear_between_two_pixels_by_hand():
    images = tf.reshape(tf.constant([10, 30, 70, 111], tf.uint8), [1, 1, 4, 1])
    half = tf.constant([[1, 0, 0.5, 0, 1, 0]], tf.float64)
    found = affine(images, half, 9, bilinear=True)
    np.testing.assert_array_equal(found[0, 0, :, 0], [20, 50, 90, 9])


@pytest.mark.parametrize(
    ("shape", "dtype", "found"),
    [((1, 4, 4, 3), "float32", "float32 with 3"), ((1, 4, 4, 4), "uint8", "uint8 with 4")],
)
def test_other_pictures_are_refused(shape, dtype, found):
    message = f"^operations need uint8 pictures of 1 or 3 channels, found {found}$"
    with pytest.raises(ValueError, match=message):
        apply(tf.zeros(shape, dtype), tf.zeros([1], tf.int32), tf.zeros([1]))
