"""Each kind of finding: made on purpose, found, and named by file, record, offset and key."""

import gzip
import os

import numpy as np
import pytest
import record_files as files
from record_files import example, feature, jpeg, png, record, write_set, write_shard

from resnet_tf import errors, inspection
from resnet_tf.errors import UserError
from resnet_tf.input.manifest import Manifest
from resnet_tf.inspection.findings import KINDS

TRAIN = "train-00000-of-00001.tfrecord"
TEST = "test-00000-of-00001.tfrecord"
# Noise in 0..255 of so few pixels has another mean than any manifest says.
ALWAYS = {"statistics"}


def check(directory, **options):
    return inspection.check(directory, inspection.Options(**options))


def found(report, severity=None):
    """Kind -> findings, but for those that the test's own pictures always cause."""
    return {
        kind: report.findings.kept[kind]
        for kind in report.findings.kinds()
        if kind not in ALWAYS and severity in (None, KINDS[kind][0])
    }


def only(report, kind, number=1):
    """The findings of the one kind that there is."""
    assert list(found(report)) == [kind], report.findings.lines()
    assert report.findings.counts[kind] == number
    return report.findings.kept[kind][0] if number == 1 else report.findings.kept[kind]


def test_sound_set(tmp_path):
    write_set(tmp_path, files.sound_records(30), files.sound_records(6, first=100), shards=3)
    report = check(tmp_path)
    assert found(report) == {}
    assert report.records == {"train": 30, "test": 6}
    assert {s: counts.tolist() for s, counts in report.histogram.items()} == {
        "train": [10, 10, 10],
        "test": [2, 2, 2],
    }
    assert (report.height, report.width, report.channels) == (6, 5, 3)
    assert report.classes.names == files.CLASSES
    assert [len(table.rows) for table in report.tables] == [10, 10, 10, 6]


def test_mean_and_deviation_are_those_of_the_training_pixels(tmp_path):
    sizes = [(6, 5), (9, 14), (1, 3)] * 3
    pictures = [png(i, *size) for i, size in enumerate(sizes)]
    test = [record(png(99), 0)]
    write_set(tmp_path, [record(p, i % 3, str(i)) for i, p in enumerate(pictures)], test)
    report = check(tmp_path)
    import tensorflow as tf

    pixels = [tf.io.decode_png(p).numpy().reshape(-1, 3).astype(np.float64) for p in pictures]
    pixels = np.concatenate(pixels)
    assert report.mean == pytest.approx(pixels.mean(axis=0), abs=6e-5)
    assert report.std == pytest.approx(pixels.std(axis=0), abs=6e-5)
    (finding, _) = report.findings.kept["statistics"]
    assert "the manifest says 127.50 127.50 127.50" in finding.what
    assert (report.height, report.width) == (None, None)
    assert check(tmp_path, decode=False).mean == ()


def test_grey_pictures_have_one_channel(tmp_path):
    pictures = [png(i, channels=1) for i in range(6)]
    payloads = [record(p, i % 3, str(i)) for i, p in enumerate(pictures)]
    write_set(tmp_path, payloads, channels=1, mean=(0.1,), std=(1.0,))
    report = check(tmp_path)
    assert report.channels == 1
    assert len(report.mean) == len(report.std) == 1
    assert len(report.findings.kept["statistics"]) == 2


def test_large_pictures_are_summed_up_in_bands(tmp_path, monkeypatch):
    from resnet_tf.inspection import decoding

    write_set(tmp_path, files.sound_records(6))
    whole = check(tmp_path)
    monkeypatch.setattr(decoding, "_LARGE", 7)
    banded = check(tmp_path)
    assert (banded.mean, banded.std) == (whole.mean, whole.std)
    assert found(banded) == {}
    blank = png_of(np.full((6, 5, 3), 9))
    blank_below = np.full((6, 5, 3), 9)
    blank_below[5] = 8
    write_set(
        tmp_path / "b",
        [
            record(blank, 0, "blank"),
            record(png_of(blank_below), 1),
            record(files.jpeg_header(40, 30), 2),
        ],
    )
    report = check(tmp_path / "b")
    assert [f.key for f in report.findings.kept["constant"]] == ["blank"]
    assert report.findings.kept["constant"][0].what == "every pixel is 9, 9, 9"
    assert len(report.findings.kept["undecodable"]) == 1


def png_of(pixels):
    import tensorflow as tf

    return tf.io.encode_png(np.asarray(pixels, np.uint8)).numpy()


# ---- files


def damage(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_shard_that_is_missing(tmp_path):
    """# fault C5"""
    names = write_set(tmp_path, files.sound_records(9), shards=3)
    (tmp_path / names[1]).unlink()
    finding = only(check(tmp_path), "missing-shard")
    assert (finding.file, finding.severity, finding.what) == (names[1], "error", "no such file")


@pytest.mark.parametrize("make", ["fifo", "directory", "loop"])
def test_shard_that_is_no_file(tmp_path, make):
    """# fault C16"""
    names = write_set(tmp_path, files.sound_records(9), shards=3)
    path = tmp_path / names[0]
    path.unlink()
    {"fifo": os.mkfifo, "directory": os.mkdir, "loop": lambda p: os.symlink(p, p)}[make](path)
    kind = "unreadable-shard" if make == "loop" else "not-regular"
    assert only(check(tmp_path), kind).file == names[0]


def test_shard_without_a_byte(tmp_path):
    """# fault C4"""
    names = write_set(tmp_path, files.sound_records(9), shards=3)
    (tmp_path / names[2]).write_bytes(b"")
    assert only(check(tmp_path), "empty-shard").file == names[2]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (gzip.compress, "compressed by gzip: unpack it"),
        (lambda data: png(), "it is a PNG"),
        (lambda data: jpeg(), "it is a JPEG"),
        (lambda data: b"some text\n" * 9, "it looks like text"),
        (lambda data: b"\0\1\2\3\xff\xfe" * 9, "it starts b'"),
    ],
)
def test_shard_of_another_kind(tmp_path, make, text):
    """# fault C6, C7"""
    names = write_set(tmp_path, files.sound_records(9), shards=3)
    path = tmp_path / names[0]
    path.write_bytes(make(path.read_bytes()))
    report = check(tmp_path)
    assert list(found(report)) == ["not-tfrecord", "shard-sha256"]
    (finding,) = report.findings.kept["not-tfrecord"]
    assert finding.file == names[0]
    assert finding.what.startswith("not a TFRecord file: ")
    assert text in finding.what


def test_shard_that_no_manifest_lists(tmp_path):
    """# fault C5"""
    write_set(tmp_path, files.sound_records(9))
    files.write_shard(tmp_path / "train-00001-of-00002.tfrecord", files.sound_records(3, 50))
    (tmp_path / "notes.txt").write_text("not a shard")
    finding = only(check(tmp_path), "unlisted-shard")
    assert (finding.file, finding.severity) == ("train-00001-of-00002.tfrecord", "warning")


def test_shard_twice(tmp_path):
    """# fault C10"""
    payloads = files.sound_records(9)
    names = write_set(tmp_path, payloads + payloads, shards=2)
    report = check(tmp_path)
    assert list(found(report)) == ["same-shard", "duplicate"]
    (finding,) = report.findings.kept["same-shard"]
    assert (finding.file, finding.what) == (names[1], f"same bytes as {names[0]}")
    assert report.findings.counts["duplicate"] == 9


def test_shard_of_other_sound_records(tmp_path):
    write_set(tmp_path, files.sound_records(9))
    files.write_shard(tmp_path / TRAIN, files.sound_records(9, first=500))
    report = check(tmp_path)
    assert "shard-sha256" in found(report, "error")
    assert not {"damaged-payload", "record-count"} & set(found(report))


def test_cut_exactly_between_records(tmp_path):
    """# fault C3"""
    payloads = files.sound_records(9)
    write_set(tmp_path, payloads)
    path = tmp_path / TRAIN
    path.write_bytes(path.read_bytes()[: files.frames(payloads)[6]])
    report = check(tmp_path)
    assert list(found(report)) == ["shard-size", "shard-sha256", "record-count"]
    (finding,) = report.findings.kept["record-count"]
    assert (finding.file, finding.what) == (TRAIN, "expected 9 records, found 6")


def test_every_damaged_record_is_named_and_the_rest_is_looked_at(tmp_path):
    """# fault C1"""
    payloads = files.sound_records(12)
    payloads[7] = record(b"GIF89a" + bytes(20), 1, "seven.gif")
    write_set(tmp_path, payloads)
    starts = files.frames(payloads)
    for number in (2, 5):
        damage(tmp_path / TRAIN, starts[number + 1] - 3)
    damage(tmp_path / TRAIN, starts[9] + 9)
    damage(tmp_path / TRAIN, starts[11] + 1)
    report = check(tmp_path)
    kept = report.findings.kept
    assert [(f.file, f.record, f.offset, f.key) for f in kept["damaged-payload"]] == [
        (TRAIN, 2, starts[2], "cat/2.png"),
        (TRAIN, 5, starts[5], "cat/5.png"),
    ]
    assert [(f.record, f.offset) for f in kept["damaged-length"]] == [(9, starts[9])]
    (gap,) = kept["unreadable-bytes"]
    assert (gap.record, gap.offset) == (11, starts[11])
    assert gap.what == f"{starts[12] - starts[11]:,} bytes to the end of the file hold no record that can be read"  # fmt: skip  # noqa: E501
    assert [(f.record, f.key) for f in kept["other-format"]] == [(7, "seven.gif")]
    assert kept["record-count"][0].what == "expected 12 records, found 11"
    assert report.errors == 7  # with sha256


def test_what_a_damaged_record_says_counts_for_nothing(tmp_path):
    # Sound as examples, but for their checksums: a label beyond the classes, a wrong name.
    payloads = files.sound_records(6)
    payloads[3] = record(png(90), 7, "three.png", text="bee")
    payloads[4] = record(png(91), 0, "four.png", text="cat")
    write_set(tmp_path, payloads)
    for number in (3, 4):
        damage(tmp_path / TRAIN, files.frames(payloads)[number + 1] - 1)
    report = check(tmp_path, decode=False)
    assert set(found(report)) == {"damaged-payload", "shard-sha256"}
    assert report.histogram["train"].tolist() == [1, 1, 2]


# ---- records


@pytest.mark.parametrize(
    ("payload", "kind", "text"),
    [
        (b"\xff\xffno", "not-an-example", "it starts b'"),
        (record(png(1), 0, image__encoded=None), "bad-field", "image/encoded is missing"),
        (record(png(1), 0, image__class__label=None), "bad-field", "image/class/label is missing"),
        (
            record(png(1), 0, image__class__label=feature(b"1")),
            "bad-field",
            "image/class/label must be one integer, it is of type bytes_list",
        ),
        (
            record(png(1), 0, image__class__label=feature(1.0)),
            "bad-field",
            "image/class/label must be one integer, it is of type float_list",
        ),
        (
            record(png(1), 0, image__encoded=feature(7)),
            "bad-field",
            "image/encoded must be one byte string, it is of type int64_list",
        ),
        (b"", "bad-field", "image/class/label is missing"),
        (record(png(1), -1), "label-range", "label -1 is not in 0..2"),
        (record(png(1), 3), "label-range", "label 3 is not in 0..2"),
        (record(png(1), 2**31), "label-range", "label 2147483648 is not in 0..2"),
        (record(png(1), -(2**63)), "label-range", "is far beyond any class"),
        (record(b"", 0), "empty-picture", "it is empty"),
        (record(b"GIF89a....", 0), "other-format", "neither JPEG nor PNG but GIF"),
        (record(b"RIFF....WEBPVP8 ", 0), "other-format", "but WebP"),
        (record(b"....ftypheic....", 0), "other-format", "but HEIC"),
        (record(jpeg()[:-40], 0), "damaged-picture", "the end of the JPEG is missing"),
        (record(png()[:-20], 0), "damaged-picture", "the end of the PNG is missing"),
        (record(files.png_header(23_000, 23_000), 0), "too-large", "23000x23000 pixels, more"),
        (record(files.jpeg_header(13_300, 13_300), 0), "too-large", "13300x13300 pixels"),
        (record(files.jpeg_header(40, 30), 0), "undecodable", "cannot be decoded"),
        (record(files.png_header(4, 4), 0), "undecodable", "cannot be decoded"),
    ],
)  # fmt: skip
def test_record_that_training_could_not_use(tmp_path, payload, kind, text):
    """# fault C9, D2, D5, D8, D13, D14"""
    payloads = files.sound_records(6)
    payloads.insert(4, payload)
    write_set(tmp_path, payloads)
    report = check(tmp_path)
    errors = found(report, "error")
    assert kind in errors
    finding = errors[kind][0]
    assert text in finding.what
    assert (finding.file, finding.record) == (TRAIN, 4)
    assert finding.offset == files.frames(payloads)[4]
    assert report.histogram["train"].sum() == 6
    assert set(errors) == {kind}


@pytest.mark.parametrize(
    ("payload", "kind", "text"),
    [
        (
            record(jpeg(channels=1)[:-2] + b"\xff\xd9 and more", 0),
            "trailing-bytes",
            "9 bytes after",
        ),
        (record(png(1, dtype=np.uint16), 0), "sixteen-bits", "16 bits a sample"),
        (record(png(1, channels=4), 0), "alpha", "PNG of 4 channels"),
        (record(png_of(np.zeros((6, 5, 3))), 0), "constant", "every pixel is 0, 0, 0"),
        (record(png_of(np.full((6, 5, 3), [1, 2, 3])), 0), "constant", "every pixel is 1, 2, 3"),
        (record(png(1, 4, 41), 0), "aspect", "4x41"),
        (record(png(1, 3, 9), 0), "tiny", "3x9"),
        (
            record(png(1), 0, image__height=feature(7)),
            "disagrees",
            "the record says 7x5, the picture is 6x5",
        ),
        (
            record(png(1), 0, image__format=feature(b"JPEG")),
            "disagrees",
            "the record says jpeg, the picture is png",
        ),
        (record(png(1), 0, text="bee"), "class-text", "its label is 0, ant; its text says bee"),
    ],
)
def test_record_that_is_merely_odd(tmp_path, payload, kind, text):
    """# fault D3, D4, D9, D11, D15"""
    payloads = [record(png(50 + i), i % 3, f"{i}") for i in range(6)]
    payloads.insert(2, payload)
    write_set(tmp_path, payloads)
    report = check(tmp_path)
    assert report.errors == 0
    assert list(found(report)) == [kind]
    finding = report.findings.kept[kind][0]
    assert text in finding.what
    assert (finding.record, finding.offset) == (2, files.frames(payloads)[2])
    assert report.histogram["train"].sum() == 7


def test_jpeg_may_be_called_jpg(tmp_path):
    payloads = files.sound_records(6)
    payloads.append(record(jpeg(), 0, image__format=feature(b"jpg")))
    write_set(tmp_path, payloads)
    assert found(check(tmp_path)) == {}


def test_exif_turn_and_four_inks(tmp_path):
    """# fault D1, D10"""
    from input.test_headers import exif, with_exif

    turned = with_exif(jpeg(), exif(6))
    inks = files.jpeg_header(40, 30, components=4)
    write_set(tmp_path, [*files.sound_records(6), record(turned, 0), record(inks, 1)])
    report = check(tmp_path, decode=False)
    assert list(found(report)) == ["four-inks", "exif-turned", "disagrees"]
    assert report.findings.kept["exif-turned"][0].what == "orientation 6"
    assert report.findings.kept["four-inks"][0].record == 7


def test_limit_of_pixels(tmp_path):
    write_set(tmp_path, files.sound_records(3))
    assert check(tmp_path, max_pixels=30).errors == 0
    findings = check(tmp_path, max_pixels=29).findings.kept["too-large"]
    assert len(findings) == 3
    assert findings[0].what == "it has 6x5 pixels, more than 29"


def test_without_decoding_what_only_a_decoder_sees_is_not_found(tmp_path):
    write_set(tmp_path, [*files.sound_records(3), record(files.png_header(4, 4), 0)])
    assert check(tmp_path, decode=False).errors == 0
    assert check(tmp_path, decode=True).errors == 1


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(tmp_path, workers):
    write_set(tmp_path, [*files.sound_records(20), record(files.png_header(4, 4), 0)])
    one, other = check(tmp_path), check(tmp_path, workers=workers)
    assert found(one) == found(other)
    assert one.mean == other.mean


# ---- over all records


def test_labels_that_start_at_one(tmp_path):
    payloads = [record(png(i), i % 3 + 1, str(i), text="") for i in range(9)]
    write_set(tmp_path, payloads)
    report = check(tmp_path)
    assert list(found(report)) == ["label-range", "one-based-labels", "empty-class"]
    assert report.findings.counts["label-range"] == 3
    (hint,) = report.findings.kept["one-based-labels"]
    assert "label_offset should be 1" in hint.what
    told = check(tmp_path, label_offset=1)
    assert found(told) == {}
    assert told.histogram["train"].tolist() == [3, 3, 3]


def test_class_without_pictures(tmp_path):
    """# fault D17"""
    write_set(
        tmp_path, [record(png(i), i % 2, str(i)) for i in range(8)], files.sound_records(3, 90)
    )
    finding = only(check(tmp_path), "empty-class")
    assert finding.what == "class cat (2) has no picture in train"


def test_many_classes_without_pictures_are_one_finding(tmp_path):
    write_shard(tmp_path / "train-a", [record(png(i), i * 2000, text="x") for i in range(2)])
    (finding,) = check(tmp_path).findings.kept["empty-class"]
    assert finding.what == (
        "1,999 of 2,001 classes have no picture in train; labels run from 0 to 2000"
    )


def test_duplicates_inside_and_between_splits(tmp_path):
    """# fault C11"""
    train, test = files.sound_records(9), files.sound_records(6, first=100)
    train[6] = record(png(2), 2, "again.png")
    train[8] = record(png(2), 2, "and again.png")
    test[3] = record(png(4), 0, "leaked.png")  # it was a bee
    test[5] = record(png(100), 2, "twice.png")
    write_set(tmp_path, train, test)
    report = check(tmp_path)
    assert list(found(report)) == ["leakage", "duplicate"]
    (leak,) = report.findings.kept["leakage"]
    assert (leak.file, leak.record, leak.key) == (TEST, 3, "leaked.png")
    assert leak.what == f"same bytes as {TRAIN}, record 4, bee/4.png, labelled 1 there and 0 here"
    assert [(f.file, f.record, f.key) for f in report.findings.kept["duplicate"]] == [
        (TRAIN, 6, "again.png"),
        (TRAIN, 8, "and again.png"),
        (TEST, 5, "twice.png"),
    ]
    one = check(tmp_path, split="test")
    assert list(found(one)) == ["duplicate"]
    assert one.records == {"test": 6}


def test_split_without_records(tmp_path):
    write_set(tmp_path, files.sound_records(3), [])
    report = check(tmp_path)
    assert {"empty-shard", "no-records"} <= set(found(report, "error"))


def test_findings_are_handed_on_and_only_so_many_are_kept(tmp_path, monkeypatch):
    from resnet_tf.inspection import findings

    monkeypatch.setattr(findings, "KEPT", 2)
    write_set(tmp_path, [record(b"GIF89a", 0, f"{i}.gif") for i in range(5)])
    handed = []
    report = inspection.check(tmp_path, on_finding=handed.append)
    assert [f.key for f in handed if f.kind == "other-format"] == [f"{i}.gif" for i in range(5)]
    assert len(report.findings.kept["other-format"]) == 2
    assert report.findings.counts["other-format"] == 5
    lines = report.findings.lines(most=1)
    heading = next(line for line in lines if "neither JPEG nor PNG: 5" in line)
    assert heading.startswith("ERROR: pictures that are ")
    assert heading.endswith(
        "(take the records out, or prepare the data again from mended pictures)"
    )
    assert "  … and 4 more" in lines


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [({"split": "dev"}, 64, "no split is called 'dev'; there are train")],
)
def test_refused_options(tmp_path, options, code, text):
    write_set(tmp_path, files.sound_records(3))
    with pytest.raises(UserError, match=text) as caught:
        check(tmp_path, **options)
    assert caught.value.code == code


def test_progress_counts_the_bytes_of_the_shards(tmp_path):
    write_set(tmp_path, files.sound_records(9), files.sound_records(3, 70), shards=2)
    done = []
    inspection.check(tmp_path, advance=done.append)
    sizes = [path.stat().st_size for path in tmp_path.glob("*.tfrecord")]
    assert sorted(done) == sorted(sizes)
    assert inspection.bytes_of(tmp_path) == sum(sizes)


def test_features_of_the_manifest_are_used(tmp_path):
    from resnet_tf.input.manifest import Features

    payloads = [example(pic=png(i), number=i % 3, id=b"n%d" % i) for i in range(6)]
    write_set(tmp_path, payloads, features=Features("pic", "number", "id"))
    report = check(tmp_path, max_pixels=1)
    assert report.findings.kept["too-large"][5].key == "n5"
    assert Manifest.load(tmp_path).features == report.features
    assert check(tmp_path).errors == 0


def test_names_are_harmless_to_a_terminal():
    """# fault S7"""
    assert errors.plain("a\nb\x1b[31m\udce9é") == "a\\nb\\x1b[31m\\udce9é"
    finding = inspection.Finding("duplicate", "same", "a\nb", 3, 17, "k\r")
    assert str(finding) == "a\\nb, record 3, byte 17, k\\r: same"
