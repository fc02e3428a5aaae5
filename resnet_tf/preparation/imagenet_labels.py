"""Which class a picture of ImageNet's validation split shows, and what the classes are called.

The official ground truth is a number, 1 to 1,000, a picture. These numbers are ImageNet's own
`ILSVRC2012_ID`s and not the alphabetical order of the synsets; `meta.mat` beside it says which
synset each one is. Synsets ("n01440764") are what everything here speaks of.
"""

import pathlib
import re
from collections.abc import Sequence

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.preparation import matlab, tars

SYNSET = re.compile(r"n\d{8}")
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
_GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_META = "meta.mat"
_USUAL = (
    DEVKIT,
    "ILSVRC2012_devkit_t12",
    _GROUND_TRUTH,
    "imagenet_2012_validation_synset_labels.txt",
    "LOC_val_solution.csv",
)
_KAGGLE = re.compile(r"ILSVRC2012_val_(\d{8}),(n\d{8})( .*)?")


def find(source: pathlib.Path) -> pathlib.Path | None:
    """The file of labels, or the development kit, that lies in a folder; None without one."""
    return next((source / name for name in _USUAL if (source / name).exists()), None)


def read(path: pathlib.Path) -> dict[int, str]:
    """Synset by the number of the validation picture, from 1.

    Args:
      path: the development kit, as it came or unpacked; its ground truth, with `meta.mat`
        beside it; a text file of one synset a line; or Kaggle's `LOC_val_solution.csv`.

    Raises:
      UserError: 66 for a file that is missing, 65 for one that is of another form.
    """
    if path.is_dir():
        folder = path / "data" if (path / "data").is_dir() else path
        return read(folder / _GROUND_TRUTH)
    if path.name.endswith((".tar.gz", ".tgz", ".tar")):
        contents = tars.read_all(path, (_GROUND_TRUTH, _META))
        files = {pathlib.PurePosixPath(name).name: data for name, data in contents.items()}
        for name in (_GROUND_TRUTH, _META):
            if name not in files:
                raise _bad(path, f"there is no {name} in it")
        return _by_number(_lines(files[_GROUND_TRUTH], path), files[_META], path)
    lines = _lines(_bytes(path), path)
    if lines and lines[0].isdecimal():
        return _by_number(lines, _bytes(path.parent / _META), path)
    if lines and lines[0].startswith("ImageId,"):
        return dict(_kaggle(number, line, path) for number, line in enumerate(lines[1:], 2))
    for number, line in enumerate(lines, 1):
        if not SYNSET.fullmatch(line):
            raise _bad(path, f"line {number} is no synset: {line[:40]!r}")
    return dict(enumerate(lines, 1))


def _by_number(lines: Sequence[str], meta: bytes, path: pathlib.Path) -> dict[int, str]:
    try:
        rows = matlab.read_table(meta, "synsets")
        synsets = {int(row["ILSVRC2012_ID"][0]): str(row["WNID"]) for row in rows}
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise _bad(path, f"its {_META} cannot be used: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.isdecimal() or int(line) not in synsets:
            raise _bad(path, f"line {number} is the number of no synset: {line[:40]!r}")
    return {number: synsets[int(line)] for number, line in enumerate(lines, 1)}


def _kaggle(number: int, line: str, path: pathlib.Path) -> tuple[int, str]:
    found = _KAGGLE.fullmatch(line)
    if not found:
        raise _bad(path, f"line {number} is not ILSVRC2012_val_...,synset: {line[:40]!r}")
    return int(found[1]), found[2]


def read_synsets(path: pathlib.Path) -> dict[str, str]:
    """Class names by synset, in the order of a file of lines `synset` or `synset<TAB>name`.

    A synset without a name is its own. Names that several synsets share, as ImageNet has two
    cranes, get their synset added: "crane (n02012849)".

    Raises:
      UserError: 66 where the file is missing, 65 for a line of another form, a synset that is
        there twice, or no line at all.
    """
    names = {}
    for number, line in enumerate(_lines(_bytes(path), path), 1):
        synset, _, name = line.partition("\t") if "\t" in line else line.partition(" ")
        if not SYNSET.fullmatch(synset):
            raise _bad(path, f"line {number} is not synset<TAB>name: {line[:40]!r}")
        if synset in names:
            raise _bad(path, f"line {number}: {synset} is there twice")
        names[synset] = name.strip() or synset
    if not names:
        raise _bad(path, "there are no synsets")
    shared = list(names.values())
    return {s: f"{n} ({s})" if shared.count(n) > 1 else n for s, n in names.items()}


def _bytes(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            errors.MISSING_INPUT,
            f"cannot read the file: {error.strerror}",
            path,
            f"take it from {DEVKIT}, or give another file",
        ) from error


def _lines(data: bytes, path: pathlib.Path) -> list[str]:
    try:
        return [line.strip() for line in data.decode().splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise _bad(path, "not a text file in UTF-8") from error


def _bad(path: pathlib.Path, what: str) -> UserError:
    return UserError(errors.BAD_DATA, what, path, "see resnet_tf/preparation/imagenet_labels.py")
