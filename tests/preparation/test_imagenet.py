"""ImageNet in small: four synsets whose official numbers are not in alphabetical order."""

import io
import shutil
import tarfile

import pytest
from preparation.test_matlab import HEADER, number, table, text

from resnet_tf.errors import UserError
from resnet_tf.preparation import imagenet, imagenet_labels

# Official number, synset, pictures in train; nodes above the classes follow, as in the original.
SYNSETS = [(1, "n02119789", 2), (2, "n02012849", 1), (3, "n01440764", 3), (4, "n03126707", 1)]
NODES = [(5, "n00001740")]
GROUND_TRUTH = [3, 1, 1, 4, 2, 3]  # of validation pictures 1 to 6
VALIDATION = ["n01440764", "n02119789", "n02119789", "n03126707", "n02012849", "n01440764"]
SORTED = ["n01440764", "n02012849", "n02119789", "n03126707"]


def picture(name):
    """No picture: sources do not look at what they list."""
    return f"picture {name}".encode() * 3


TRAIN = {s: [f"{s}_{i * 7}.JPEG" for i in range(count)] for _, s, count in SYNSETS}
VAL = [f"ILSVRC2012_val_{i:08d}.JPEG" for i in range(1, 7)]


def tar(files, pack=""):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=f"w:{pack}") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def meta():
    cells = []
    for identity, synset, *_ in SYNSETS + NODES:
        cells += [number(identity), text(synset), text("words of it")]
    return HEADER + table("synsets", ["ILSVRC2012_ID", "WNID", "words"], *cells)


def ground_truth():
    return "".join(f"{n}\n" for n in GROUND_TRUTH).encode()


KIT = "ILSVRC2012_devkit_t12/data"


def devkit():
    files = {
        f"{KIT}/meta.mat": meta(),
        f"{KIT}/ILSVRC2012_validation_ground_truth.txt": ground_truth(),
        "ILSVRC2012_devkit_t12/readme.txt": b"read me",
    }
    return tar(files, "gz")


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def train_tar(root, classes=TRAIN):
    inner = {f"{s}.tar": tar({n: picture(n) for n in names}) for s, names in classes.items()}
    write(root / "ILSVRC2012_img_train.tar", tar(inner))


def train_folders(root):
    for synset, names in TRAIN.items():
        for name in names:
            write(root / "train" / synset / name, picture(name))


def train_class_tars(root):
    for synset, names in TRAIN.items():
        write(root / "train" / f"{synset}.tar", tar({n: picture(n) for n in names}))


def val_tar(root):
    write(root / "ILSVRC2012_img_val.tar", tar({name: picture(name) for name in VAL}))


def val_flat(root):
    for name in VAL:
        write(root / "val" / name, picture(name))


def val_folders(root):
    for name, synset in zip(VAL, VALIDATION):
        write(root / "validation" / synset / name, picture(name))


def as_devkit(root):
    return write(root / "ILSVRC2012_devkit_t12.tar.gz", devkit())


def as_unpacked_devkit(root):
    write(root / KIT / "meta.mat", meta())
    write(root / KIT / "ILSVRC2012_validation_ground_truth.txt", ground_truth())
    return root / "ILSVRC2012_devkit_t12"


def as_ground_truth(root):
    write(root / "meta.mat", meta())
    return write(root / "ILSVRC2012_validation_ground_truth.txt", ground_truth())


def as_synsets(root):
    lines = "".join(f"{synset}\n" for synset in VALIDATION)
    return write(root / "imagenet_2012_validation_synset_labels.txt", lines.encode())


def as_kaggle(root):
    lines = [f"{n[:-5]},{s} 1 2 3 4 {s} 5 6 7 8 " for n, s in zip(VAL, VALIDATION)]
    lines = ["ImageId,PredictionString", *reversed(lines)]  # in no order
    return write(root / "LOC_val_solution.csv", "\n".join(lines).encode())


def official(root):
    train_tar(root)
    val_tar(root)
    as_devkit(root)
    return root


def refused(code, *texts, call=imagenet.listing, **options):
    with pytest.raises(UserError) as caught:
        call(**options)
    assert caught.value.code == code
    for text_ in texts:
        assert str(text_) in str(caught.value)


def pairs(listing, split):
    return [(p.filename, listing.classes[p.label]) for p in listing.splits[split]]


def check_whole(listing):
    assert listing.classes == tuple(SORTED)
    assert [p.label for p in listing.splits["train"]] == [0, 0, 0, 1, 2, 2, 3]
    assert pairs(listing, "train") == [(f"{s}/{n}", s) for s in SORTED for n in sorted(TRAIN[s])]
    assert sorted(pairs(listing, "validation")) == list(zip(VAL, VALIDATION))
    for found in (p for pictures in listing.splits.values() for p in pictures):
        expected = picture(found.filename.split("/")[-1])
        assert (found.read(), found.size) == (expected, len(expected))


@pytest.mark.parametrize("train", [train_tar, train_folders, train_class_tars])
@pytest.mark.parametrize("val", [val_tar, val_flat])
@pytest.mark.parametrize(
    "labels", [as_devkit, as_unpacked_devkit, as_ground_truth, as_synsets, as_kaggle]
)
def test_every_layout(tmp_path, train, val, labels):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    train(root)
    val(root)
    given = labels(elsewhere)
    check_whole(imagenet.listing(root, validation_labels=given))
    labels(root)  # found by its name
    check_whole(imagenet.listing(root))


def test_validation_in_folders_needs_no_labels(tmp_path):
    train_folders(tmp_path)
    val_folders(tmp_path)
    listing = imagenet.listing(tmp_path)
    assert listing.classes == tuple(SORTED)
    expected = sorted((f"{s}/{n}", s) for n, s in zip(VAL, VALIDATION))
    assert sorted(pairs(listing, "validation")) == expected
    labels = as_devkit(tmp_path)
    text_ = "is not for"
    refused(64, "--validation_labels", text_, source=tmp_path, validation_labels=labels)


def test_nothing_is_unpacked(tmp_path):
    official(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    imagenet.listing(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_one_split_is_enough(tmp_path):
    train_tar(tmp_path / "train_only")
    listing = imagenet.listing(tmp_path / "train_only")
    assert {split: len(pictures) for split, pictures in listing.splits.items()} == {"train": 7}
    val_tar(tmp_path / "val_only")
    as_devkit(tmp_path / "val_only")
    listing = imagenet.listing(tmp_path / "val_only")
    assert listing.classes == tuple(SORTED)
    assert {split: len(pictures) for split, pictures in listing.splits.items()} == {"validation": 6}


def test_empty_folder_is_no_split(tmp_path):
    train_folders(tmp_path)
    (tmp_path / "val").mkdir()
    assert list(imagenet.listing(tmp_path).splits) == ["train"]


def test_licence_is_stated(tmp_path):
    assert "non-commercial" in imagenet.listing(official(tmp_path)).licence


def synset_file(tmp_path, *lines):
    return write(tmp_path / "synsets.txt", "\n".join(lines).encode())


@pytest.mark.parametrize(
    "layout", [official, lambda root: (train_folders(root), val_folders(root))]
)
def test_subset_in_the_given_order(tmp_path, layout):
    layout(tmp_path / "root")
    lines = "n03126707\tcrane", "n01440764\ttench, Tinca tinca", "", "n02012849\tcrane"
    listing = imagenet.listing(tmp_path / "root", synsets=synset_file(tmp_path, *lines))
    assert listing.classes == ("crane (n03126707)", "tench, Tinca tinca", "crane (n02012849)")
    assert [p.label for p in listing.splits["train"]] == [0, 1, 1, 1, 2]
    names = [p.filename.split("/")[-1] for p in listing.splits["validation"]]
    assert names == [VAL[3], VAL[0], VAL[5], VAL[4]]
    assert [p.label for p in listing.splits["validation"]] == [0, 1, 1, 2]


@pytest.mark.parametrize("line", ["n02119789", "n02119789\t", "n02119789 "])
def test_synset_without_a_name(tmp_path, line):
    listing = imagenet.listing(official(tmp_path), synsets=synset_file(tmp_path, line))
    assert listing.classes == ("n02119789",)


def test_name_after_a_space(tmp_path):  # as Kaggle's LOC_synset_mapping.txt
    path = synset_file(tmp_path, "n02119789 kit fox, Vulpes macrotis")
    assert imagenet_labels.read_synsets(path) == {"n02119789": "kit fox, Vulpes macrotis"}


def test_synset_that_is_not_there(tmp_path):
    path = synset_file(tmp_path, "n02119789", "n99999999\tunicorn")
    text_ = "train has no pictures of n99999999"
    refused(65, text_, tmp_path, source=official(tmp_path), synsets=path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["n02119789", "fox"], "line 2 is not synset<TAB>name: 'fox'"),
        (["n02119789,fox"], "line 1 is not synset<TAB>name"),
        (["n02119789\ta", "n01440764", "n02119789\tb"], "line 3: n02119789 is there twice"),
        ([""], "there are no synsets"),
    ],
)
def test_file_of_synsets_that_is_none(tmp_path, lines, message):
    path = synset_file(tmp_path, *lines)
    refused(65, message, path, source=official(tmp_path), synsets=path)


def test_file_of_synsets_that_is_missing_or_no_text(tmp_path):
    official(tmp_path)
    path = tmp_path / "none"
    refused(66, "cannot read the file: No such file", path, source=tmp_path, synsets=path)
    path = write(tmp_path / "binary", b"\xff\xfe\x00")
    refused(65, "not a text file in UTF-8", path, source=tmp_path, synsets=path)


def test_labels_that_are_missing(tmp_path):
    train_tar(tmp_path)
    val_tar(tmp_path)
    text_ = "the labels of the validation pictures are missing"
    refused(66, text_, "ILSVRC2012_devkit_t12.tar.gz", source=tmp_path)
    path = tmp_path / "none.txt"
    refused(66, "cannot read the file", path, source=tmp_path, validation_labels=path)


def test_ground_truth_without_its_table(tmp_path):
    path = as_ground_truth(tmp_path)
    (tmp_path / "meta.mat").unlink()
    refused(66, "cannot read the file", "meta.mat", call=imagenet_labels.read, path=path)


@pytest.mark.parametrize("name", ["meta.mat", "ILSVRC2012_validation_ground_truth.txt"])
def test_devkit_that_lacks_a_file(tmp_path, name):
    files = {"meta.mat": meta(), "ILSVRC2012_validation_ground_truth.txt": ground_truth()}
    del files[name]
    path = write(tmp_path / "devkit.tar.gz", tar(files, "gz"))
    refused(65, f"there is no {name} in it", path, call=imagenet_labels.read, path=path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"3\n1\nx\n", "line 3 is the number of no synset: 'x'"),
        (b"3\n6\n", "line 2 is the number of no synset: '6'"),
        (b"n01440764\nfish\n", "line 2 is no synset: 'fish'"),
        (b"ImageId,PredictionString\nwrong,n01440764\n", "line 2 is not ILSVRC2012_val_"),
        (b"\xff\n", "not a text file in UTF-8"),
    ],
)
def test_labels_of_another_form(tmp_path, data, message):
    write(tmp_path / "meta.mat", meta())
    path = write(tmp_path / "labels.txt", data)
    refused(65, message, path, call=imagenet_labels.read, path=path)


def test_table_that_is_damaged(tmp_path):
    path = as_ground_truth(tmp_path)
    write(tmp_path / "meta.mat", b"no table")
    text_ = "its meta.mat cannot be used: not a little-endian MATLAB 5 file"
    refused(65, text_, path, call=imagenet_labels.read, path=path)
    write(tmp_path / "meta.mat", HEADER + table("synsets", ["words"], text("x")))
    refused(65, "its meta.mat cannot be used", path, call=imagenet_labels.read, path=path)


def test_picture_without_a_label(tmp_path):
    root = official(tmp_path)
    as_path = write(tmp_path / "few.txt", b"n01440764\n" * 5)
    text_ = f"there is no label for {VAL[5]}"
    refused(65, text_, "ILSVRC2012_img_val.tar", source=root, validation_labels=as_path)
    (root / "ILSVRC2012_img_val.tar").unlink()
    write(root / "val" / "holiday.JPEG", b"")
    refused(65, "there is no label for holiday.JPEG", root / "val", source=root)


def test_class_that_train_lacks(tmp_path):
    train_tar(tmp_path, {s: names for s, names in TRAIN.items() if s != "n02012849"})
    val_tar(tmp_path)
    as_devkit(tmp_path)
    refused(65, "validation shows n02012849, which train lacks", source=tmp_path)


def test_empty_class(tmp_path):
    train_tar(tmp_path, TRAIN | {"n01440764": []})
    refused(65, "train has no pictures of n01440764", source=tmp_path)


def test_strange_class(tmp_path):
    train_tar(tmp_path, TRAIN | {"cats": ["cat.JPEG"]})
    refused(65, "cats is no synset", "ILSVRC2012_img_train.tar", source=tmp_path)
    shutil.rmtree(tmp_path)
    train_folders(tmp_path)
    write(tmp_path / "train" / "cats" / "cat.JPEG", b"")
    refused(65, "cats is no synset", tmp_path / "train", source=tmp_path)


def test_nothing_of_imagenet(tmp_path):
    refused(66, "no ILSVRC2012_img_train.tar, train", tmp_path, source=tmp_path)
    refused(66, "no ILSVRC2012_img_train.tar, train", source=tmp_path / "none")


def test_cut_class_is_named(tmp_path):
    inner = {f"{s}.tar": tar({n: picture(n) for n in names}) for s, names in TRAIN.items()}
    inner["n02012849.tar"] = inner["n02012849.tar"][:1024]
    path = write(tmp_path / "ILSVRC2012_img_train.tar", tar(inner))
    refused(65, "the archive is cut off at byte 1024", f"{path}: n02012849.tar", source=tmp_path)


def test_cut_archive_is_named(tmp_path):
    path = official(tmp_path) / "ILSVRC2012_img_train.tar"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(65, "claims 10240 bytes, more than the archive has left", path, source=tmp_path)


def test_tars_before_folders(tmp_path):
    official(tmp_path)
    write(tmp_path / "train" / "n01440764" / "half_unpacked.JPEG", b"")
    write(tmp_path / "val" / VAL[0], b"")
    check_whole(imagenet.listing(tmp_path))


def test_tar_of_a_class_before_its_folder(tmp_path):
    train_class_tars(tmp_path)
    val_flat(tmp_path)
    as_devkit(tmp_path)
    write(tmp_path / "train" / "n01440764" / "half_unpacked.JPEG", b"")
    check_whole(imagenet.listing(tmp_path))
