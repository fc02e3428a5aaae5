"""Pictures in class folders, as splits of `Picture`s."""

import os
import pathlib
import re

import numpy as np

from resnet_tf import errors
from resnet_tf.errors import UserError, bad_flag
from resnet_tf.preparation.examination import some
from resnet_tf.preparation.picture import Listing, Picture

_SPLITS = {"train": "train", "test": "test", "val": "validation", "valid": "validation",
           "validation": "validation"}  # fmt: skip
_ENDINGS = {".jpg", ".jpeg", ".png"}
# Listed as well, so that they are refused by name, or taken where they are JPEGs in truth.
_OTHER_PICTURES = {".jpe", ".jfif", ".heic", ".heif", ".avif", ".webp", ".gif", ".bmp", ".tif",
                   ".tiff", ".jxl", ".jp2"}  # fmt: skip
_NO_CLASSES = {"__MACOSX", "@eaDir"}  # what archives and file servers leave


def listing(source: pathlib.Path, *, fraction: float | None = None, seed: int = 0) -> Listing:
    """Class names, and the pictures of each split.

    Args:
      source: holds split folders with class folders, or class folders.
      fraction: of each class to set apart as "test", at least one picture; only for class
        folders.
      seed: of the choice.

    Raises:
      UserError: 66 where there is no such folder, 65 where it holds no classes, a class of a
        split is not in "train", or a class is empty; 64 for a fraction that does not fit.
    """
    if not source.is_dir():
        what = "not a folder" if source.exists() else "no such folder"
        raise UserError(errors.MISSING_INPUT, what, source, "give --input a folder of pictures")
    roots = _split_folders(source)
    passed_over = _files_in(source)
    if roots:
        if fraction is not None:
            raise bad_flag("split_fraction", f"is not for a folder with {', '.join(roots)}")
        classes, splits = _read_splits(roots, passed_over)
    else:
        classes, splits = _set_apart(source, fraction, seed, passed_over)
    return Listing(
        source.resolve().name,
        "not stated",
        tuple(classes),
        splits,
        _remarks(passed_over),
        {split: folder.name for split, folder in roots.items()},
    )


def _split_folders(source: pathlib.Path) -> dict[str, pathlib.Path]:
    """Folders by split; none where the source holds class folders."""
    folders = [d for d in _folders(source) if d.name in _SPLITS]
    splits = {_SPLITS[d.name]: d for d in folders}
    if len(splits) < len(folders):
        raise _bad(source, f"one split has two folders: {', '.join(d.name for d in folders)}")
    strange = [d.name for d in _folders(source) if d.name not in _SPLITS]
    if splits and strange:
        raise _bad(source, f"beside {', '.join(splits)} there is {', '.join(strange[:3])}")
    return splits


def _set_apart(source, fraction, seed, passed_over):
    """Classes and splits of class folders, of which a fraction becomes "test"."""
    classes = [folder.name for folder in _folders(source)]
    if fraction is None and classes:
        why = f"such as 0.2, as {some(classes)} are classes and there is no train folder"
        raise bad_flag("split_fraction", f"must be above 0 and below 1, {why}")
    if fraction is not None and not 0 < fraction < 1:
        raise bad_flag("split_fraction", "must be above 0 and below 1", fraction)
    pictures = _read_classes(source, source, classes, passed_over)
    test = _choose(pictures, fraction, seed)
    return classes, {
        "train": [p for i, p in enumerate(pictures) if i not in test],
        "test": [p for i, p in enumerate(pictures) if i in test],
    }


def _read_splits(splits: dict[str, pathlib.Path], passed_over: list[str]):
    if "train" in splits:
        classes = [folder.name for folder in _folders(splits["train"])]
    else:  # for evaluation only
        found = {folder.name for root in splits.values() for folder in _folders(root)}
        classes = [path.name for path in sorted(map(pathlib.Path, found), key=natural_order)]
    for folder in splits.values():
        strange = [f.name for f in _folders(folder) if f.name not in classes]
        if strange:
            raise _bad(folder, f"class {strange[0]!r} is not in train")
        passed_over += [f"{folder.name}/{name}" for name in _files_in(folder)]
    return classes, {
        split: _read_classes(
            folder, folder.parent, classes, passed_over, split != "train" and len(splits) > 1
        )
        for split, folder in splits.items()
    }


def _read_classes(
    root: pathlib.Path,
    source: pathlib.Path,
    classes: list[str],
    passed_over: list[str],
    may_lack: bool = False,
) -> list[Picture]:
    if not classes:
        raise _bad(root, "there are no class folders")
    pictures = []
    for label, name in enumerate(classes):
        found, others, odd = [], [], []
        for path in _files_below(root / name, odd):
            known = _ending(path) in _ENDINGS | _OTHER_PICTURES
            (found if known else others).append(path)
        if not may_lack and not any(_ending(path) in _ENDINGS for path in found):
            there = some([os.path.basename(path) for path in found + others + odd])
            raise _bad(
                root / name,
                "the class has no .jpg, .jpeg or .png files" + (f", but {there}" if there else ""),
            )
        passed_over += [os.path.relpath(path, source) for path in others + sorted(odd)]
        pictures += [_picture(path, root, label) for path in found]
    if not pictures:
        raise _bad(root, "there are no pictures")
    return pictures


def _picture(path: str, root: pathlib.Path, label: int) -> Picture:
    status = os.stat(path)
    return Picture(
        pathlib.Path(path).read_bytes,
        status.st_size,
        label,
        os.path.relpath(path, root),
        status.st_mtime_ns,
    )


def _files_below(folder: pathlib.Path, passed_over: list[str]) -> list[str]:
    """Regular files at any depth, but for hidden ones, in natural order.

    Links to folders, which may lead round in a circle, links to nothing and what is no regular
    file, which may never end, are added to `passed_over`.
    """
    found = []
    for place, folders, names in os.walk(folder, onerror=_refuse_unreadable):
        folders[:] = [name for name in folders if _is_visible(name)]
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        names = [name for name in names if not name.startswith("._")]
        found += [os.path.join(place, name) for name in names + links]
    passed_over += [path for path in found if not os.path.isfile(path)]
    return sorted(filter(os.path.isfile, found), key=natural_order)


def _refuse_unreadable(error: OSError) -> None:
    if isinstance(error, FileNotFoundError):  # a split may lack a class
        return
    raise UserError(
        errors.MISSING_INPUT,
        f"cannot read the folder: {error.strerror}",
        error.filename,
        "see that it can be read",
    ) from error


def _files_in(folder: pathlib.Path) -> list[str]:
    """Names of what lies beside the folders, where no class is."""
    return sorted(path.name for path in folder.iterdir() if not path.is_dir())


def _ending(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _remarks(passed_over: list[str]) -> tuple[str, ...]:
    if not passed_over:
        return ()
    number = len(passed_over)
    files = "1 file that is no picture" if number == 1 else f"{number:,} files that are no pictures"
    return (f"passed over: {files}: {some(passed_over)}",)


def _choose(pictures: list[Picture], fraction: float, seed: int) -> set[int]:
    """Numbers of the pictures set apart: of each class the fraction, rounded, at least one."""
    labels = np.array([picture.label for picture in pictures])
    chosen = set()
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        number = max(1, round(fraction * len(members)))
        if number == len(members):
            name = pathlib.PurePath(pictures[members[0]].filename).parts[0]
            raise _bad(name, f"the class has too few pictures to split: {number}")
        chosen.update(np.random.default_rng([seed, label]).permutation(members)[:number].tolist())
    return chosen


def _folders(root: pathlib.Path) -> list[pathlib.Path]:
    found = (path for path in root.iterdir() if path.is_dir() and _is_visible(path.name))
    return sorted(found, key=natural_order)


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name not in _NO_CLASSES


def natural_order(path: str | os.PathLike) -> list:
    """Numbers inside a name compare as numbers: 2 before 10."""
    parts = re.split(r"(\d+)", str(path))
    numbered = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
    return [*numbered, (1, 0, str(path))]  # 1 and 01 are equal numbers


def _bad(where: object, what: str) -> UserError:
    return UserError(errors.BAD_DATA, what, where, "see --helpshort for the layouts that are read")
