"""Records that are there already, to be put into other shards, cut down or encoded anew."""

import os
import pathlib

import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.input import index, records
from resnet_tf.input.manifest import Manifest
from resnet_tf.preparation.picture import Listing, Picture

_BATCH = 1024


def listing(source: pathlib.Path, *, classes: pathlib.Path | None = None) -> Listing:
    """The pictures of a directory of records with its `dataset.json`.

    Labels are read in one pass over the records, which checks the CRC of each; the pictures
    are read later, one at a time, from where they lie.

    Args:
      source: the directory.
      classes: a text file with the name of a class a line: only these are kept, and numbered
        in this order. Default: all.

    Raises:
      UserError: 66 where something is missing; 65 for a damaged record, a label out of range,
        or a name that is no class.
    """
    manifest = Manifest.load(source)
    kept = manifest.classes if classes is None else _names(classes, manifest)
    labels = {manifest.classes.index(name): label for label, name in enumerate(kept)}
    splits = {}
    for split in manifest.splits:
        splits[split] = [
            picture
            for path, shard in zip(manifest.paths(split), manifest.shards(split))
            for picture in _pictures(path, shard.records, manifest, labels)
        ]
        if not splits[split]:
            raise _bad(source, f"the split {split!r} has no pictures of these classes")
    return Listing(manifest.name, manifest.licence, tuple(kept), splits)


def _names(path: pathlib.Path, manifest: Manifest) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(
            errors.MISSING_INPUT, f"cannot be read: {error.strerror}", path, "see --classes"
        ) from error
    except UnicodeDecodeError as error:
        raise _bad(path, "is not UTF-8") from error
    names = [line.strip() for line in lines if line.strip()]
    for number, name in enumerate(names):
        if name not in manifest.classes:
            raise _bad(path, f"there is no class {name!r} in {manifest.directory}")
        if name in names[:number]:
            raise _bad(path, f"the class {name!r} is named twice")
    if not names:
        raise _bad(path, "it names no classes")
    return names


def _pictures(
    path: pathlib.Path, records_there: int, manifest: Manifest, labels: dict[int, int]
) -> list[Picture]:
    """Pictures of one shard whose stored label, less the offset, is in `labels`."""
    where, features = index.walk(path), manifest.features
    if len(where) != records_there:
        raise _bad(path, f"expected {records_there} records, found {len(where)}")
    changed = path.stat().st_mtime_ns
    pictures = []
    for number, (stored, name) in enumerate(_labels_and_names(path, features)):
        label = stored - manifest.label_offset
        if not 0 <= label < len(manifest.classes):
            raise _bad(path, f"record {number} has the label {stored}, which no class has")
        if label in labels:
            offset, length = map(int, where[number])
            filename = name or f"{path.name}:{number}"
            read = _Reader(path, offset, length, features)
            pictures.append(Picture(read, length, labels[label], filename, changed))
    return pictures


def _labels_and_names(path: pathlib.Path, features):
    """Stored label and file name ("" where there is none) of each record, in order."""
    fields = {
        features.label: tf.io.FixedLenFeature([], tf.int64),
        features.filename: tf.io.FixedLenFeature([], tf.string, default_value=""),
    }
    dataset = tf.data.TFRecordDataset(str(path), buffer_size=8 * 2**20).batch(_BATCH)
    dataset = dataset.map(lambda batch: tf.io.parse_example(batch, fields))
    try:
        for batch in dataset.as_numpy_iterator():
            for label, name in zip(batch[features.label], batch[features.filename]):
                yield int(label), name.decode("utf-8", "surrogateescape")
    except (tf.errors.DataLossError, tf.errors.OutOfRangeError) as error:
        raise _bad(path, "a record fails its checksum") from error
    except tf.errors.InvalidArgumentError as error:
        wanted = f"{features.label} (one integer) and {features.filename} (bytes)"
        raise _bad(path, f"a record does not have the fields {wanted}") from error


class _Reader:
    """Gives the picture of the record at an offset of a file."""

    __slots__ = ("_features", "_length", "_offset", "_path")

    def __init__(self, path, offset, length, features):
        self._path, self._offset, self._length = path, offset, length
        self._features = features

    def __call__(self) -> bytes:
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            serialized = os.pread(descriptor, self._length, self._offset)
        finally:
            os.close(descriptor)
        return records.decode(serialized, self._features)[0]


def _bad(where: object, what: str) -> UserError:
    return UserError(errors.BAD_DATA, what, where, "data/check.py names all that is wrong")
