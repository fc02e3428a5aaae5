"""Sets of TensorFlow Datasets, made here offline: every picture, label and name; no socket."""

import concurrent.futures
import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from preparation import tiny_tfds
from preparation.tiny_tfds import example, pixels, usual_features, usual_splits
from tensorflow_datasets.core.download import download_manager

from resnet_tf.errors import UserError
from resnet_tf.preparation import tfds, tfds_features


def prepare(folder, features=usual_features, splits=None, **options):
    return tiny_tfds.prepare(folder, features, splits or usual_splits(), **options)


def decoded(pictures):
    return np.stack([tf.io.decode_image(picture.read()).numpy() for picture in pictures])


def refused(code, source, *texts, offline=True):
    with pytest.raises(UserError) as caught:
        tfds.listing(source, offline=offline)
    assert caught.value.code == code
    for text in texts:
        assert str(text) in str(caught.value)


def check_usual(listing):
    assert listing.classes == ("cat", "dog", "newt")
    assert list(listing.splits) == ["train", "validation"]
    for split, numbers in (("train", range(7)), ("validation", range(7, 10))):
        pictures = listing.splits[split]
        assert [p.label for p in pictures] == [i % 3 for i in numbers]
        assert [p.filename for p in pictures] == [f"picture_{i}.png" for i in numbers]
        np.testing.assert_array_equal(decoded(pictures), [pixels(i) for i in numbers])
        for picture in pictures:
            assert len(picture.read()) <= picture.size < len(picture.read()) + 200


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_prepared_directory(tmp_path, file_format):
    directory = prepare(tmp_path, file_format=file_format, supervised_keys=("image", "label"))
    listing = tfds.listing(str(directory), offline=True)
    check_usual(listing)
    assert (listing.name, listing.licence) == ("made/1.0.0", "not stated")


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_pictures_are_read_from_several_threads(tmp_path, file_format):
    listing = tfds.listing(prepare(tmp_path, file_format=file_format), offline=True)
    pictures = listing.splits["train"] * 40
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda picture: picture.read(), pictures))
    assert found == [picture.read() for picture in listing.splits["train"]] * 40


@pytest.mark.parametrize("encoding", ["jpeg", "png"])
def test_bytes_are_kept_as_they_were_stored(tmp_path, encoding):
    encode = {"jpeg": tf.io.encode_jpeg, "png": tf.io.encode_png}[encoding]
    stored = [encode(pixels(i)).numpy() + b"tail" for i in range(3)]  # no encoder would add it
    splits = {"train": [{"image": b, "label": 0} for b in stored]}
    (tmp_path / "files").mkdir()
    for i, data in enumerate(stored):
        (tmp_path / "files" / f"{i}").write_bytes(data)
        splits["train"][i]["image"] = str(tmp_path / "files" / f"{i}")

    def features(f):
        image = f.Image(shape=(6, 5, 3), encoding_format=encoding)
        return {"image": image, "label": f.ClassLabel(num_classes=2)}

    listing = tfds.listing(prepare(tmp_path / "tfds", features, splits))
    assert [picture.read() for picture in listing.splits["train"]] == stored
    assert listing.classes == ("0", "1")
    assert [p.filename for p in listing.splits["train"]] == [f"train/{i:06d}" for i in range(3)]


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("encoding", ["none", "bytes", "zlib"])
def test_arrays_become_png(tmp_path, file_format, channels, encoding):
    def features(f):
        shape = (4, 7, channels)
        tensor = f.Tensor(shape=shape, dtype=np.uint8, encoding=encoding)
        return {"pixels": tensor, "kind": f.ClassLabel(names=["a", "b"])}

    arrays = [pixels(i, (4, 7, channels)) for i in range(3)]
    splits = {"train": [{"pixels": a, "kind": 1} for a in arrays]}
    directory = prepare(tmp_path, features, splits, file_format=file_format)
    pictures = tfds.listing(directory).splits["train"]
    assert all(picture.read().startswith(b"\x89PNG") for picture in pictures)
    np.testing.assert_array_equal(decoded(pictures), arrays)
    assert [p.label for p in pictures] == [1, 1, 1]


@pytest.mark.parametrize("key", ["file_name", "filename", "image/filename", "image_id", "id"])
def test_keys(tmp_path, key):
    number = key in ("image_id", "id")

    def features(f):
        kind = f.Scalar(np.int64) if number else f.Text()
        return {**{k: v for k, v in usual_features(f).items() if k != "file_name"}, key: kind}

    def renamed(i):
        value = 10**12 + i if number else f"bild_ä{i}"
        return {"image": pixels(i), "label": 0, key: value}

    listing = tfds.listing(prepare(tmp_path, features, {"train": [renamed(i) for i in range(2)]}))
    expected = ["1000000000000", "1000000000001"] if number else ["bild_ä0", "bild_ä1"]
    assert [p.filename for p in listing.splits["train"]] == expected


def test_keys_that_are_not_unique(tmp_path):
    splits = {"train": [example(1), example(2), example(1)]}
    listing = tfds.listing(prepare(tmp_path, splits=splits))
    assert [p.filename for p in listing.splits["train"]] == [f"train/{i:06d}" for i in range(3)]


def test_supervised_keys_choose_among_several(tmp_path):
    def features(f):
        more = {"crop": f.Image(shape=(6, 5, 3)), "species": f.ClassLabel(names=["x", "y"])}
        return {**usual_features(f), **more}

    splits = {"train": [{**example(i), "crop": pixels(50 + i), "species": 1} for i in range(3)]}
    options = {"name": "with_keys", "supervised_keys": ("crop", "species")}
    listing = tfds.listing(prepare(tmp_path, features, splits, **options))
    assert listing.classes == ("x", "y")
    np.testing.assert_array_equal(
        decoded(listing.splits["train"]), [pixels(50 + i) for i in range(3)]
    )
    without = prepare(tmp_path, features, splits, name="without_keys")
    refused(65, without, "needs one picture of uint8", "crop (Image 6x5x3)", "species (ClassLabel)")


@pytest.mark.parametrize(
    ("feature", "value", "text"),
    [
        (lambda f: f.Image(shape=(6, 5, 4)), pixels(0, (6, 5, 4)), "image (Image 6x5x4)"),
        (
            lambda f: f.Image(shape=(6, 5, 1), dtype=np.uint16),
            np.zeros((6, 5, 1), np.uint16),
            "image (Image 6x5x1)",
        ),
        (
            lambda f: f.Image(shape=(6, 5, 1), dtype=np.float32),
            np.zeros((6, 5, 1), np.float32),
            "image (Image 6x5x1)",
        ),
        (
            lambda f: f.LabeledImage(labels=3, shape=(6, 5, 1)),
            np.zeros((6, 5, 1), np.uint8),
            "image (LabeledImage 6x5x1)",
        ),
        (
            lambda f: f.Tensor(shape=(6, 5, 3), dtype=np.float32),
            np.zeros((6, 5, 3), np.float32),
            "image (Tensor 6x5x3)",
        ),
        (lambda f: f.Text(), "text", "image (Text)"),
    ],
)
def test_what_is_no_picture(tmp_path, feature, value, text):
    def features(f):
        return {**usual_features(f), "image": feature(f)}

    directory = prepare(tmp_path, features, {"train": [{**example(0), "image": value}]})
    refused(65, directory, "needs one picture of uint8 with 1 or 3 channels", text)


def test_without_a_class_label(tmp_path):
    def features(f):
        return {**usual_features(f), "label": f.Scalar(np.int64)}

    refused(65, prepare(tmp_path, features), "and one ClassLabel; has", "label (Scalar)")


def test_split_without_labels_is_left_out(tmp_path):
    splits = {"train": [example(0)], "test": [{**example(i), "label": -1} for i in range(3)]}
    listing = tfds.listing(prepare(tmp_path, splits=splits))
    assert list(listing.splits) == ["train"]
    assert listing.remarks == ("'test' has no labels and is left out",)


def test_one_label_that_is_missing(tmp_path):
    splits = {"train": [example(0), {**example(1), "label": -1}]}
    refused(
        65, prepare(tmp_path, splits=splits), "record 1 of 'train' has the label -1", "3 classes"
    )


def test_licence_is_on_one_line(tmp_path):
    listing = tfds.listing(prepare(tmp_path, license="CC BY 4.0,\n  some university"))
    assert listing.licence == "CC BY 4.0, some university"


def test_names_of_prepared_sets(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    one = {"train": [example(5)]}
    for version in ("1.0.0", "1.9.0", "1.10.0"):
        prepare(tmp_path, version=version)
    prepare(tmp_path, splits=one, name="other", config="small")
    check_usual(tfds.listing("made:1.9.0", offline=True))
    assert tfds.listing("made:1.9.0", offline=True).name == "made/1.9.0"
    assert tfds.listing("made", offline=True).name == "made/1.10.0"  # the newest
    assert tfds.listing("made", offline=False).name == "made/1.10.0"  # found, not made
    assert tfds.listing("other", offline=True).name == "other/small/1.0.0"
    assert tfds.listing("other/small:1.0.0", offline=True).name == "other/small/1.0.0"
    refused(66, "made:2.0.0", "there is no prepared made:2.0.0", tmp_path / "made/2.0.0")
    refused(66, "none", "there is no prepared none", tmp_path / "none")
    prepare(tmp_path, splits=one, name="other", config="large")
    refused(66, "other", "there is more than one: other/large, other/small")


def test_set_that_is_not_there_is_prepared(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    tiny_tfds.builder_class(usual_features, usual_splits(), registered=True, name="made_here")
    refused(66, "made_here", "there is no prepared made_here")
    check_usual(tfds.listing("made_here", offline=False))
    assert (tmp_path / "made_here" / "1.0.0" / "dataset_info.json").is_file()
    assert capsys.readouterr().out == ""
    check_usual(tfds.listing("made_here", offline=True))


def test_set_that_cannot_be_prepared(tmp_path, monkeypatch):
    """# fault S4"""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    failure = ConnectionError("no route to host\nsecond line")
    tiny_tfds.builder_class(usual_features, failure, registered=True, name="far_away")
    refused(66, "far_away", "TFDS cannot prepare it: no route to host |", offline=False)
    refused(
        66, "no_such_set", "TFDS cannot prepare it: Dataset no_such_set not found", offline=False
    )
    refused(66, "no set", "TFDS cannot prepare it: Parsing builder name string", offline=False)


def test_download_that_fails_its_checksum(tmp_path, monkeypatch):
    """# fault S4: what TFDS raises is told, and nothing is there."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    failure = download_manager.NonMatchingChecksumError("Artifact https://a.test/b.zip: wrong")
    tiny_tfds.builder_class(usual_features, failure, registered=True, name="forged")
    refused(66, "forged", "TFDS cannot prepare it: Artifact https://a.test/b.zip", offline=False)
    assert not list(tmp_path.rglob("dataset_info.json"))


@pytest.mark.parametrize("source", ["/none/made/1.0.0", "./none", "~/none/none"])
def test_path_that_is_not_there(source):
    refused(66, source, "no such directory", offline=False)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("data", [None, b"{", b"[]", b"\xff", b'{"name": 3}'])
def test_damaged_description(tmp_path, name, data):
    path = prepare(tmp_path) / name
    path.unlink()
    if data is None:
        refused(66, path.parent, f"there is no {name}", path.parent)
    else:
        path.write_bytes(data)
        refused(65, path.parent, path.parent)


def test_code_of_others_is_not_imported(tmp_path):
    path = prepare(tmp_path) / "features.json"
    fields = json.loads(path.read_bytes())
    fields["featuresDict"]["features"]["file_name"]["pythonClassName"] = "this.Feature"
    path.write_text(json.dumps(fields))
    refused(65, path.parent, "a feature of foreign code, this.Feature", path)
    assert "this" not in sys.modules


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_missing_file_of_records(tmp_path, file_format):
    directory = prepare(tmp_path, file_format=file_format)
    path = next(directory.glob("made-validation*"))
    path.unlink()
    refused(66, directory, "a file of records is missing", path)


def test_cut_file_of_records(tmp_path):
    directory = prepare(tmp_path)
    path = next(directory.glob("made-train*"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    refused(65, directory, "record 6 at byte", path)
    last = len(whole) - len(whole) // 7  # within the last record
    end = next(n for n in range(last, 0, -1) if cut_records(path, whole[:n]) == 6)
    path.write_bytes(whole[:end])
    refused(65, directory, "expected 7 records, found 6", path)


def cut_records(path, data):
    from resnet_tf.input import index

    path.write_bytes(data)
    try:
        return len(index.walk(path))
    except UserError:
        return None


def test_flipped_bit_in_a_record(tmp_path):
    directory = prepare(tmp_path)
    path = next(directory.glob("made-train*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1  # inside the fourth of seven records
    path.write_bytes(data)
    refused(65, directory, "record 3 at byte", "is damaged", path)


def test_damaged_array_record(tmp_path):
    directory = prepare(tmp_path, file_format="array_record")
    path = next(directory.glob("made-train*"))
    path.write_bytes(path.read_bytes()[:-100])
    refused(65, directory, directory)


def test_record_without_a_label(tmp_path):
    directory = prepare(tmp_path)
    path = next(directory.glob("made-train*"))
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(7):
            writer.write(tf.train.Example().SerializeToString())
    refused(65, directory, "the record has no 'label'", "record 0 of 'train'")


def test_other_formats_are_refused(tmp_path, monkeypatch):
    directory = prepare(tmp_path)
    info = json.loads((directory / "dataset_info.json").read_bytes())
    info["fileFormat"] = "riegeli"
    (directory / "dataset_info.json").write_text(json.dumps(info))
    for path in directory.glob("made-*"):
        path.rename(str(path).replace(".tfrecord", ".riegeli"))
    refused(65, directory, "files of the form riegeli are not read; prepare it as tfrecord")


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_offline_opens_no_socket(tmp_path, file_format):
    """Not even while TensorFlow and TFDS are imported."""
    prepare(tmp_path, file_format=file_format)
    program = f"""
        import os, runpy, sys

        opened = []  # to raise would not do: a library may catch it

        def hook(event, arguments):
            if event.startswith("socket."):
                opened.append(event)

        def leave(code, really=os._exit):
            print(opened)
            import socket
            socket.socket().close()
            print(len(opened) > 0, flush=True)
            really(code)

        os._exit = leave  # the last thing that a script does
        sys.addaudithook(hook)
        sys.argv = ["data/prepare.py", "--source=tfds", "--input=made", "--offline",
                    "--output={tmp_path}/out"]
        runpy.run_path("data/prepare.py", run_name="__main__")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        env={"TFDS_DATA_DIR": str(tmp_path), "PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    event, *rest = done.stdout.splitlines()
    assert json.loads(event)["records"] == {"train": 7, "validation": 3}, done.stderr
    assert rest == ["[]", "True"]


def test_legacy_description_of_foreign_code(tmp_path):
    path = tmp_path / "features.json"
    path.write_text('{"type": "tensorflow_datasets.core.features.features_dict.FeaturesDict"}')
    tfds_features.refuse_foreign_code(path)
    path.write_text('{"content": [{"type": "evil.module.Feature"}]}')
    with pytest.raises(UserError, match=r"a feature of foreign code, evil\.module\.Feature"):
        tfds_features.refuse_foreign_code(path)


@pytest.mark.parametrize("version", ["/1.0.0", "**x"])
def test_what_is_no_version(tmp_path, monkeypatch, version):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    refused(66, f"made:{version}", f"there is no prepared made:{version} | ")
