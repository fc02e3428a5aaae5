"""Preparing data: the script, the layouts of folders, the embedded digits."""

import json
import os
import pathlib
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from made_pictures import cmyk_jpeg, turned_jpeg

from resnet_tf.errors import UserError
from resnet_tf.input import Manifest, MemoryReader, headers, records
from resnet_tf.preparation import folder

import tensorflow as tf  # isort: skip

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("RESNET_TF_CACHE", str(tmp_path_factory.mktemp("cache")))


def prepare(*arguments):
    return subprocess.run(
        [sys.executable, str(ROOT / "data" / "prepare.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
    )


def draw(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tf.io.encode_png(np.full((4, 4, 3), value, np.uint8)).numpy())


def draw_classes(root, **counts):
    for name, count in counts.items():
        for i in range(count):
            draw(root / name / f"{i}.png", i)


# ---- the script


def test_class_folders_are_split(tmp_path):
    draw_classes(tmp_path / "photos", **{"10": 10, "2": 5, "b": 20})
    output = tmp_path / "out"
    arguments = ["--source=folder", f"--input={tmp_path / 'photos'}", f"--output={output}"]
    done = prepare(*arguments, "--split_fraction=0.2", "--licence=CC0")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["event"] == "prepared"
    assert result["records"] == {"train": 28, "test": 7}  # 8 + 4 + 16 and 2 + 1 + 4
    manifest = Manifest.load(output)
    assert manifest.classes == ("2", "10", "b")
    assert (manifest.name, manifest.licence) == ("photos", "CC0")
    train, test = (
        MemoryReader(manifest, split, manifest.pictures(4, 4)) for split in ("train", "test")
    )
    assert np.bincount(train.labels.numpy()).tolist() == [4, 8, 16]
    assert np.bincount(test.labels.numpy()).tolist() == [1, 2, 4]
    again = prepare(*arguments, "--split_fraction=0.2")
    assert again.returncode == 73
    line = f"ERROR 73: the output exists | {output} | choose another name"
    assert again.stderr.splitlines() == [line]


def test_split_folders_are_read_as_they_are(tmp_path):
    draw_classes(tmp_path / "set" / "train", cat=3, dog=2)
    draw_classes(tmp_path / "set" / "test", dog=1)
    output = tmp_path / "deep" / "out"
    done = prepare(f"--input={tmp_path / 'set'}", f"--output={output}", "--name=pets")
    assert done.returncode == 0, done.stderr
    manifest = Manifest.load(output)
    assert (manifest.name, manifest.classes) == ("pets", ("cat", "dog"))
    assert manifest.licence == "not stated"
    assert (manifest.records("train"), manifest.records("test")) == (5, 1)
    assert MemoryReader(manifest, "test", manifest.pictures(4, 4)).labels.numpy().tolist() == [1]
    assert (manifest.height, manifest.width, manifest.channels) == (4, 4, 3)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--output={tmp}/out"], 64, "input must be given | --input"),
        (["--input={tmp}"], 64, "output must be given | --output"),
        (["--input={tmp}", "--output={tmp}/out", "--source=cake"], 64, "got 'cake' | --source"),
        (["--input={tmp}", "--output={tmp}/out", "--split_fraction=x"], 64, "split_fraction"),
        (["--input={tmp}", "--output={tmp}/out", "--seed=-1"], 64, "seed must be 0 or more"),
        (["--input={tmp}", "--output={tmp}/a/out"], 64, "output must not lie inside --input"),
        (["--input={tmp}", "--outptu={tmp}/out"], 64, "outptu"),
        (["--input={tmp}/none", "--output={tmp}/out"], 66, "no such folder | {tmp}/none"),
    ],
)
def test_mistake_is_one_line_and_makes_nothing(tmp_path, arguments, code, text):
    done = prepare(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert done.returncode == code
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"ERROR {code}: ")
    assert line.count(" | ") == 2
    assert text.format(tmp=tmp_path) in line
    assert list(tmp_path.iterdir()) == []


def test_bad_picture_is_one_line_and_leaves_nothing(tmp_path):
    draw_classes(tmp_path / "photos", a=3, b=3)
    (tmp_path / "photos" / "b" / "broken.jpg").write_bytes(b"GIF89a")
    done = prepare(
        f"--input={tmp_path / 'photos'}", f"--output={tmp_path / 'out'}", "--split_fraction=0.5"
    )
    assert done.returncode == 65
    (line,) = done.stderr.splitlines()
    assert line.startswith("ERROR 65: the picture is neither JPEG nor PNG | b/broken.jpg | ")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize(
    ("flag", "source", "owner"),
    [
        ("--split_fraction=0.5", "cifar", "folder"),
        ("--labels=coarse", "folder", "cifar"),
        ("--validation_labels=x", "mnist", "imagenet"),
        ("--synsets=x", "tfds", "imagenet"),
        ("--offline", "imagenet", "tfds"),
        ("--nooffline", "imagenet", "tfds"),
        ("--classes=x", "tfds", "tfrecord"),
    ],
)
def test_flag_of_another_source_is_refused(tmp_path, flag, source, owner):
    done = prepare(f"--source={source}", "--input=x", f"--output={tmp_path / 'out'}", flag)
    assert done.returncode == 64
    name = flag.strip("-").partition("=")[0].removeprefix("no")
    line = f"ERROR 64: {name} is for --source={owner}, not for {source} | --{name} | "
    assert done.stderr.startswith(line)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--bad_pictures=maybe"], "bad_pictures must be fail or skip, got 'maybe'"),
        (["--workers=0"], "workers must be 1 or more, got 0"),
        (["--source=cifar", "--labels=best"], "labels must be fine or coarse, got 'best'"),
        (["--max_side=0"], "max_side must be 1 or more, got 0"),
        (["--quality=101"], "quality must be from 1 to 100, got 101"),
    ],
)
def test_flag_out_of_range_is_refused(tmp_path, flags, text):
    draw_classes(tmp_path / "in" / "train", a=1)
    done = prepare(f"--input={tmp_path / 'in'}", f"--output={tmp_path / 'out'}", *flags)
    assert done.returncode == 64
    assert done.stderr.startswith(f"ERROR 64: {text} | ")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_short_help_fits_a_screen():
    done = prepare("--helpshort")
    lines = done.stdout.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    assert "natural order (2 before 10)" in " ".join(done.stdout.split())


# ---- a new user's pictures


def photos(root):
    """Thirty pictures of phones, and what lies about beside them."""
    for name, count in (("cat", 15), ("dog", 11)):
        for i in range(count):
            (root / name).mkdir(parents=True, exist_ok=True)
            encoded = tf.io.encode_jpeg(np.full((16, 12, 3), 9 * i, np.uint8)).numpy()
            (root / name / f"IMG_{i}.jpg").write_bytes(encoded)
    (root / "dog" / "cmyk.jpg").write_bytes(cmyk_jpeg())
    (root / "dog" / "turned.jpg").write_bytes(turned_jpeg())
    (root / "cat" / "IMG_100.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    (root / "dog" / "list.jpg").write_text("milk, bread\n")
    (root / "cat" / "notes.txt").write_text("both are mine")
    (root / "cat" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (root / "dog" / "Thumbs.db").write_bytes(b"\xd0\xcf")
    (root / "cat" / "._IMG_1.jpg").write_bytes(b"\0\5\x16\7")


PASSED_OVER = (
    "passed over: 3 files that are no pictures: cat/.DS_Store, cat/notes.txt, dog/Thumbs.db"
)
BAD = [
    "  cat/IMG_100.HEIC  is neither JPEG nor PNG  it is HEIC: convert it to JPEG",
    "  dog/list.jpg      is neither JPEG nor PNG  it is text: take it away",
]


def test_pictures_of_phones(tmp_path):
    photos(tmp_path / "photos")
    output = tmp_path / "out"
    arguments = [f"--input={tmp_path / 'photos'}", f"--output={output}", "--split_fraction=0.2"]
    done = prepare(*arguments)
    assert (done.returncode, done.stdout) == (65, "")
    assert done.stderr.splitlines() == [
        PASSED_OVER,
        "ERROR 65: 2 of 30 pictures cannot be used | see the list"
        " | mend them, or leave them out with --bad_pictures=skip",
        *BAD,
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]

    done = prepare(*arguments, "--bad_pictures=skip", "--workers=1", "--seed=1")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["classes"], result["skipped"]) == (2, 2)
    assert sum(result["records"].values()) == 28
    lines = done.stderr.splitlines()
    assert lines[:6] == [
        PASSED_OVER,
        "left out: 2 of 30 pictures",
        *BAD,
        "1 picture has four inks (CMYK) and is read as RGB: dog/cmyk.jpg",
        "1 picture is turned by EXIF, which is ignored: dog/turned.jpg",
    ]
    assert lines[-1] == f"to prove every picture: python data/check.py --data_dir={output}"


def test_pictures_are_made_smaller(tmp_path):
    photos(tmp_path / "photos")
    output = tmp_path / "out"
    done = prepare(
        f"--input={tmp_path / 'photos'}", f"--output={output}", "--split_fraction=0.2",
        "--bad_pictures=skip", "--max_side=6", "--quality=80",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    manifest = Manifest.load(output)
    sizes = {
        headers.inspect(encoded).height
        for path in manifest.paths("train")
        for payload in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        for encoded in [records.decode(payload)[0]]
    }
    assert sizes == {6}


def test_records_are_a_source(tmp_path):
    draw_classes(tmp_path / "set" / "train", cat=3, dog=2, emu=1)
    assert prepare(f"--input={tmp_path / 'set'}", f"--output={tmp_path / 'one'}").returncode == 0
    (tmp_path / "kept.txt").write_text("emu\ncat\n")
    done = prepare(
        "--source=tfrecord", f"--input={tmp_path / 'one'}", f"--output={tmp_path / 'two'}",
        f"--classes={tmp_path / 'kept.txt'}", "--name=few", "--licence=CC0",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    manifest = Manifest.load(tmp_path / "two")
    assert (manifest.classes, manifest.records("train")) == (("emu", "cat"), 4)
    assert (manifest.name, manifest.licence) == ("few", "CC0")


def test_interrupted_script_leaves_the_output_unmade(tmp_path):
    draw_classes(tmp_path / "set" / "train", cat=1)

    hanging = tmp_path / "hang.py"
    hanging.write_text(
        "import os, pathlib, runpy, signal, sys, threading\n"
        "came = threading.Event()\n"
        "def interrupt(*_):\n"
        "    came.set()\n"
        "    raise KeyboardInterrupt\n"
        # By hand: in the background of a shell the signal is ignored, and nothing would wait.
        "signal.signal(signal.SIGINT, interrupt)\n"
        "pathlib.Path.read_bytes = lambda _: os.kill(os.getpid(), signal.SIGINT) or came.wait()\n"
        f"sys.argv[0] = {str(ROOT / 'data' / 'prepare.py')!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, hanging, f"--input={tmp_path / 'set'}", f"--output={tmp_path / 'out'}"],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1] == "ERROR 130: interrupted | Ctrl-C | run it again to go on"

    assert not (tmp_path / "out").exists()


# ---- layouts of folders


def scan_refused(source, code, *texts, fraction=None):
    with pytest.raises(UserError) as caught:
        folder.listing(source, fraction=fraction, seed=0)
    assert caught.value.code == code
    for text in texts:
        assert text in str(caught.value)


def files(pictures):
    return [picture.filename for picture in pictures]


def test_classes_and_files_are_in_natural_order(tmp_path):
    draw_classes(tmp_path / "train", **{"10": 1, "2": 1, "1": 1, "class10": 1, "class9": 1})
    for i in (10, 9, 100):
        draw(tmp_path / "train" / "1" / f"img{i}.png")
    listing = folder.listing(tmp_path)
    classes, splits = listing.classes, listing.splits
    assert classes == ("1", "2", "10", "class9", "class10")
    of_first = [picture for picture in splits["train"] if picture.label == 0]
    assert files(of_first) == ["1/0.png", "1/img9.png", "1/img10.png", "1/img100.png"]


def test_order_is_the_same_on_every_disk_where_numbers_are_equal():
    # Else the order of the disk decides which of them comes first.
    assert folder.natural_order(pathlib.Path("a/01")) != folder.natural_order(pathlib.Path("a/1"))


@pytest.mark.parametrize(("name", "split"), [
    ("val", "validation"), ("valid", "validation"), ("validation", "validation"),
])  # fmt: skip
def test_validation_folders(tmp_path, name, split):
    draw_classes(tmp_path / "train", a=2)
    draw_classes(tmp_path / name, a=1)
    splits = folder.listing(tmp_path).splits
    assert {key: len(value) for key, value in splits.items()} == {"train": 2, split: 1}


def test_two_folders_of_one_split_are_refused(tmp_path):
    for name in ("train", "val", "validation"):
        draw_classes(tmp_path / name, a=2)
    scan_refused(tmp_path, 65, "val")


def test_a_folder_beside_the_splits_is_not_passed_over(tmp_path):
    for name in ("train", "test", "holdout"):
        draw_classes(tmp_path / name, a=2)
    scan_refused(tmp_path, 65, "there is holdout")


def test_pictures_know_their_bytes_label_and_name(tmp_path):
    draw_classes(tmp_path / "train", a=1, b=1)
    draw(tmp_path / "train" / "b" / "deeper" / "x.PNG")
    (tmp_path / "train" / "b" / "notes.txt").write_text("no picture")
    splits = folder.listing(tmp_path).splits
    assert files(splits["train"]) == ["a/0.png", "b/0.png", "b/deeper/x.PNG"]
    assert [picture.label for picture in splits["train"]] == [0, 1, 1]
    for picture in splits["train"]:
        data = (tmp_path / "train" / picture.filename).read_bytes()
        assert picture.read() == data
        assert picture.size == len(data)


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "png", "JPG", "JPEG", "PNG"])
def test_endings(tmp_path, ending):
    draw(tmp_path / "train" / "a" / f"x.{ending}")
    assert len(folder.listing(tmp_path).splits["train"]) == 1


@pytest.mark.parametrize("ending", ["heic", "HEIF", "webp", "gif", "bmp", "tiff", "avif"])
def test_pictures_of_other_kinds_are_listed_to_be_looked_at(tmp_path, ending):
    draw_classes(tmp_path / "train", a=1)
    (tmp_path / "train" / "a" / f"x.{ending}").touch()
    listing = folder.listing(tmp_path)
    assert files(listing.splits["train"]) == ["a/0.png", f"a/x.{ending}"]
    assert listing.remarks == ()


def test_other_files_are_passed_over_and_said(tmp_path):
    draw_classes(tmp_path / "train", a=1)
    for name in ("readme.md", "train/index.csv", "train/a/b.txt", "train/a/deep/c.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listing = folder.listing(tmp_path)
    assert files(listing.splits["train"]) == ["a/0.png"]
    names = "readme.md, train/index.csv, train/a/b.txt, train/a/deep/c.json"
    assert listing.remarks == (f"passed over: 4 files that are no pictures: {names}",)


def test_one_file_that_is_passed_over(tmp_path):
    draw_classes(tmp_path / "train", a=1)
    (tmp_path / "train" / "a" / "notes").touch()
    (line,) = folder.listing(tmp_path).remarks
    assert line == "passed over: 1 file that is no picture: train/a/notes"


def test_many_files_that_are_passed_over_are_counted(tmp_path):
    draw_classes(tmp_path / "train", a=1)
    for i in range(1, 9):
        (tmp_path / "train" / "a" / f"{i}.xml").touch()
    (line,) = folder.listing(tmp_path).remarks
    shown = ", ".join(f"train/a/{i}.xml" for i in range(1, 6))
    assert line == f"passed over: 8 files that are no pictures: {shown} and 3 more"


def test_a_class_of_other_pictures_says_what_is_there(tmp_path):
    draw_classes(tmp_path / "train", a=1)
    (tmp_path / "train" / "b").mkdir()
    (tmp_path / "train" / "b" / "IMG_1.HEIC").touch()
    scan_refused(tmp_path, 65, "the class has no .jpg, .jpeg or .png files, but IMG_1.HEIC")


def test_without_a_fraction_it_is_said_what_it_is_for(tmp_path):
    draw_classes(tmp_path, cat=1, dog=1)
    scan_refused(tmp_path, 64, "such as 0.2, as cat, dog are classes and there is no train folder")


def test_pictures_know_when_their_file_was_changed(tmp_path):
    draw_classes(tmp_path / "train", a=1)
    os.utime(tmp_path / "train" / "a" / "0.png", ns=(5, 12345))
    assert folder.listing(tmp_path).splits["train"][0].changed == 12345


@pytest.mark.parametrize("name", [".thumbnails", "__MACOSX", "@eaDir"])
def test_hidden_folders_are_no_classes(tmp_path, name):
    draw_classes(tmp_path / "train", **{"a": 1, name: 1})
    draw(tmp_path / "train" / "a" / name / "x.png")
    assert folder.listing(tmp_path).classes == ("a",)
    assert files(folder.listing(tmp_path).splits["train"]) == ["a/0.png"]


@pytest.mark.parametrize(
    ("count", "fraction", "expected"),
    [(10, 0.2, 2), (10, 0.25, 2), (3, 0.01, 1), (2, 0.5, 1), (9, 0.34, 3), (100, 0.5, 50)],
)
def test_share_of_each_class_is_rounded_and_at_least_one(tmp_path, count, fraction, expected):
    draw_classes(tmp_path, a=count, b=count)
    splits = folder.listing(tmp_path, fraction=fraction).splits
    test = [picture.label for picture in splits["test"]]
    assert [test.count(label) for label in (0, 1)] == [expected] * 2
    everything = files(splits["train"]) + files(splits["test"])
    assert len(everything) == len(set(everything)) == 2 * count


def test_split_depends_on_the_seed_alone(tmp_path):
    draw_classes(tmp_path, a=30, b=30)
    chosen = [
        files(folder.listing(tmp_path, fraction=0.5, seed=seed).splits["test"])
        for seed in (0, 0, 1)
    ]
    assert chosen[0] == chosen[1]
    assert chosen[0] != chosen[2]


def test_missing_folder(tmp_path):
    scan_refused(tmp_path / "none", 66, "no such folder", "none", "give --input")


def test_file_instead_of_a_folder(tmp_path):
    draw(tmp_path / "x.png")
    scan_refused(tmp_path / "x.png", 66, "not a folder")


def test_empty_folder(tmp_path):
    scan_refused(tmp_path, 65, "there are no class folders", fraction=0.5)


def test_pictures_without_class_folders(tmp_path):
    draw(tmp_path / "x.png")
    scan_refused(tmp_path, 65, "there are no class folders", fraction=0.5)


@pytest.mark.parametrize("fraction", [None, 0.0, 1.0, -0.5, 1.5, float("nan")])
def test_fraction_out_of_range(tmp_path, fraction):
    draw_classes(tmp_path, a=4)
    text = "split_fraction must be above 0 and below 1"
    scan_refused(tmp_path, 64, text, fraction=fraction)


def test_fraction_for_a_folder_with_splits(tmp_path):
    draw_classes(tmp_path / "train", a=1)
    draw_classes(tmp_path / "test", a=1)
    text = "split_fraction is not for a folder with test, train"
    scan_refused(tmp_path, 64, text, fraction=0.5)


@pytest.mark.parametrize(("name", "split"), [("test", "test"), ("val", "validation")])
def test_splits_without_train_are_for_evaluation(tmp_path, name, split):
    draw_classes(tmp_path / name, b=1, a=2)
    listing = folder.listing(tmp_path)
    assert listing.classes == ("a", "b")
    assert files(listing.splits[split]) == ["a/0.png", "a/1.png", "b/0.png"]


def test_splits_without_train_share_their_classes(tmp_path):
    draw_classes(tmp_path / "test", c10=1, c2=1)
    draw_classes(tmp_path / "val", c3=1)
    listing = folder.listing(tmp_path)
    assert listing.classes == ("c2", "c3", "c10")
    assert [picture.label for picture in listing.splits["validation"]] == [1]


def test_train_without_classes(tmp_path):
    (tmp_path / "train").mkdir()
    scan_refused(tmp_path, 65, "there are no class folders", str(tmp_path / "train"))


def test_class_that_train_does_not_have(tmp_path):
    draw_classes(tmp_path / "train", a=1)
    draw_classes(tmp_path / "test", a=1, c=1)
    scan_refused(tmp_path, 65, "class 'c' is not in train", str(tmp_path / "test"))


@pytest.mark.parametrize("root", ["train", "."])
def test_class_without_pictures(tmp_path, root):
    draw_classes(tmp_path / root, a=2)
    (tmp_path / root / "b").mkdir()
    (tmp_path / root / "b" / "x.gif").touch()
    text = "the class has no .jpg, .jpeg or .png files"
    fraction = None if root == "train" else 0.5
    scan_refused(tmp_path, 65, text, str(tmp_path / root / "b"), fraction=fraction)


def test_split_without_pictures(tmp_path):
    draw_classes(tmp_path / "train", a=2)
    (tmp_path / "test").mkdir()
    scan_refused(tmp_path, 65, "there are no pictures", str(tmp_path / "test"))


@pytest.mark.parametrize(("count", "fraction"), [(1, 0.5), (2, 0.9), (3, 0.99)])
def test_class_too_small_to_split(tmp_path, count, fraction):
    draw_classes(tmp_path, a=count)
    text = "the class has too few pictures to split"
    scan_refused(tmp_path, 65, f"{text}: {count} | a | ", fraction=fraction)


def test_links_and_pipes_are_passed_over_by_name(tmp_path):
    draw_classes(tmp_path / "in", a=3)
    draw(tmp_path / "elsewhere" / "0.png")
    (tmp_path / "in" / "a" / "good.png").symlink_to(tmp_path / "elsewhere" / "0.png")
    (tmp_path / "in" / "a" / "gone.png").symlink_to("nothing")
    (tmp_path / "in" / "a" / "round.png").symlink_to("round.png")
    (tmp_path / "in" / "a" / "up").symlink_to("..")
    os.mkfifo(tmp_path / "in" / "a" / "pipe.png")
    (tmp_path / "in" / "b").symlink_to("nothing")
    found = folder.listing(tmp_path / "in", fraction=0.5)
    assert found.classes == ("a",)
    names = [p.filename for pictures in found.splits.values() for p in pictures]
    assert sorted(names) == ["a/0.png", "a/1.png", "a/2.png", "a/good.png"]
    assert found.remarks == (
        "passed over: 5 files that are no pictures: b, a/gone.png, a/pipe.png, a/round.png, a/up",
    )


def test_a_folder_that_cannot_be_read_is_not_passed_over(tmp_path, monkeypatch):
    draw_classes(tmp_path, a=2)
    (tmp_path / "a" / "deep").mkdir()
    scan = os.scandir

    def scandir(path):  # permissions would not keep root out
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    what, where = "cannot read the folder: Permission denied", str(tmp_path / "a" / "deep")
    scan_refused(tmp_path, 66, what, where, fraction=0.5)


# ---- the embedded digits


@pytest.fixture(scope="module")
def embedded():
    manifest = Manifest.load(ROOT / "data" / "digits")
    pictures = manifest.pictures(8, 8)
    return manifest, {split: MemoryReader(manifest, split, pictures) for split in manifest.splits}


def test_digits_hold_1437_and_360_pictures(embedded):
    manifest, readers = embedded
    assert {split: reader.images.shape for split, reader in readers.items()} == {
        "train": (1437, 8, 8, 1),
        "test": (360, 8, 8, 1),
    }
    assert manifest.classes == tuple("0123456789")
    assert (manifest.height, manifest.width, manifest.channels) == (8, 8, 1)
    assert "CC BY 4.0" in manifest.licence


def test_test_digits_are_the_same_share_of_each_class(embedded):
    counts = {
        split: np.bincount(reader.labels.numpy(), minlength=10)
        for split, reader in embedded[1].items()
    }
    whole = counts["train"] + counts["test"]
    # The published number of each digit.
    assert whole.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.all(np.abs(counts["test"] - whole * 360 / 1797) < 1)


def test_mean_and_deviation_of_the_digits(embedded):
    manifest, readers = embedded
    pixels = readers["train"].images.numpy().astype(np.float64)
    assert manifest.mean == pytest.approx((pixels.mean(),), abs=5.1e-5)
    assert manifest.std == pytest.approx((pixels.std(),), abs=5.1e-5)


def test_digits_are_those_of_scikit_learn(embedded):
    datasets = pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits()
    expected = np.rint(digits.images * 255 / 16).astype(np.uint8).reshape(-1, 64)
    expected = np.concatenate([expected, digits.target[:, None].astype(np.uint8)], axis=1)
    found = np.concatenate(
        [
            np.concatenate([r.images.numpy().reshape(-1, 64), r.labels.numpy()[:, None]], axis=1)
            for r in embedded[1].values()
        ]
    ).astype(np.uint8)
    # Rows in one order, as both hold each picture once.
    np.testing.assert_array_equal(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)])


# ---- a real data set, where there is one


@pytest.mark.slow
def test_cifar10(tmp_path):
    archive = pathlib.Path(os.environ.get("RESNET_TF_DATASETS", "none")) / "cifar10_jpeg.zip"
    if not archive.is_file():
        pytest.skip("RESNET_TF_DATASETS names no folder with cifar10_jpeg.zip")
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path)
    done = prepare(f"--input={tmp_path / 'cifar10_jpeg'}", f"--output={tmp_path / 'cifar10'}")
    assert done.returncode == 0, done.stderr
    manifest = Manifest.load(tmp_path / "cifar10")
    assert (manifest.records("train"), manifest.records("test")) == (50_000, 10_000)
    assert len(manifest.classes) == 10
    assert (manifest.height, manifest.width, manifest.channels) == (32, 32, 3)
    assert json.loads(done.stdout)["skipped"] == 0
    assert "over all 50,000 pictures" in done.stderr
    assert manifest.mean == pytest.approx((125.27, 122.93, 113.86), abs=0.01)
    assert manifest.std == pytest.approx((62.53, 61.91, 66.46), abs=0.01)
