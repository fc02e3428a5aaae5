"""Pictures encoded anew: pixels against NumPy, formats, and what keeps its bytes."""

import numpy as np
import pytest
from made_pictures import noise, payloads, picture, pictures, raw, refused, turned_jpeg, write

from resnet_tf.errors import UserError
from resnet_tf.input import headers, records
from resnet_tf.preparation import Recode

import tensorflow as tf  # isort: skip


def recoded(encoded, **options):
    return Recode(**options)(encoded, headers.inspect(encoded))


def png(pixels):
    return tf.io.encode_png(pixels).numpy()


def jpeg(pixels, quality=95):
    return tf.io.encode_jpeg(pixels, quality=quality).numpy()


def pixels_of(encoded):
    return tf.io.decode_image(encoded).numpy()


def shrunk(pixels, factor):
    """Antialiased bilinear shrinking by a whole factor f: the triangle of 2f taps, weights
    1 - |distance| / f from the new pixel's centre, cut at the border and normalised."""

    def matrix(size):
        new = size // factor
        weights = np.zeros((new, size))
        for i in range(new):
            distance = np.abs(np.arange(size) + 0.5 - (i + 0.5) * factor) / factor
            weights[i] = np.maximum(0, 1 - distance)
        return weights / weights.sum(axis=1, keepdims=True)

    height, width = pixels.shape[:2]
    return np.einsum("ih,hwc,jw->ijc", matrix(height), pixels.astype(float), matrix(width))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_shrinking_is_antialiased(channels):
    pixels = noise(1, 24, 16, channels)
    found = pixels_of(recoded(png(pixels), max_side=12))
    assert found.shape == (12, 8, channels)
    np.testing.assert_allclose(found, shrunk(pixels, 2), atol=0.51)


@pytest.mark.parametrize(
    ("height", "width", "side", "size"),
    [
        (40, 20, 10, (10, 5)),
        (20, 40, 10, (5, 10)),
        (30, 20, 16, (16, 11)),  # 20 · 16 / 30 = 10.7
        (60, 1, 10, (10, 1)),
        (17, 17, 16, (16, 16)),
    ],
)
@pytest.mark.parametrize("encode", [png, jpeg])
def test_longer_side_is_the_given_one(height, width, side, size, encode):
    header = headers.inspect(recoded(encode(noise(0, height, width)), max_side=side))
    assert (header.height, header.width) == size
    assert header.format == ("png" if encode is png else "jpeg")


@pytest.mark.parametrize("encode", [png, jpeg])
@pytest.mark.parametrize("side", [16, 17, 1000])
def test_pictures_that_are_small_enough_keep_their_bytes(encode, side):
    encoded = encode(noise(0, 16, 9))
    assert recoded(encoded, max_side=side) == encoded


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [1, 50, 100])
@pytest.mark.parametrize("encode", [png, jpeg])
def test_quality_makes_a_jpeg_of_everything(channels, quality, encode):
    encoded = encode(noise(0, 16, 16, channels))
    decoded = tf.io.decode_jpeg(encoded, dct_method="INTEGER_ACCURATE")
    assert recoded(encoded, quality=quality) == jpeg(decoded, quality)


def test_quality_drops_alpha():
    pixels = noise(0, 16, 16, 4)
    assert recoded(png(pixels), quality=90) == jpeg(pixels[..., :3], 90)
    assert headers.inspect(recoded(png(pixels[..., :2]), quality=90)).channels == 1


def test_size_and_quality_together():
    encoded = png(np.full((32, 16, 3), 77, np.uint8))
    assert recoded(encoded, max_side=8, quality=80) == jpeg(np.full((8, 4, 3), 77, np.uint8), 80)


def test_a_shrunk_jpeg_has_quality_95_where_none_is_given():
    encoded = jpeg(np.full((32, 16, 3), 77, np.uint8))
    grey = pixels_of(encoded)[:8, :4]
    assert recoded(encoded, max_side=8) == jpeg(grey, 95)


def test_exif_goes_and_the_pixels_stay_as_they_were_stored():
    encoded = turned_jpeg(6)
    found = recoded(encoded, quality=100)
    assert headers.inspect(found).orientation == 1
    plain = tf.io.decode_jpeg(encoded, dct_method="INTEGER_ACCURATE")
    assert found == jpeg(plain, 100)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_side": 0}, "max_side must be 1 or more, got 0"),
        ({"quality": 0}, "quality must be from 1 to 100, got 0"),
        ({"quality": 101}, "quality must be from 1 to 100, got 101"),
    ],
)
def test_values_that_are_refused(options, text):
    with pytest.raises(UserError, match=text) as caught:
        Recode(**options)
    assert caught.value.code == 64


def test_manifest_and_records_are_of_the_new_pictures(tmp_path):
    splits = {"train": [picture(noise(i, 12, 8), 0, f"{i}.png") for i in range(4)]}
    manifest = write(tmp_path / "out", splits, recode=Recode(max_side=6))
    assert (manifest.height, manifest.width) == (6, 4)
    found = [
        pixels_of(records.decode(payload)[0]).astype(float)
        for payload in payloads(manifest, "train")
    ]
    np.testing.assert_allclose(manifest.mean, np.mean(found, axis=(0, 1, 2)), atol=5.1e-5)
    np.testing.assert_allclose(manifest.std, np.std(found, axis=(0, 1, 2)), atol=5.1e-5)
    feature = tf.train.Example.FromString(payloads(manifest, "train")[0]).features.feature
    assert feature["image/height"].int64_list.value[0] == 6
    assert feature["image/format"].bytes_list.value[0] == b"png"


def test_every_split_is_encoded_anew(tmp_path):
    splits = {"train": pictures(2), "test": pictures(2)}
    manifest = write(tmp_path / "out", splits, recode=Recode(quality=90))
    for split in splits:
        for payload in payloads(manifest, split):
            assert headers.format_of(records.decode(payload)[0]) == "jpeg"


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path):
    encoded = png(noise(0))
    hollow = encoded[:41] + bytes(len(encoded) - 41 - 16) + encoded[-16:]
    splits = {"train": pictures(2), "test": [raw(hollow, "hollow.png")]}
    text = "the picture cannot be decoded | hollow.png"
    refused(65, tmp_path / "out", text, splits=splits, recode=Recode(quality=90))
