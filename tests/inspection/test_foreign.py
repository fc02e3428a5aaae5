"""Sets made elsewhere become data sets in place: names, fields, labels, class names."""

import importlib.resources
import importlib.resources.abc
import json
import sys

import numpy as np
import pytest
from record_files import example, jpeg, png, write_shard

from resnet_tf import inspection
from resnet_tf.errors import UserError
from resnet_tf.input import Manifest, MemoryReader
from resnet_tf.input.manifest import Features
from resnet_tf.inspection import foreign, layout, writing


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("RESNET_TF_CACHE", str(tmp_path_factory.mktemp("cache")))


def check(directory, **options):
    return inspection.check(directory, inspection.Options(anew=True, **options))


def made(directory, **options):
    """The manifest that is written, and the training split as training reads it."""
    manifest = writing.write(check(directory, **options))
    reader = MemoryReader(manifest, "train", manifest.pictures(8, 8))
    return manifest, reader


@pytest.mark.parametrize(
    ("file", "split"),
    [
        ("train-00000-of-01024", "train"),
        ("validation-00127-of-00128", "validation"),
        ("train-00000-of-00008.tfrecord", "train"),
        ("mnist-train.tfrecord-00000-of-00001", "train"),
        ("my-flowers-test.tfrecord-00003-of-00004", "test"),
        ("train-0.tfrecord", "train"),
        ("train-dogs", "train"),
        ("validation-a.tfrecords", "validation"),
        ("flowers_train.tfrecord", "train"),
        ("flowers-val-00000-of-00002", "val"),
        ("flowers.tfrecord", "flowers"),
        ("train.tfrecord.gz", "train"),
        ("trainer.txt", None),
        ("train-notes.txt", None),
        ("dataset.json", None),
        (".train-00000-of-00001", None),
        ("label.labels.txt", None),
        ("picture.jpg", None),
    ],
)
def test_split_by_a_file_s_name(file, split):
    assert foreign.split_of(file) == split


def imagenet_record(seed, label, text=b"", synset=b""):
    fields = {"image__encoded": jpeg(seed), "image__class__label": label}
    fields |= {"image__filename": b"n0_%d.JPEG" % seed}
    if text:
        fields |= {"image__class__text": text, "image__class__synset": synset}
    return example(**fields)


def test_imagenet_as_model_garden_makes_it(tmp_path):
    names = [(b"tench", b"n01"), (b"crane", b"n02"), (b"crane", b"n03")]
    for split, total, first in (("train", 3, 0), ("validation", 2, 50)):
        for i in range(total):
            payloads = [
                imagenet_record(first + 10 * i + k, k % 3 + 1, *names[k % 3]) for k in range(6)
            ]
            write_shard(tmp_path / f"{split}-{i:05d}-of-{total:05d}", payloads)
    report = inspection.check(tmp_path)
    assert list(report.findings.counts) == ["no-manifest"]
    assert report.classes.offset_from == "labels run from 1 to 3"
    manifest, reader = made(tmp_path)
    assert (manifest.label_offset, manifest.features) == (1, Features())
    assert manifest.classes == ("tench", "crane (n02)", "crane (n03)")
    assert (manifest.records("train"), manifest.records("validation")) == (18, 12)
    assert np.bincount(reader.labels.numpy()).tolist() == [6, 6, 6]
    assert (manifest.height, manifest.width, manifest.channels) == (16, 12, 3)
    assert inspection.check(tmp_path).findings.counts == {}


def test_twenty_classes_named_by_a_file(tmp_path):
    for split, first in (("train", 0), ("validation", 100)):
        payloads = [imagenet_record(first + k, k % 20) for k in range(40)]
        write_shard(tmp_path / f"{split}-a", payloads)
    names = tmp_path / "names.txt"
    names.write_text("".join(f"n{k:08d}\tclass {k}\n" for k in range(20)))
    manifest, reader = made(tmp_path, classes=inspection.read_class_names(str(names)))
    assert manifest.label_offset == 0
    assert manifest.classes == tuple(f"class {k}" for k in range(20))
    assert np.bincount(reader.labels.numpy()).tolist() == [2] * 20


@pytest.mark.parametrize(
    ("labels", "classes", "given", "offset", "number"),
    [
        ([0, 1, 2], (), None, 0, 3),
        ([1, 2, 3], (), None, 1, 3),
        ([1, 2, 3], ("a", "b", "c"), None, 1, 3),
        ([1, 2, 3], ("none", "a", "b", "c"), None, 0, 4),
        ([1, 2], ("a", "b", "c"), None, 0, 3),
        ([2, 3], (), None, 0, 4),
        ([2, 3], (), 2, 2, 2),
        ([5, 6, 7], ("a", "b", "c"), 5, 5, 3),
        ([-1, 0], (), -1, -1, 2),
    ],
)
def test_where_labels_start(tmp_path, labels, classes, given, offset, number):
    payloads = [imagenet_record(k, label) for k, label in enumerate(labels * 2)]
    write_shard(tmp_path / "train-00000-of-00001", payloads)
    report = check(tmp_path, classes=classes, label_offset=given)
    assert (report.classes.offset, len(report.classes.names)) == (offset, number)
    assert report.errors == 0
    if not classes:
        assert report.classes.names == tuple(str(k) for k in range(number))
        assert report.classes.names_from == "nothing names them, so they are numbers"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"image": png(), "label": 0}, Features("image", "label", "image/filename")),
        ({"image_raw": png(), "label": 0, "id": b"x"}, Features("image_raw", "label", "id")),
        ({"photo": png(), "the_label": 0}, Features("photo", "the_label", "image/filename")),
        ({"depth": 3, "image": jpeg(), "fine_label": 1, "label": 2, "file_name": b"f"},
         Features("image", "label", "file_name")),
        ({"image": b"GIF89a", "label": 0}, None),
        ({"image": png()}, None),
    ],
)  # fmt: skip
def test_fields_by_what_they_hold(fields, expected):
    from resnet_tf.inspection import records

    assert records.features_of(example(**fields)) == expected
    assert records.features_of(b"\xff\xff") is None


def tfds_set(
    directory, fields=("image", "label", "file_name"), names=("zero", "one", "two"), **info
):
    image, label, key = fields
    prefix = "tensorflow_datasets.core.features"
    kinds = {image: "image_feature.Image", label: "class_label_feature.ClassLabel",
             key: "text_feature.Text"}  # fmt: skip
    features = {name: {"pythonClassName": f"{prefix}.{kind}"} for name, kind in kinds.items()}
    features[label]["classLabel"] = {"numClasses": "3"}
    (directory / "features.json").write_text(
        json.dumps(
            {
                "pythonClassName": f"{prefix}.features_dict.FeaturesDict",
                "featuresDict": {"features": features},
            }
        )
    )
    splits = [
        {"name": "train", "shardLengths": ["4", "5"]},
        {"name": "test", "shardLengths": ["3"]},
    ]
    (directory / "dataset_info.json").write_text(
        json.dumps(
            {"name": "tiny", "splits": splits, "redistributionInfo": {"license": "CC0"}} | info
        )
    )
    if names:
        (directory / f"{label}.labels.txt").write_text("\n".join(names))
    counts = {"tiny-train.tfrecord-00000-of-00002": 4, "tiny-train.tfrecord-00001-of-00002": 5,
              "tiny-test.tfrecord-00000-of-00001": 3}  # fmt: skip
    seed = 0
    for file, count in counts.items():
        payloads = []
        for k in range(count):
            values = {image: png(seed, 28, 28, 1), label: k % 3, key: b"%d.png" % seed}
            payloads.append(example(**values))
            seed += 1
        write_shard(directory / file, payloads)


@pytest.mark.parametrize("fields", [("image", "label", "file_name"), ("photo", "kind", "name")])
def test_tfds_as_it_lies(tmp_path, fields):
    tfds_set(tmp_path, fields)
    manifest, reader = made(tmp_path)
    assert (manifest.name, manifest.licence) == ("tiny", "CC0")
    assert manifest.classes == ("zero", "one", "two")
    assert manifest.features == Features(*fields)
    assert (manifest.records("train"), manifest.records("test")) == (9, 3)
    assert (manifest.height, manifest.width, manifest.channels) == (28, 28, 1)
    assert reader.labels.numpy().tolist() == [0, 1, 2, 0, 0, 1, 2, 0, 1]


def test_tfds_without_names_counts_the_classes(tmp_path):
    tfds_set(tmp_path, names=())
    report = check(tmp_path)
    assert report.classes.names == ("0", "1", "2")
    assert report.classes.names_from == "features.json, which only counts them"


def test_tfds_count_is_held_against_the_shard(tmp_path):
    tfds_set(tmp_path)
    write_shard(tmp_path / "tiny-test.tfrecord-00000-of-00001", [])
    report = check(tmp_path)
    assert report.findings.counts["empty-shard"] == 1
    write_shard(tmp_path / "tiny-test.tfrecord-00000-of-00001", [example(image=png(77), label=0)])
    (finding,) = check(tmp_path).findings.kept["record-count"]
    assert finding.what == "expected 3 records, found 1"


def test_tfds_itself_writes_what_is_read(tmp_path, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")
    # TFDS asks for this backport of the standard library's module without depending on it.
    monkeypatch.setitem(sys.modules, "importlib_resources", importlib.resources)
    import tensorflow as tf

    pixels = np.random.default_rng(0).integers(0, 256, (12, 5, 4, 3)).astype(np.uint8)

    def dataset(start, stop):
        fields = {"image": pixels[start:stop], "label": np.arange(start, stop) % 2}
        return tf.data.Dataset.from_tensor_slices(fields)

    tfds.dataset_builders.store_as_tfds_dataset(
        name="own_set",
        version="1.0.0",
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(5, 4, 3)),
                "label": tfds.features.ClassLabel(names=["no", "yes"]),
            }
        ),
        split_datasets={"train": dataset(0, 8), "test": dataset(8, 12)},
        data_dir=tmp_path,
    )
    (directory,) = tmp_path.glob("own_set/*")
    manifest = writing.write(check(directory))
    assert (manifest.name, manifest.classes) == ("own_set", ("no", "yes"))
    reader = MemoryReader(manifest, "train", manifest.pictures(5, 4))
    # TFDS shuffles: the same pictures, in its own order.
    assert sorted(p.tobytes() for p in reader.images.numpy()) == sorted(
        p.tobytes() for p in pixels[:8]
    )
    assert manifest.mean == pytest.approx(pixels[:8].mean(axis=(0, 1, 2)), abs=1e-3)


# ---- refused


def refused(directory, code, *texts, **options):
    with pytest.raises(UserError) as caught:
        writing.write(check(directory, **options))
    assert caught.value.code == code
    for text in texts:
        assert text in str(caught.value)


def test_directory_without_shards(tmp_path):
    (tmp_path / "readme.md").write_text("nothing here")
    refused(tmp_path, 66, "neither dataset.json nor anything named like a shard")
    refused(tmp_path / "none", 66, "does not exist")
    refused(tmp_path / "readme.md", 66, "not a directory")


@pytest.mark.parametrize("place", ["1.0.0", "tiny/1.0.0", "tiny/plain/1.0.0"])
def test_directory_above_a_data_set(tmp_path, place):
    directory = tmp_path / place
    directory.mkdir(parents=True)
    tfds_set(directory)
    refused(tmp_path, 66, f"did you mean --data_dir={directory}?")


def test_array_record_is_refused_with_a_hint(tmp_path):
    (tmp_path / "tiny-train.array_record-00000-of-00001").write_bytes(b"x")
    refused(tmp_path, 65, "stored as array_record; read is tfrecord", "file_format=tfrecord")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "features.json cannot be used"),
        ("[]", "features.json cannot be used"),
        ('{"featuresDict": {"features": {}}}', "no Image or no ClassLabel"),
        ("[" * 100_000, "features.json cannot be used"),
        (
            '{"featuresDict": {"features": {"image": {"pythonClassName": "Image"}, "label":'
            ' {"pythonClassName": "ClassLabel", "classLabel": {"numClasses": 1e999}}}}}',
            "features.json cannot be used",
        ),
    ],
)
def test_malformed_papers(tmp_path, text, message):
    tfds_set(tmp_path)
    (tmp_path / "features.json").write_text(text)
    refused(tmp_path, 65, message)


def test_class_names_of_tfds_that_are_not_utf8(tmp_path):
    tfds_set(tmp_path)
    (tmp_path / "label.labels.txt").write_bytes(b"\xff\n")
    refused(tmp_path, 65, "the class names are not UTF-8")


def test_nothing_is_written_where_there_are_errors(tmp_path):
    payloads = [imagenet_record(0, 0), example(image__encoded=b"GIF89a", image__class__label=1)]
    write_shard(tmp_path / "train-00000-of-00001", payloads)
    refused(tmp_path, 65, "1 error found, so no dataset.json was written")
    write_shard(tmp_path / "train-00000-of-00001", payloads[:1])
    refused(tmp_path, 64, "no picture was decoded", decode=False)
    assert not (tmp_path / "dataset.json").exists()


def test_shard_that_the_others_imply(tmp_path):
    for i in (0, 2):
        write_shard(tmp_path / f"train-{i:05d}-of-00003", [imagenet_record(i, 0)])
    report = check(tmp_path)
    (finding,) = report.findings.kept["missing-shard"]
    assert finding.file == "train-00001-of-00003"
    refused(tmp_path, 65, "1 error found")


def test_another_manifest_is_never_overwritten(tmp_path):
    write_shard(tmp_path / "train-00000-of-00001", [imagenet_record(i, i % 2) for i in range(4)])
    first = writing.write(check(tmp_path))
    before = (tmp_path / "dataset.json").stat()
    assert writing.write(check(tmp_path)) == first
    assert (tmp_path / "dataset.json").stat().st_mtime_ns == before.st_mtime_ns
    refused(tmp_path, 73, "there is one already, and it says otherwise", classes=("a", "b"))
    assert Manifest.load(tmp_path) == first


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a\nb\n", ("a", "b")),
        ("n01\ttench\r\nn02\tgoldfish\n\n", ("tench", "goldfish")),
        ("n01\tcrane\nn02\tcrane\n", ("crane (n01)", "crane (n02)")),
        ("x\nx\ny\n", ("x (0)", "x (1)", "y")),
        ("x\nx\nx (0)\n", ("x (0) (0)", "x (1)", "x (0) (2)")),
    ],
)
def test_class_names_of_a_file(tmp_path, content, expected):
    (tmp_path / "names").write_text(content)
    assert layout.read_class_names(str(tmp_path / "names")) == expected


@pytest.mark.parametrize(
    ("content", "code", "text"),
    [(None, 66, "cannot read"), (b"\n \n", 65, "holds no names"), (b"\xff\xfe", 65, "not UTF-8")],
)
def test_class_names_refused(tmp_path, content, code, text):
    if content is not None:
        (tmp_path / "names").write_bytes(content)
    with pytest.raises(UserError, match=text) as caught:
        layout.read_class_names(str(tmp_path / "names"))
    assert caught.value.code == code
