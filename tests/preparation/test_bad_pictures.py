"""Pictures that cannot be used are named all at once; odd ones are taken, counted and said."""

import struct

import numpy as np
import pytest
from made_pictures import (
    Heard,
    cmyk_jpeg,
    noise,
    payloads,
    picture,
    pictures,
    raw,
    refused,
    turned_jpeg,
    write,
)

from resnet_tf.errors import UserError
from resnet_tf.preparation import Listing, plan, write_dataset

import tensorflow as tf  # isort: skip

PNG = tf.io.encode_png(noise(0)).numpy()
JPEG = tf.io.encode_jpeg(noise(0, 16, 16)).numpy()
# A sound header over pixels that no decoder takes.
HOLLOW = PNG[:41] + bytes(len(PNG) - 41 - 16) + PNG[-16:]


def png_header(height, width):
    """A PNG of 100 bytes or less that promises height x width pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = struct.pack(">I4sI", 0, b"IEND", 0)
    return PNG[:8] + struct.pack(">I", 13) + body + bytes(4) + end


@pytest.mark.parametrize(
    ("encoded", "what_to_do"),
    [
        (b"GIF89a", "it is GIF: convert it to JPEG"),
        (b"\0\0\0\x18ftypheic" + bytes(8), "it is HEIC: convert it to JPEG"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "it is WebP: convert it to JPEG"),
        (b"Buy milk.\n", "it is text: take it away"),
        (b"%PDF-1.7", "it is PDF: take it away"),
        (b"", "it is empty: copy it again from where it came"),
        (b"\x01\x02\xf3\xf4" * 8, "it is no picture that is known: take it away"),
    ],
)
def test_other_formats_are_told_by_their_bytes(tmp_path, encoded, what_to_do):
    splits = {"train": [*pictures(3), raw(encoded, "holiday.jpg")]}
    error = refused(65, tmp_path / "out", "neither JPEG nor PNG", what_to_do, splits=splits)
    assert "| holiday.jpg |" in str(error)
    assert "or leave it out with --bad_pictures=skip" in str(error)


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (PNG[:-20], "cannot be decoded: it is cut off: the end of the PNG is missing"),
        (JPEG[:-2], "cannot be decoded: it is cut off: the end of the JPEG is missing"),
        (JPEG[:100], "cannot be decoded: its JPEG header is cut off"),
        (HOLLOW, "the picture cannot be decoded |"),
        (png_header(30_000, 30_000), "has 30000x30000 pixels, more than 89,478,485"),
        (png_header(0, 5), "cannot be decoded: its size is 0x5"),
    ],
)
def test_broken_pictures_say_why(tmp_path, encoded, reason):
    splits = {"train": [*pictures(3), raw(encoded)]}
    refused(65, tmp_path / "out", reason, splits=splits)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_at_the_limit_of_pixels_is_not_too_large(tmp_path):
    # 9459² = 89,472,681: the header passes, and only the missing pixels are found.
    splits = {"train": [*pictures(3), raw(png_header(9459, 9459))]}
    refused(65, tmp_path / "out", "the picture cannot be decoded |", splits=splits)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_all_bad_pictures_are_named_at_once(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(plan, "SHARD_BYTES", 300)
    bad = [raw(b"GIF89a", "b/2.jpg"), raw(b"hello", "a/1.png"), raw(PNG[:-20], "c/3\n.png")]
    splits = {"train": [*pictures(8), *bad[:2]], "test": [*pictures(8, 50), bad[2]]}
    text = "3 of 19 pictures cannot be used"
    error = refused(65, tmp_path / "out", text, splits=splits, workers=workers)
    rows = error.details.splitlines()
    assert [row.split()[0] for row in rows] == ["a/1.png", "b/2.jpg", "c/3\\n.png"]
    assert "it is text: take it away" in rows[0]
    assert "it is GIF: convert it to JPEG" in rows[1]
    assert "it is cut off" in rows[2]
    assert list(tmp_path.iterdir()) == []


def test_names_start_from_the_folder_of_their_split(tmp_path):
    bad, odd = raw(b"hello", "a/1.jpg"), raw(turned_jpeg(), "a/2.jpg")
    splits, heard = {"train": [*pictures(3), bad], "validation": [odd]}, Heard()
    listing = Listing(
        "made", "CC0", ("a", "b", "c"), splits, roots={"train": "train", "validation": "val"}
    )
    with pytest.raises(UserError, match=r" \| train/a/1\.jpg \| "):
        write_dataset(tmp_path / "out", listing)
    write_dataset(tmp_path / "out", listing, skip_bad=True, progress=heard)
    assert "1 picture is turned by EXIF, which is ignored: val/a/2.jpg" in heard.lines


def test_a_long_list_is_counted(tmp_path):
    bad = [raw(b"hello", f"{i}.jpg") for i in range(70)]
    error = refused(65, tmp_path / "out", "70 of 73", splits={"train": [*pictures(3), *bad]})
    assert len(error.details.splitlines()) == 61
    assert error.details.endswith("… and 10 more")


def test_bad_pictures_are_left_out_and_said(tmp_path):
    bad = [raw(b"GIF89a", "bad/1.jpg"), raw(HOLLOW, "bad/2.png")]
    heard = Heard()
    splits = {"train": [bad[0], *pictures(6), bad[1]], "test": pictures(3)}
    manifest = write(tmp_path / "out", splits, skip_bad=True, progress=heard)
    assert (manifest.records("train"), manifest.records("test")) == (6, 3)
    pixels = np.concatenate([noise(i).reshape(-1, 3) for i in range(6)]).astype(np.float64)
    np.testing.assert_allclose(manifest.mean, pixels.mean(axis=0), atol=5.1e-5)
    assert len(payloads(manifest, "train")) == 6
    assert "left out: 2 of 11 pictures" in heard.lines
    assert any("bad/1.jpg" in line and "bad/2.png" in line for line in heard.lines)


def test_a_class_of_which_nothing_is_left_is_said(tmp_path):
    heard = Heard()
    splits = {"train": [picture(noise(0)), raw(b"hello", "b/1.jpg", label=1)]}
    write(tmp_path / "out", splits, skip_bad=True, progress=heard)
    assert "nothing is left of the class 'b' in 'train'" in heard.lines
    assert not any("class 'a'" in line or "class 'c'" in line for line in heard.lines)


def test_a_split_of_bad_pictures_is_refused(tmp_path):
    splits = {"train": pictures(3), "test": [raw(b"hello")]}
    text = "the split 'test' has no records"
    refused(65, tmp_path / "out", text, splits=splits, skip_bad=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("encoded", "line"),
    [
        (turned_jpeg(), "1 picture is turned by EXIF, which is ignored: odd.jpg"),
        (cmyk_jpeg(), "1 picture has four inks (CMYK) and is read as RGB: odd.jpg"),
        (
            tf.io.encode_png(np.full((8, 8, 3), 65535, np.uint16)).numpy(),
            "1 picture has 16 bits a sample, of which 8 are read: odd.jpg",
        ),
    ],
)
def test_odd_pictures_are_taken_and_said(tmp_path, encoded, line):
    """# fault D1, D3"""
    heard = Heard()
    manifest = write(tmp_path / "out", {"train": [raw(encoded, "odd.jpg")]}, progress=heard)
    assert line in heard.lines
    feature = tf.train.Example.FromString(payloads(manifest, "train")[0]).features.feature
    assert feature["image/encoded"].bytes_list.value[0] == encoded
    assert manifest.channels == 3


def test_odd_pictures_are_counted_and_the_first_are_named(tmp_path):
    heard = Heard()
    splits = {"train": [raw(turned_jpeg(), f"{i}.jpg") for i in range(7)]}
    write(tmp_path / "out", splits, progress=heard)
    text = "7 pictures are turned by EXIF, which is ignored: 0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg"
    assert f"{text} and 2 more" in heard.lines


def test_sound_pictures_are_not_remarked_on(tmp_path):
    heard = Heard()
    write(tmp_path / "out", {"train": [raw(turned_jpeg(1)), *pictures(2)]}, progress=heard)
    assert heard.lines == ["mean and std are taken over all 3 pictures of 'train'"]


def test_a_set_without_train_is_said_to_be_for_evaluation(tmp_path):
    heard = Heard()
    write(tmp_path / "out", {"validation": pictures(3)}, progress=heard)
    assert "there is no split 'train': this set is for evaluation only" in heard.lines


def test_pictures_that_are_not_measured_are_not_decoded(tmp_path):
    # So that large sets are prepared at the speed of the disk; data/check.py decodes all.
    splits = {"train": [picture(noise(0))], "test": [raw(HOLLOW)]}
    assert write(tmp_path / "out", splits).records("test") == 1


def test_a_shard_of_bad_pictures_alone_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "SHARD_BYTES", 1)  # a picture a shard
    splits = {"train": [*pictures(4), raw(b"GIF89a", "x.gif")]}
    manifest = write(tmp_path / "out", splits, skip_bad=True)
    assert [part.records for part in manifest.shards("train")] == [1, 1, 1, 1]
    files = {part.file for part in manifest.shards("train")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files | {"dataset.json"}
