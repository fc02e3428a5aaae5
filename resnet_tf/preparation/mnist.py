"""MNIST and sets in its form (Fashion-MNIST, KMNIST, EMNIST), from their idx files.

An idx file of pictures is, with big-endian int32,
    2051 · pictures · rows · columns · one byte a pixel
and one of labels
    2049 · labels · one byte a label
(Y. LeCun, C. Cortes, C. Burges, *The MNIST database of handwritten digits*). Pictures become
grey PNG as they lie; those of EMNIST lie transposed.
"""

import functools
import gzip
import pathlib
import re
import struct
import zlib

import numpy as np
import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.preparation.picture import Listing, Picture

_SPLITS = {"train": "train", "test": "(t10k|test)"}
_KINDS = {"images": (2051, 3), "labels": (2049, 1)}
_GZIP = b"\x1f\x8b"
_MOST_PACKED = 1032  # what deflate can at most make of a byte
# H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST, arXiv:1708.07747, table 2.
_FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def listing(source: pathlib.Path) -> Listing:
    """All pictures of a folder with idx files, which are read into memory.

    The files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and, where there is a
    test split, `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`; ".idx3" for "-idx3",
    "test" for "t10k", something before it ("emnist-letters-") and ".gz" after it are fine.

    The files hold no class names. A folder whose path's last part contains "fashion" has those
    of Fashion-MNIST; otherwise, labels below 10 are the digits 0 to 9, and where there are
    others, the classes are the numbers from the smallest to the largest label of "train".

    Raises:
      UserError: 66 where a file is missing; 65 for one that is no idx file, is cut or too
        long, for two files of one kind, for counts that differ and labels out of range.
    """
    source = pathlib.Path(source)
    if not source.is_dir():
        raise _missing("not a folder" if source.exists() else "no such folder", source)
    files = {
        split: {kind: _find(source, start, kind) for kind in _KINDS}
        for split, start in _SPLITS.items()
    }
    if not any(files["test"].values()):
        del files["test"]
    for split, found in files.items():
        for kind, path in found.items():
            if path is None:
                raise _missing(f"there is no file of the {kind} of {split!r}", source)
    arrays = {split: {k: _read(p, k) for k, p in found.items()} for split, found in files.items()}
    name = source.resolve().name
    first, classes = _classes(name, arrays["train"]["labels"])
    return Listing(
        name=name,
        licence="not stated",
        classes=classes,
        splits={
            split: _pictures(split, files[split], **found, first=first, classes=len(classes))
            for split, found in arrays.items()
        },
    )


def _find(source: pathlib.Path, start: str, kind: str) -> pathlib.Path | None:
    pattern = re.compile(rf"([^.].*[-_])?{start}-{kind}[-.]idx{_KINDS[kind][1]}-ubyte(\.gz)?")
    there = (path for path in source.iterdir() if pattern.fullmatch(path.name))
    found = sorted(path for path in there if path.is_file())
    if len(found) > 1:
        raise _bad(source, f"holds both {found[0].name} and {found[1].name}", "keep one of them")
    return found[0] if found else None


def _read(path: pathlib.Path, kind: str) -> np.ndarray:
    """The array of an idx file, once its size is what its header says."""
    magic, dimensions = _KINDS[kind]
    header = struct.Struct(f">{1 + dimensions}i")
    size = path.stat().st_size
    with open(path, "rb") as raw:
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        file = gzip.GzipFile(fileobj=raw) if packed else raw
        try:
            start = file.read(header.size)
            if len(start) < header.size or header.unpack(start)[0] != magic:
                raise _bad(path, f"not an idx file of {kind}: it starts {start[:4]!r}")
            shape = header.unpack(start)[1:]
            expected = int(np.prod(shape, dtype=object))
            if min(shape) < 1 or expected > size * (_MOST_PACKED if packed else 1):
                raise _bad(path, f"the header says {_by(shape)}, the file has {size} bytes")
            data = file.read(expected + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _bad(path, f"the gzip file is cut off or damaged: {error}") from error
    if len(data) != expected:
        state = "less" if len(data) < expected else "more"
        raise _bad(path, f"the header says {_by(shape)}, the file holds {state}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _classes(name: str, labels: np.ndarray) -> tuple[int, tuple[str, ...]]:
    """The label of the first class, and the names."""
    if "fashion" in name.lower():
        return 0, _FASHION
    if labels.max() < 10:
        return 0, tuple(str(digit) for digit in range(10))
    first = int(labels.min())
    return first, tuple(str(number) for number in range(first, int(labels.max()) + 1))


def _pictures(split: str, paths, images, labels, first: int, classes: int) -> list[Picture]:
    if len(images) != len(labels):
        raise _bad(paths["labels"], f"{len(labels)} labels for {len(images)} pictures")
    labels = labels.astype(int) - first
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        found = labels[wrong[0]] + first
        raise _bad(
            paths["labels"],
            f"label {found} of picture {wrong[0]} is not in {first} to {first + classes - 1}",
        )
    size, changed = images[0].size, paths["images"].stat().st_mtime_ns
    return [
        Picture(functools.partial(_png, image), size, label, f"{split}/{i:05d}.png", changed)
        for i, (image, label) in enumerate(zip(images, labels.tolist()))
    ]


def _png(image: np.ndarray) -> bytes:
    return tf.io.encode_png(image[..., None]).numpy()


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape)


def _missing(what: str, source: pathlib.Path) -> UserError:
    return UserError(
        errors.MISSING_INPUT, what, source, "give --input the folder of the -ubyte or .gz files"
    )


def _bad(where: pathlib.Path, what: str, remedy: str = "fetch the file again") -> UserError:
    return UserError(errors.BAD_DATA, what, where, remedy)
