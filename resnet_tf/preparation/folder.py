"""Pictures in class folders, as splits of `Picture`s."""

import pathlib
import re

import numpy as np

from resnet_tf import errors
from resnet_tf.config import bad_flag
from resnet_tf.errors import UserError
from resnet_tf.preparation.picture import Picture

_SPLITS = {"train": "train", "test": "test", "val": "validation", "valid": "validation",
           "validation": "validation"}  # fmt: skip
_ENDINGS = {".jpg", ".jpeg", ".png"}


def scan(
    source: pathlib.Path, fraction: float | None, seed: int
) -> tuple[list[str], dict[str, list[Picture]]]:
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
        raise UserError(errors.MISSING_INPUT, "no such folder", source, "give --input")
    folders = [d for d in _folders(source) if d.name in _SPLITS]
    splits = {_SPLITS[d.name]: d for d in folders}
    if len(splits) < len(folders):
        raise _bad(source, f"one split has two folders: {', '.join(d.name for d in folders)}")
    strange = [d.name for d in _folders(source) if d.name not in _SPLITS]
    if splits and strange:
        raise _bad(source, f"beside {', '.join(splits)} there is {', '.join(strange[:3])}")
    if splits:
        if fraction is not None:
            raise bad_flag("split_fraction", f"is not for a folder with {', '.join(splits)}")
        return _read_splits(source, splits)
    if fraction is None or not 0 < fraction < 1:
        raise bad_flag("split_fraction", "must be above 0 and below 1", fraction)
    classes = [folder.name for folder in _folders(source)]
    pictures = _read_classes(source, classes)
    test = _choose(pictures, fraction, seed)
    return classes, {
        "train": [p for i, p in enumerate(pictures) if i not in test],
        "test": [p for i, p in enumerate(pictures) if i in test],
    }


def _read_splits(source: pathlib.Path, splits: dict[str, pathlib.Path]):
    if "train" not in splits:
        raise _bad(source, f"there is {', '.join(splits)} but no train folder")
    classes = [folder.name for folder in _folders(splits["train"])]
    for folder in splits.values():
        strange = [f.name for f in _folders(folder) if f.name not in classes]
        if strange:
            raise _bad(folder, f"class {strange[0]!r} is not in train")
    return classes, {
        split: _read_classes(folder, classes, may_lack=split != "train")
        for split, folder in splits.items()
    }


def _read_classes(root: pathlib.Path, classes: list[str], may_lack: bool = False) -> list[Picture]:
    if not classes:
        raise _bad(root, "there are no class folders")
    pictures = []
    for label, name in enumerate(classes):
        found = [
            path
            for path in sorted((root / name).rglob("*"), key=_natural)
            if path.suffix.lower() in _ENDINGS and path.is_file()
        ]
        if not found and not may_lack:
            raise _bad(root / name, "the class has no .jpg, .jpeg or .png files")
        pictures += [
            Picture(path.read_bytes, path.stat().st_size, label, str(path.relative_to(root)))
            for path in found
        ]
    if not pictures:
        raise _bad(root, "there are no pictures")
    return pictures


def _choose(pictures: list[Picture], fraction: float, seed: int) -> set[int]:
    """Numbers of the pictures set apart: of each class the fraction, rounded, at least one."""
    labels = np.array([picture.label for picture in pictures])
    chosen = set()
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        number = max(1, round(fraction * len(members)))
        if number == len(members):
            raise _bad(pictures[members[0]].filename, "the class has too few pictures to split")
        chosen.update(np.random.default_rng([seed, label]).permutation(members)[:number].tolist())
    return chosen


def _folders(root: pathlib.Path) -> list[pathlib.Path]:
    found = (path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(found, key=_natural)


def _natural(path: pathlib.Path) -> list:
    """Numbers inside a name compare as numbers: 2 before 10."""
    parts = re.split(r"(\d+)", str(path))
    numbered = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
    return [*numbered, (1, 0, str(path))]  # 1 and 01 are equal numbers


def _bad(where: object, what: str) -> UserError:
    return UserError(errors.BAD_DATA, what, where, "see --helpshort for the layouts that are read")
