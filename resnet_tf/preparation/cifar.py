"""The binary version of CIFAR-10 and CIFAR-100 (A. Krizhevsky, *Learning Multiple Layers of
Features from Tiny Images*, 2009; https://www.cs.toronto.edu/~kriz/cifar.html).

A file is a sequence of records of 3,073 bytes (CIFAR-10: label · pixels) or 3,074 bytes
(CIFAR-100: coarse label · fine label · pixels). Pixels are 1,024 red, 1,024 green and 1,024
blue bytes, each colour row by row. They are stored as PNG, which loses nothing.

The Python version is a pickle, which can run any program when it is opened, and is refused.
"""

import dataclasses
import functools
import pathlib

import numpy as np
import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError, bad_flag
from resnet_tf.preparation import tars
from resnet_tf.preparation.picture import Listing, Picture

_PIXELS = 3 * 32 * 32


@dataclasses.dataclass(frozen=True)
class _Kind:
    """What the files of one of the two sets are called.

    Attributes:
      labels: the file of class names of each kind of label, in the order of a record's bytes.
    """

    name: str
    folder: str
    archive: str
    splits: dict[str, tuple[str, ...]]
    labels: dict[str, str]

    @property
    def files(self) -> list[str]:
        return [file for files in self.splits.values() for file in files]

    @property
    def record_bytes(self) -> int:
        return len(self.labels) + _PIXELS


_KINDS = (
    _Kind(
        "cifar10", "cifar-10-batches-bin", "cifar-10-binary.tar.gz",
        {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)},
        {"fine": "batches.meta.txt"},
    ),
    _Kind(
        "cifar100", "cifar-100-binary", "cifar-100-binary.tar.gz",
        {"train": ("train.bin",), "test": ("test.bin",)},
        {"coarse": "coarse_label_names.txt", "fine": "fine_label_names.txt"},
    ),
)  # fmt: skip
_PYTHON = ("cifar-10-batches-py", "cifar-100-python", "data_batch_1", "batches.meta", "meta")


def listing(source: pathlib.Path, *, labels: str = "fine") -> Listing:
    """All pictures of CIFAR-10 or CIFAR-100, whichever `source` holds.

    Args:
      source: the folder of the .bin files, or its parent, or the official .tar.gz (which is
        unpacked into memory, 180 MB).
      labels: "fine", or for CIFAR-100 also "coarse" (20 classes in place of 100).

    Raises:
      UserError: 64 for labels that there are not; 66 where a file is missing; 65 for a file
        of a wrong size, a label without a name, and the Python version.
    """
    if labels not in ("fine", "coarse"):
        raise bad_flag("labels", "must be fine or coarse", repr(labels))
    source = pathlib.Path(source)
    kind, place, files = _open(source)
    if labels not in kind.labels:
        raise bad_flag("labels", f"must be fine, {kind.name} has no {labels} ones")
    for file in (*kind.files, kind.labels[labels]):
        if file not in files:
            raise UserError(
                errors.MISSING_INPUT, f"there is no {file}", place, f"take all of {kind.archive}"
            )
    names = bytes(files[kind.labels[labels]]).decode("utf-8", "replace").split()
    position = list(kind.labels).index(labels)
    return Listing(
        name=kind.name if labels == "fine" else f"{kind.name}_{labels}",
        licence="not stated",
        classes=tuple(names),
        splits={
            split: [
                picture
                for file in split_files
                for picture in _pictures(place, file, files[file], kind, position, len(names))
            ]
            for split, split_files in kind.splits.items()
        },
    )


def _open(source: pathlib.Path) -> tuple[_Kind, pathlib.Path, dict]:
    """Which set it is, where, and its files: bytes, or arrays that stay on the disk."""
    if source.is_file():
        contents = tars.read_all(source, (".bin", ".txt"))
        files = {pathlib.PurePosixPath(name).name: data for name, data in contents.items()}
        for kind in _KINDS:
            if set(kind.files) & set(files):
                return kind, source, files
        raise _not_found(source, "python" in source.name)
    candidates = [
        (kind, folder)
        for kind in _KINDS
        for folder in (source, source / kind.folder)
        if any((folder / file).is_file() for file in kind.files)
    ]
    if not candidates:
        raise _not_found(source, any((source / name).exists() for name in _PYTHON))
    if len(candidates) > 1:
        raise UserError(
            errors.BAD_DATA, "holds two data sets", source, f"give --input={candidates[0][1]}"
        )
    kind, folder = candidates[0]
    paths = [folder / file for file in (*kind.files, *kind.labels.values())]
    return kind, folder, {path.name: _on_disk(path) for path in paths if path.is_file()}


def _on_disk(path: pathlib.Path) -> np.ndarray:
    return np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)


def _pictures(place, file: str, data, kind: _Kind, position: int, classes: int) -> list[Picture]:
    data, length = np.frombuffer(data, np.uint8), kind.record_bytes
    if not data.size or data.size % length:
        raise UserError(
            errors.BAD_DATA,
            f"the file has {data.size} bytes, not a multiple of {length}",
            place / file,
            f"fetch {kind.archive} again",
        )
    records = data.reshape(-1, length)
    labels = records[:, position].tolist()
    if max(labels) >= classes:
        number = next(i for i, label in enumerate(labels) if label >= classes)
        raise UserError(
            errors.BAD_DATA,
            f"record {number} has the label {labels[number]}, and there are {classes} classes",
            place / file,
            f"fetch {kind.archive} again",
        )
    stem = pathlib.PurePath(file).stem
    changed = (place / file if place.is_dir() else place).stat().st_mtime_ns
    return [
        Picture(functools.partial(_png, record), _PIXELS, label, f"{stem}/{i:05d}.png", changed)
        for i, (record, label) in enumerate(zip(records[:, -_PIXELS:], labels))
    ]


def _png(colours: np.ndarray) -> bytes:
    pixels = np.ascontiguousarray(colours.reshape(3, 32, 32).transpose(1, 2, 0))
    return tf.io.encode_png(pixels).numpy()


def _not_found(source: pathlib.Path, is_python: bool) -> UserError:
    if is_python:
        return UserError(
            errors.BAD_DATA,
            "the Python version is a pickle, which is not opened",
            source,
            "take the binary version, cifar-10-binary.tar.gz or cifar-100-binary.tar.gz",
        )
    found = "no .bin files of CIFAR" if source.exists() else "no such file or folder"
    return UserError(
        errors.MISSING_INPUT,
        found,
        source,
        "give --input the folder of the binary version, or its .tar.gz",
    )
