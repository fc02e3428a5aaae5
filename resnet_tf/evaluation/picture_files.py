"""Picture files that a user names: files, folders, patterns, a list on standard input."""

import glob
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.input import faults
from resnet_tf.input.images import decode_and_fit
from resnet_tf.preparation.folder import natural_order
from resnet_tf.preprocessing import Preprocessing

_ENDINGS = {".jpg", ".jpeg", ".png"}


def listed(sources: Sequence[str], lines: Iterable[str | bytes] = ()) -> list[str]:
    """Paths of pictures, in the order of `sources`; those of a folder in the order of their names.

    Args:
      sources: files, whatever their endings; folders, of which all JPEG and PNG files are taken,
        at any depth; patterns such as `photos/*.jpg`; or "-" for `lines`.
      lines: a path each; bytes are a name as the file system has it, UTF-8 or not.

    Raises:
      UserError: 66 for a folder or pattern without pictures, or where there is nothing at all.
    """
    found = []
    for source in sources:
        if source == "-":
            found += [path for line in lines if (path := os.fsdecode(line).rstrip("\r\n"))]
        elif os.path.isdir(source):
            found += _some(source, _in_folder(source))
        elif not os.path.lexists(source) and glob.has_magic(source):
            matches = sorted(glob.glob(source, recursive=True), key=natural_order)
            found += _some(source, [path for path in matches if os.path.isfile(path)])
        else:
            found.append(source)  # one that is missing is a bad picture among others
    if not found:
        raise UserError(errors.MISSING_INPUT, "no picture is given", "standard input", "name some")
    return found


def _in_folder(folder: str) -> list[str]:
    paths = (
        os.path.join(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if pathlib.Path(name).suffix.lower() in _ENDINGS and not name.startswith(".")
    )
    return sorted(paths, key=natural_order)


def _some(source: str, found: list[str]) -> list[str]:
    if not found:
        what = "there is no JPEG or PNG file here"
        raise UserError(errors.MISSING_INPUT, what, source, "give another folder or pattern")
    return found


def batches(
    paths: Sequence[str], pictures: Preprocessing, batch_size: int
) -> Iterator[tuple[list[int], np.ndarray, dict[int, str]]]:
    """Decodes pictures in threads, a batch ahead, in order.

    Yields:
      Numbers of the next `batch_size` pictures that can be used, their pixels uint8
      `[n, H, W, C]`, and the reason by number for each of those that cannot.
    """

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.string)])
    def decode(path):
        return decode_and_fit(tf.io.read_file(path), pictures)

    # Traced before there are threads: TensorFlow warns of retracing where several wait for it.
    decode = decode.get_concrete_function()

    def attempt(number: int) -> np.ndarray | str:
        try:
            return decode(tf.constant(os.fsencode(paths[number]))).numpy()
        except (tf.errors.OpError, UnicodeError):  # an error's text with a name that is no UTF-8
            return _reason(paths[number])

    starts = range(0, len(paths), batch_size)
    with ThreadPoolExecutor() as threads:

        def begin(start: int) -> dict[int, Future]:
            numbers = range(start, min(start + batch_size, len(paths)))
            return {number: threads.submit(attempt, number) for number in numbers}

        coming = begin(0)
        for start in starts:
            found, coming = coming, begin(start + batch_size)
            found = {number: future.result() for number, future in found.items()}
            bad = {number: why for number, why in found.items() if isinstance(why, str)}
            good = [number for number in found if number not in bad]
            shape = (len(good), pictures.height, pictures.width, pictures.channels)
            yield good, np.reshape([found[number] for number in good], shape).astype(np.uint8), bad


def _reason(path: str) -> str:
    try:
        encoded = pathlib.Path(path).read_bytes()
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    return faults.reason(encoded) or "could not be read when it was its turn"
