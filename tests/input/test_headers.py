"""Headers of JPEG and PNG: against pictures that TensorFlow wrote, and made by hand."""

import struct
import tracemalloc

import numpy as np
import pytest
from record_files import jpeg, jpeg_header, png, png_header

from resnet_tf.input import headers

import tensorflow as tf  # isort: skip


def exif(orientation, order="<", kind=3):
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHIHH", 274, kind, 1, orientation, 0)
    return mark + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


def with_exif(picture, block):
    body = b"Exif\0\0" + block
    return picture[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + picture[2:]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 700), (33, 2)])
def test_jpeg(height, width, channels):
    found = headers.inspect(jpeg(0, height, width, channels))
    assert found == headers.Header("jpeg", height, width, channels)
    assert (found.alpha, found.palette) == (False, False)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png(channels, dtype):
    found = headers.inspect(png(0, 9, 4, channels, dtype))
    bits = 8 if dtype == np.uint8 else 16
    assert found == headers.Header("png", 9, 4, channels, bits)
    assert found.alpha == (channels in (2, 4))


def test_progressive_jpeg():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    found = headers.inspect(tf.io.encode_jpeg(pixels, progressive=True).numpy())
    assert (found.height, found.width, found.trailing) == (20, 30, 0)


def test_palette_and_four_inks():
    palette = headers.inspect(png_header(2, 3, colours=3))
    assert (palette.channels, palette.bits, palette.palette) == (3, 8, True)
    inks = headers.inspect(jpeg_header(2, 3, components=4))
    assert (inks.channels, inks.alpha) == (4, False)
    assert headers.inspect(jpeg_header(2, 3, bits=12)).bits == 12
    assert headers.inspect(png_header(2, 3, bits=1, colours=0)).bits == 1


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_a_jpeg(order, orientation):
    assert headers.inspect(with_exif(jpeg(), exif(orientation, order))).orientation == orientation


def test_orientation_of_a_png():
    block = exif(6, ">")
    chunk = struct.pack(">I", len(block)) + b"eXIf" + block + bytes(4)
    assert headers.inspect(png_header(2, 3, rest=chunk)).orientation == 6


@pytest.mark.parametrize(
    "block", [exif(0), exif(9), exif(6, kind=4), b"", b"II*\0", b"XX" + exif(6)[2:], exif(6)[:14]]
)
def test_damaged_exif_is_no_turn(block):
    assert headers.inspect(with_exif(jpeg(), block)).orientation == 1


@pytest.mark.parametrize("picture", [jpeg(), png()], ids=["jpeg", "png"])
def test_trailing_bytes_are_counted(picture):
    assert headers.inspect(picture).trailing == 0
    assert headers.inspect(picture + b"PK\3\4 a zip").trailing == 10


@pytest.mark.parametrize("share", range(0, 100, 10))
@pytest.mark.parametrize("picture", [jpeg(1, 64, 64), png(1, 40, 40)], ids=["jpeg", "png"])
def test_cut_pictures_are_refused(picture, share):
    """# fault D6"""
    cut = picture[: max(12, len(picture) * share // 100)]
    with pytest.raises(headers.Unusable, match="cut off") as caught:
        headers.inspect(cut)
    assert caught.value.kind == "damaged-picture"


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"GIF89a\1\0\1\0", "GIF"),
        (b"GIF87a\1\0\1\0", "GIF"),
        (b"RIFF\x20\0\0\0WEBPVP8 ", "WebP"),
        (b"BM\x46\0\0\0", "BMP"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "HEIC"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF"),
        (b"\0\0\0\x1cftypisom\0\0\0\0", "MP4"),
        (b"%PDF-1.4", "PDF"),
        (b"PK\3\4", "ZIP"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"<svg xmlns=", "SVG"),
        (b"<?xml version", "XML"),
        (b"<!DOCTYPE html>", "HTML"),
        ("Größe, not a picture\n".encode(), "text"),
        (b"a" * 511 + "ö".encode(), "text"),
    ],
)
def test_other_formats_are_named(start, name):
    """# fault D2"""
    assert headers.format_of(start) == name
    with pytest.raises(headers.Unusable, match=f"neither JPEG nor PNG but {name}$") as caught:
        headers.inspect(start)
    assert caught.value.kind == "other-format"


def test_unknown_bytes_and_none():
    with pytest.raises(headers.Unusable, match=r"it starts b'.x00.x01") as caught:
        headers.inspect(b"\0\1\2\3\xfe\xfd")
    assert caught.value.kind == "other-format"
    with pytest.raises(headers.Unusable, match="it is empty") as caught:
        headers.inspect(b"")
    assert caught.value.kind == "empty-picture"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xff\xd8\xff\xd9", "it has no picture data"),
        (b"\xff\xd8\xff\xda\0\x02\0\0\xff\xd9", "its JPEG header has no size"),
        (b"\xff\xd8\xff\xe0\0\x04abXX", "its JPEG header is damaged at byte 8"),
        (jpeg_header(0, 5), "its size is 0x5"),
        (png_header(5, 0), "its size is 5x0"),
        (png_header(5, 5, colours=7), "its PNG header is damaged"),
        (png_header(5, 5).replace(b"IHDR", b"IHDX"), "its PNG header is damaged"),
    ],
)
def test_damaged_headers(data, text):
    with pytest.raises(headers.Unusable, match=text) as caught:
        headers.inspect(data)
    assert caught.value.kind == "damaged-picture"


BOMBS = [
    make(height, width)
    for make in (png_header, jpeg_header)
    for height, width in [
        (65_500, 65_500), (30_000, 30_000), (23_000, 23_000), (13_300, 13_300), (9_460, 9_460),
        (65_535, 1_366), (1_366, 65_535), (20_000, 10_000), (9_459, 9_460), (50_000, 1_790),
    ]
]  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_by_their_header(bomb):
    """# fault D7, D8"""
    tracemalloc.start()
    try:
        for data in (bomb, bomb[:-12]):  # whole, and cut off
            with pytest.raises(headers.Unusable, match="pixels, more than 89,478,485") as caught:
                headers.inspect(data, headers.MAX_PIXELS)
            assert caught.value.kind == "too-large"
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()
    assert headers.inspect(bomb).height > 1000  # taken where there is no limit


def test_the_limit_itself_is_allowed():
    assert headers.inspect(png_header(10, 10), 100).width == 10
    with pytest.raises(headers.Unusable, match="it has 10x10 pixels, more than 99"):
        headers.inspect(png_header(10, 10), 99)
