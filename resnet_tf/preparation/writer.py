"""Writes a data set: shards of records, then their manifest, then its final name."""

import contextlib
import itertools
import os
import pathlib
import shutil
import uuid
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.files import sha256_of, sync
from resnet_tf.input import images, index, records
from resnet_tf.input.manifest import Manifest, Shard
from resnet_tf.preparation.picture import Picture

_SHARD_BYTES = 100 * 10**6


def write_dataset(
    output: str | os.PathLike,
    *,
    name: str,
    licence: str,
    classes: Sequence[str],
    splits: dict[str, Sequence[Picture]],
    seed: int = 0,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Manifest:
    """Writes `splits` as records with a manifest, complete or not at all.

    Records are put in a seeded random order, so that any stretch of a shard holds every
    class. Mean and standard deviation are those of "train", or of the first split. The
    bytes of the pictures are kept as they are; each is decoded once to prove it.

    Args:
      output: directory to make; must not exist.
      name, licence, classes: for the manifest.
      splits: pictures by split.
      seed: of the order on disk.
      progress: wraps the pictures that are gone through, to show a bar.

    Raises:
      UserError: 73 where `output` exists or cannot be made, 65 for a picture that cannot be
        used, 74 where the disk fails. Nothing is left behind.
    """
    output = pathlib.Path(output)
    if output.exists() or output.is_symlink():
        raise UserError(errors.CANNOT_CREATE, "the output exists", output, "choose another name")
    shuffled = {
        split: [pictures[i] for i in np.random.default_rng([seed, k]).permutation(len(pictures))]
        for k, (split, pictures) in enumerate(splits.items())
    }
    measured = "train" if "train" in splits else next(iter(splits))
    _refuse_unwritable_names(classes)
    with _finished_or_nothing(output) as directory:
        pixels, shards = _Pixels(), {}
        for split, pictures in shuffled.items():
            shards[split] = _write_split(
                directory, split, pictures, classes, pixels, split == measured, progress
            )
        manifest = Manifest(
            directory=directory,
            name=name,
            licence=licence,
            classes=tuple(classes),
            label_offset=0,
            splits=shards,
            **pixels.summary(),
        )
        manifest.save()
        for split in shards:
            index.build(manifest, split)  # read back: every record is there
    return Manifest.load(output)


def _refuse_unwritable_names(classes: Sequence[str]) -> None:
    for name in classes:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise UserError(
                errors.BAD_DATA, "a class's name is not UTF-8", repr(name), "rename its folder"
            ) from error


def _write_split(directory, split, pictures, classes, pixels, measured, progress):
    total = sum(picture.size for picture in pictures)
    number = max(1, round(total / _SHARD_BYTES))
    shards = []
    remaining = iter(progress(pictures))
    for i in range(number):
        path = directory / f"{split}-{i:05d}-of-{number:05d}.tfrecord"
        count = (i + 1) * len(pictures) // number - i * len(pictures) // number
        with tf.io.TFRecordWriter(str(path)) as writer:
            for picture in itertools.islice(remaining, count):
                writer.write(_record(picture, classes, pixels, measured))
        sync(path)
        shards.append(Shard(path.name, count, path.stat().st_size, sha256_of(path)))
    return tuple(shards)


def _record(picture: Picture, classes, pixels: "_Pixels", measured: bool) -> bytes:
    try:
        encoded = picture.read()
    except OSError as error:
        raise _unusable(picture, f"cannot be read: {error.strerror}") from error
    if records.image_format(encoded) is None:
        raise _unusable(picture, "is neither JPEG nor PNG")
    try:
        image = images.decode(encoded).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise _unusable(picture, "cannot be decoded") from error
    pixels.add(image, measured)
    height, width, _ = image.shape
    label = picture.label
    return records.encode(encoded, label, classes[label], picture.filename, height, width)


def _unusable(picture: Picture, reason: str) -> UserError:
    return UserError(
        errors.BAD_DATA, f"the picture {reason}", picture.filename, "repair it or take it away"
    )


class _Pixels:
    """Sizes of all pictures, and sums over the pixels of the measured ones."""

    def __init__(self):
        self._sizes: set[tuple[int, int]] = set()
        self._grey = True
        self._count = 0
        self._sum = np.zeros(3)
        self._sum_of_squares = np.zeros(3)

    def add(self, image: np.ndarray, measured: bool) -> None:
        """Takes uint8 `[H, W, C]` in: grey (1, or 2 with alpha) or RGB (3, or 4 with alpha)."""
        height, width, channels = image.shape
        self._sizes.add((height, width))
        colours = 1 if channels < 3 else 3
        self._grey &= colours == 1
        if measured:
            values = image[..., :colours].reshape(-1, colours).astype(np.float64)
            self._count += len(values)
            self._sum += values.sum(axis=0)
            self._sum_of_squares += np.square(values).sum(axis=0)

    def summary(self) -> dict:
        """Manifest fields height, width (None where they vary), channels, mean and std."""
        height, width = self._sizes.pop() if len(self._sizes) == 1 else (None, None)
        channels = 1 if self._grey else 3
        mean = self._sum / self._count
        variance = np.maximum(self._sum_of_squares / self._count - np.square(mean), 0)
        # A set of constant pictures has no spread to divide by.
        std = np.where(variance > 0, np.sqrt(variance), 1.0)
        return {
            "height": height,
            "width": width,
            "channels": channels,
            "mean": tuple(np.round(mean[:channels], 4).tolist()),
            "std": tuple(np.maximum(np.round(std[:channels], 4), 1e-4).tolist()),
        }


@contextlib.contextmanager
def _finished_or_nothing(output: pathlib.Path):
    """A directory beside `output` that takes its name when the block ends well."""
    temporary = output.with_name(f"{output.name}.tmp-{uuid.uuid4().hex[:8]}")
    made = [parent for parent in temporary.parents if not parent.exists()]
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise UserError(
            errors.CANNOT_CREATE,
            f"cannot create the output: {error.strerror}",
            output,
            "choose another place",
        ) from error
    try:
        yield temporary
        os.replace(temporary, output)
        sync(output.parent)
    except (OSError, tf.errors.OpError) as error:
        raise UserError(
            errors.IO_ERROR, f"writing failed: {error}", output, "free some space and start again"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in made:  # those that stayed empty
            with contextlib.suppress(OSError):
                parent.rmdir()
