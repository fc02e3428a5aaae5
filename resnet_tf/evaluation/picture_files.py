"""Picture files that a user names: files, folders, patterns, a list on standard input."""

import glob
import os
import pathlib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence

import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.input import faults
from resnet_tf.input.images import decode_and_fit
from resnet_tf.preprocessing import Preprocessing

_ENDINGS = {".jpg", ".jpeg", ".png"}


def listed(sources: Sequence[str], lines: Iterable[str] = ()) -> list[str]:
    """Paths of pictures, in the order of `sources`; those of a folder in the order of their names.

    Args:
      sources: files, whatever their endings; folders, of which all JPEG and PNG files are taken,
        at any depth; patterns such as `photos/*.jpg`; or "-" for `lines`.
      lines: a path each.

    Raises:
      UserError: 66 for a folder or pattern without pictures, or where there is nothing at all.
    """
    found = []
    for source in sources:
        if source == "-":
            found += [path for line in lines if (path := line.rstrip("\r\n"))]
        elif os.path.isdir(source):
            found += _some(source, _in_folder(source))
        elif not os.path.lexists(source) and glob.has_magic(source):
            matches = sorted(glob.glob(source, recursive=True), key=natural)
            found += _some(source, [path for path in matches if os.path.isfile(path)])
        else:
            found.append(source)  # one that is missing is a bad picture among others
    if not found:
        raise UserError(errors.MISSING_INPUT, "no picture is given", "standard input", "name some")
    return found


def natural(path: str) -> list:
    """A key that sorts 2.jpg before 10.jpg."""
    parts = re.split(r"(\d+)", path)
    return [(int(part), part) if number % 2 else part for number, part in enumerate(parts)]


def _in_folder(folder: str) -> list[str]:
    paths = (
        os.path.join(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if pathlib.Path(name).suffix.lower() in _ENDINGS and not name.startswith(".")
    )
    return sorted(paths, key=natural)


def _some(source: str, found: list[str]) -> list[str]:
    if not found:
        what = "there is no JPEG or PNG file here"
        raise UserError(errors.MISSING_INPUT, what, source, "give another folder or pattern")
    return found


def batches(
    paths: Sequence[str], pictures: Preprocessing, batch_size: int
) -> Iterator[tuple[list[int], tf.Tensor, dict[int, str]]]:
    """Decodes pictures on all cores, a batch at a time, in order.

    Yields:
      Numbers of the pictures, their pixels uint8 `[n, H, W, C]`, and the reason by number for
      each that cannot be used and comes before the last of them. What is left of those comes at
      the end, with an empty batch.
    """
    names = tf.constant([os.fsencode(path) for path in paths])
    dataset = tf.data.Dataset.from_tensor_slices((tf.range(len(paths)), names))
    dataset = dataset.map(
        lambda number, name: (number, decode_and_fit(tf.io.read_file(name), pictures)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    dataset = dataset.ignore_errors(log_warning=False).batch(batch_size).prefetch(1)
    done = 0
    for numbers, pixels in dataset:
        numbers = numbers.numpy().tolist()
        missing = sorted(set(range(done, numbers[-1])) - set(numbers))
        done = numbers[-1] + 1
        yield numbers, pixels, {number: _reason(paths[number]) for number in missing}
    if done < len(paths):
        shape = [0, pictures.height, pictures.width, pictures.channels]
        rest = {number: _reason(paths[number]) for number in range(done, len(paths))}
        yield [], tf.zeros(shape, tf.uint8), rest


def _reason(path: str) -> str:
    try:
        encoded = pathlib.Path(path).read_bytes()
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    return faults.reason(encoded) or "could not be read when it was its turn"


def standard_input() -> Iterator[str]:
    """The lines of standard input."""
    yield from sys.stdin
