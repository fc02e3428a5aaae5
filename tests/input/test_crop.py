"""Random resized crops, and the parts of pictures that are decoded for them."""

import resource
import struct
import zlib

import made
import numpy as np
import pytest
import references

from resnet_tf.input import crop, images, order
from resnet_tf.input.noise import Noise

import tensorflow as tf  # isort: skip


def drawn(count, seed=0):
    ids = tf.range(count, dtype=tf.int64)
    return crop.draws(Noise(order.noise_for(ids, tf.zeros_like(ids), seed))).numpy()


def by_loop(height, width, numbers, scale, ratio):
    """The formula, a try at a time, in float32 as the graph has it."""
    u = np.float32(numbers)
    low, high = np.log(np.float32(ratio))
    for i in range(10):
        area = np.float32(height) * np.float32(width) * (
            np.float32(scale[0]) + np.float32(scale[1] - scale[0]) * u[i]
        )  # fmt: skip
        r = np.exp(low + (high - low) * u[10 + i])
        h, w = (max(1, int(np.rint(np.sqrt(side)))) for side in (area / r, area * r))
        if h <= height and w <= width:
            # Anywhere: 0..free with equal probability.
            places = [min(int(x * (free + 1)), free) for x, free in
                      zip(u[20:], (height - h, width - w))]  # fmt: skip
            return [*places, h, w]
    h = max(1, round(min(height, width / ratio[0])))
    w = max(1, round(min(width, height * ratio[1])))
    return [(height - h) // 2, (width - w) // 2, h, w]


boxes = tf.function(
    lambda size, numbers, scale, ratio: tf.map_fn(
        lambda one: crop.box(size, one, scale, ratio), numbers, fn_output_signature=tf.int32
    )
)


def found(height, width, count=100, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), seed=0):
    numbers = drawn(count, seed)
    size = tf.constant([height, width], tf.int64)
    return numbers, boxes(size, tf.constant(numbers), scale, ratio).numpy()


USUAL = {"scale": (0.08, 1.0), "ratio": (3 / 4, 4 / 3)}
SIZES = [(64, 64), (37, 111), (500, 375), (1, 1), (1, 9), (9, 1), (2, 50), (50, 2), (300, 10)]


@pytest.mark.parametrize("height, width", SIZES)
@pytest.mark.parametrize("more", [
    {}, {"scale": (1.0, 1.0), "ratio": (1.0, 1.0)}, {"scale": (0.5, 0.5), "ratio": (2.0, 2.0)},
])  # fmt: skip
def test_the_box_is_the_formulas_and_lies_inside(height, width, more):
    how = USUAL | more
    numbers, result = found(height, width, **how)
    expected = [by_loop(height, width, row, **how) for row in numbers]
    # A number that is a half to the last bit may be rounded either way.
    equal = (result == expected).all(axis=1)
    assert equal.mean() >= 0.98 and np.abs(result - expected)[:, 2:].max() <= 1
    top, left, h, w = result.T
    assert (result[:, :2] >= 0).all() and (result[:, 2:] >= 1).all()
    assert (top + h <= height).all() and (left + w <= width).all()


def test_the_whole_square_and_the_middle_of_what_is_none():
    only = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0)}
    assert (found(40, 40, 20, **only)[1] == [0, 0, 40, 40]).all()
    # No square has the area of an oblong and fits: the middle, cut to a square.
    assert (found(40, 61, 20, **only)[1] == [0, 10, 40, 40]).all()
    assert (found(61, 40, 20, **only)[1] == [10, 0, 40, 40]).all()


@pytest.mark.parametrize("height, width, expected", [
    (1, 90, [0, 44, 1, 1]),  # 1 · 4/3 rounded is 1; 89 columns are left over
    (90, 1, [44, 0, 1, 1]),
    (10, 300, [0, 143, 10, 13]),  # 10 · 4/3 = 13.3
    (300, 10, [143, 0, 13, 10]),  # 10 / (3/4) = 13.3
])  # fmt: skip
def test_where_nothing_fits_it_is_the_middle_cut_to_the_nearest_ratio(height, width, expected):
    assert (found(height, width, 20, scale=(1.0, 1.0))[1] == expected).all()


def test_shares_ratios_and_places_are_spread_as_told():
    """Of a large square, where hardly a try fails to fit: scale 0.1 to 0.5."""
    count, scale = 3000, (0.1, 0.5)
    _, result = found(1000, 1000, count, scale=scale)
    top, left, h, w = result.T.astype(np.float64)
    areas, ratios = h * w / 1e6, np.log(w / h) / np.log(4 / 3)
    for values, low, high in ((areas, *scale), (ratios, -1, 1), (top / (1000 - h), 0, 1),
                              (left / (1000 - w), 0, 1)):  # fmt: skip
        counts = np.histogram(values, bins=10, range=(low - 0.002, high + 0.002))[0]
        # Chi square with 9 degrees of freedom: beyond 33 once in ten thousand.
        assert np.sum((counts - count / 10) ** 2 / (count / 10)) < 33
    pairs = np.corrcoef([areas, ratios, top / (1000 - h), left / (1000 - w)])
    assert np.abs(pairs - np.eye(4)).max() < 0.08  # deviation of a coefficient: 0.018


def test_draws_depend_on_the_record_and_not_on_the_batch():
    numbers = drawn(20)
    assert numbers.shape == (20, 22) and numbers.dtype == np.float32
    assert ((numbers >= 0) & (numbers < 1)).all() and len(np.unique(numbers)) > 435
    ids = tf.constant([7], tf.int64)
    alone = crop.draws(Noise(order.noise_for(ids, tf.zeros_like(ids), 0))).numpy()
    np.testing.assert_array_equal(alone[0], numbers[7])


# --- headers and parts


@pytest.mark.parametrize("height, width", [(1, 1), (1, 7), (9, 1), (3, 5), (17, 260), (300, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_size_by_the_header(height, width, channels):
    image = made.pixels(0, height, width, channels)
    for encoded in (made.png(image), made.jpeg(image), made.jpeg(image, progressive=True)):
        found = images.size_of(tf.constant(encoded))
        assert found.dtype == tf.int64 and found.numpy().tolist() == [height, width]


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_bomb(width, height):
    """A header and a few bytes of data."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))
    return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b"")


def jpeg_bomb(width, height):
    """A small JPEG whose header asks for more."""
    data = bytearray(made.jpeg(made.pixels(0, 16, 16)))
    start = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, start + 5, height, width)
    return bytes(data)


BOMBS = [png_bomb(30_000, 30_000), png_bomb(2**31 - 1, 2**31 - 1), png_bomb(89_478_486, 1),
         jpeg_bomb(30_000, 30_000), jpeg_bomb(65_500, 65_500)]  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS, ids=len)
def test_a_header_that_asks_for_too_much_is_refused_before_a_pixel_is_made(bomb, monkeypatch):
    """# fault D7"""

    def never(*_, **__):
        raise AssertionError("it was decoded")

    assert len(bomb) < 2000
    for name in ("decode_jpeg", "decode_png", "decode_and_crop_jpeg"):
        monkeypatch.setattr(tf.io, name, never)
    encoded = tf.constant(bomb)
    with pytest.raises(tf.errors.InvalidArgumentError, match="more pixels than allowed"):
        images.decode(encoded, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="more pixels than allowed"):
        images.decode_box(encoded, images.size_of(encoded), tf.constant([0, 0, 8, 8]), 3)


@pytest.mark.parametrize("bomb", BOMBS, ids=len)
def test_in_a_pipeline_it_is_refused_too(bomb):
    """Where ops run in the order of their inputs: the check stands before the decoder."""

    def part(encoded):
        return images.decode_box(encoded, images.size_of(encoded), tf.constant([0, 0, 8, 8]), 3)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for decode in (part, lambda encoded: images.decode(encoded, 3)):
        data = tf.data.Dataset.from_tensors(tf.constant(bomb)).map(decode)
        with pytest.raises(tf.errors.InvalidArgumentError, match="more pixels than allowed"):
            list(data)
    # In KiB; the pixels of the smallest bomb would be 256 MiB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 2**10


def test_a_picture_of_exactly_as_many_pixels_as_are_allowed_reaches_the_decoder():
    encoded = tf.constant(png_bomb(89_478_485, 1))
    assert images.size_of(encoded).numpy().tolist() == [1, 89_478_485]
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        images.decode(encoded, 3)
    assert "more pixels than allowed" not in str(caught.value)


@pytest.mark.parametrize("encoded", [b"", b"\x89PNG", b"\xff\xd8\xff", b"x" * 23, b"x" * 50])
def test_what_is_no_picture_has_no_size(encoded):
    with pytest.raises(tf.errors.InvalidArgumentError):
        images.size_of(tf.constant(encoded))
    with pytest.raises(tf.errors.InvalidArgumentError):
        images.decode(tf.constant(encoded))


PARTS = [(0, 0, 40, 56), (3, 5, 17, 9), (39, 55, 1, 1), (0, 13, 40, 1), (16, 16, 8, 24)]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_part_equals_the_part_of_the_whole(part, channels):
    top, left, height, width = part
    image = made.pixels(1, 40, 56)
    for encode in (made.png, made.jpeg):
        encoded = tf.constant(encode(image))
        size = images.size_of(encoded)
        found = images.decode_box(encoded, size, tf.constant(part), channels).numpy()
        if encode is made.png:
            whole = tf.io.decode_png(encoded, channels).numpy()
            tolerance = 0
        else:
            whole = images.decode(encoded, channels).numpy()
            # Colour is stored at half size; at the part's border its neighbours are missing.
            tolerance = 0 if channels == 1 else 40
        expected = whole[top : top + height, left : left + width]
        difference = np.abs(found.astype(int) - expected)
        assert found.shape == expected.shape and difference.max() <= tolerance
        assert difference[2:-2, 2:-2].max(initial=0) == 0  # but for the border


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize("shape", [(23, 17), (5, 6), (1, 1), (12, 10)])
def test_resized(antialias, rounded, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    found = images.resized(tf.constant(image), [12, 10], antialias, rounded).numpy()
    assert found.dtype == (np.uint8 if rounded else np.float32) and found.shape == (12, 10, 3)
    expected = references.resize(image, 12, 10, antialias=antialias)
    assert np.abs(found - expected).max() <= (0.501 if rounded else 1e-3)
    if shape == (12, 10):
        np.testing.assert_array_equal(found, image)
