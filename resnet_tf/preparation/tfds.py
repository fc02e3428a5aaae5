"""Image-classification sets of TensorFlow Datasets, as they lie on the disk once prepared.

A prepared directory, `<name>/[<config>/]<version>`, holds `dataset_info.json`,
`features.json` and files of records. TFDS parses a record; which bytes are a record, and what
is read when, is decided here: one pass over the files checks them and reads labels, and a
picture's bytes are read again when they are wanted.
"""

import functools
import pathlib
from collections.abc import Callable, Iterator

import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.input import index
from resnet_tf.preparation import tfds_directory
from resnet_tf.preparation.picture import Listing, Picture
from resnet_tf.preparation.stretch import Stretch
from resnet_tf.preparation.tfds_directory import first_line, missing
from resnet_tf.preparation.tfds_features import Example, refuse_foreign_code

_INFO, _FEATURES = "dataset_info.json", "features.json"
_UNLABELLED = -1


def listing(source: str, *, offline: bool = False, by_beam=None) -> Listing:
    """All splits of a data set, under their own names and class names.

    The pictures' bytes are kept as TFDS stored them; arrays of pixels become PNG. Splits
    whose labels are all -1, which is how TFDS says that there are none, are left out with a
    remark.

    Args:
      source: a prepared directory, or a name as TFDS takes it: "mnist",
        "oxford_flowers102:2.1.1", "cifar10_corrupted/fog_3". A named set is taken from
        `TFDS_DATA_DIR` (by default ~/tensorflow_datasets), its newest version there.
      offline: never touches the network; otherwise TFDS downloads and prepares a set that is
        not there.
      by_beam: how TFDS prepares a set that its builder generates with Apache Beam, as
        `beam.download_config` gives it; None: as TFDS chooses.

    Raises:
      UserError: 66 where the set or one of its files is missing, 65 for files that are
        damaged or are no labelled pictures.
    """
    import tensorflow_datasets as tfds

    found = tfds_directory.found(str(source))
    directory = found or tfds_directory.make(str(source), offline=offline, by_beam=by_beam)
    for name in (_INFO, _FEATURES):
        if not (directory / name).is_file():
            raise missing(directory, f"there is no {name}")
    refuse_foreign_code(directory / _FEATURES)
    try:
        builder = tfds.builder_from_directory(directory)
    except Exception as error:  # TFDS and protobuf raise whatever they come upon
        raise _bad(directory, f"TFDS cannot read it: {first_line(error)}") from error
    example = Example(builder.info, directory)
    splits = {split: _pictures(builder, split, example, directory) for split in builder.info.splits}
    unlabelled = [split for split, pictures in splits.items() if not pictures]
    remarks = [f"{split!r} has no labels and is left out" for split in unlabelled]
    if found and by_beam:
        remarks.append(f"{found} was prepared already: Beam had nothing to do")
    return Listing(
        name=builder.info.full_name,
        licence=" ".join(builder.info.redistribution_info.license.split()) or "not stated",
        classes=example.classes,
        splits={split: pictures for split, pictures in splits.items() if pictures},
        remarks=tuple(remarks),
    )


def _pictures(builder, split: str, example: Example, directory: pathlib.Path) -> list[Picture]:
    found = []
    for read, record in _records(builder, split, directory):
        where = f"{directory}, record {len(found)} of {split!r}"
        label, key = example.label_and_key(record, where)
        found.append((read, len(record), label, key))
    labels = {label for _, _, label, _ in found}
    if labels == {_UNLABELLED}:
        return []
    for number, (_, _, label, _) in enumerate(found):
        if not 0 <= label < len(example.classes):
            raise _bad(
                directory,
                f"record {number} of {split!r} has the label {label},"
                f" and there are {len(example.classes)} classes",
            )
    unique = len({key for *_, key in found}) == len(found)
    return [
        Picture(example.reader(read), size, label, key if unique else f"{split}/{number:06d}")
        for number, (read, size, label, key) in enumerate(found)
    ]


def _records(
    builder, split: str, directory: pathlib.Path
) -> Iterator[tuple[Callable[[], bytes], bytes]]:
    """Each record of a split: how to read it again, and its bytes."""
    info = builder.info.splits[split]
    paths = [pathlib.Path(path) for path in info.filepaths]
    for path in paths:
        if not path.is_file():
            raise missing(path, "a file of records is missing")
    form = builder.info.file_format.value
    if form == "tfrecord":
        for path, expected in zip(paths, info.shard_lengths):
            yield from _tfrecords(path, expected)
    elif form == "array_record":
        yield from _array_records(builder, split, info.num_examples, directory)
    else:
        raise _bad(directory, f"files of the form {form} are not read; prepare it as tfrecord")


def _tfrecords(path: pathlib.Path, expected: int):
    offsets = index.walk(path)
    if len(offsets) != expected:
        raise _bad(path, f"expected {expected} records, found {len(offsets)}")
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()  # compares checksums
    for number, (offset, size) in enumerate(offsets.tolist()):
        try:
            record = next(records)
        except tf.errors.DataLossError as error:
            raise _bad(path, f"record {number} at byte {offset} is damaged") from error
        yield Stretch(path, offset, size).read, record


def _array_records(builder, split: str, expected: int, directory: pathlib.Path):
    import tensorflow_datasets as tfds

    try:
        source = builder.as_data_source(
            split=split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
        )
        count = len(source)
    except Exception as error:  # the array_record package may be missing, or its file damaged
        raise _bad(directory, f"cannot read array_record: {first_line(error)}") from error
    if count != expected:
        raise _bad(directory, f"expected {expected} records in {split!r}, found {count}")
    for number in range(count):
        try:
            record = source[number]
        except Exception as error:
            raise _bad(directory, f"record {number} of {split!r} is damaged") from error
        yield functools.partial(source.__getitem__, number), record


def _bad(where: object, what: str) -> UserError:
    return UserError(errors.BAD_DATA, what, where, "prepare the set again with TFDS")
