"""One shard: its pictures read, looked at, written, and read back."""

import dataclasses
import pathlib
import threading

import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.files import sha256_of, sync
from resnet_tf.input import images, records
from resnet_tf.input.manifest import Shard
from resnet_tf.preparation import examination
from resnet_tf.preparation.examination import Unusable
from resnet_tf.preparation.picture import Picture
from resnet_tf.preparation.plan import PlannedShard
from resnet_tf.preparation.progress import Progress
from resnet_tf.preparation.recode import Recode
from resnet_tf.preparation.statistics import Statistics


class Stopped(Exception):
    """The preparation was told to stop."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What all shards of one preparation share.

    Attributes:
      classes: names by label.
      recode: how pictures are encoded anew, or None.
      skip_bad: leave bad pictures out; else nothing more is written after the first.
      progress: told of every picture.
      stop: set to end early.
      spoilt: set when a bad picture has made the output impossible; pictures are then only
        looked at, to name all bad ones at once.
    """

    classes: tuple[str, ...]
    recode: Recode | None
    skip_bad: bool
    progress: Progress
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    spoilt: threading.Event = dataclasses.field(default_factory=threading.Event)


@dataclasses.dataclass
class Written:
    """What became of a shard.

    Attributes:
      shard: for the manifest; None where a bad picture spoilt it.
      statistics: of its pictures.
      bad: its pictures that cannot be used.
      odd: names of its pictures that are odd, by the kind of oddity.
    """

    shard: Shard | None = None
    statistics: Statistics = dataclasses.field(default_factory=Statistics)
    bad: list[Unusable] = dataclasses.field(default_factory=list)
    odd: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict:
        """A dictionary of JSON's own types, with the fields of the shard on top."""
        return dataclasses.asdict(self.shard) | {
            "statistics": self.statistics.to_json(),
            "bad": [one.args for one in self.bad],
            "odd": self.odd,
        }

    @classmethod
    def from_json(cls, fields: dict) -> "Written":
        """The inverse of `to_json`."""
        shard = Shard(*(fields[field.name] for field in dataclasses.fields(Shard)))
        statistics = Statistics.from_json(fields["statistics"])
        return cls(shard, statistics, [Unusable(*one) for one in fields["bad"]], fields["odd"])


def write(directory: pathlib.Path, planned: PlannedShard, task: Task) -> Written:
    """Writes one shard, waits until it is on the disk, and reads it back.

    Raises:
      Stopped: when the task was stopped.
      UserError: 74 where what is read back is not what was written.
      OSError, tf.errors.OpError: where the disk fails.
    """
    written = Written()
    path = directory / planned.file
    with tf.io.TFRecordWriter(str(path)) as file:
        for picture in planned.pictures:
            if task.stop.is_set():
                raise Stopped
            try:
                record = _record(picture, planned, task, written)
            except Unusable as bad:
                written.bad.append(Unusable(planned.root + bad.filename, bad.reason, bad.remedy))
                if not task.skip_bad:
                    task.spoilt.set()
            else:
                if not task.spoilt.is_set():
                    file.write(record)
            task.progress.advance(picture.size)
    if task.spoilt.is_set():
        path.unlink()
        return written
    sync(path)
    _read_back(path, written.statistics.pictures)
    written.shard = Shard(
        path.name, written.statistics.pictures, path.stat().st_size, sha256_of(path)
    )
    return written


def _record(picture: Picture, planned: PlannedShard, task: Task, written: Written) -> bytes:
    """A picture's record; what the manifest has to say of it is put into `written`."""
    statistics = written.statistics
    try:
        encoded, header = examination.read(picture)
        odd = examination.oddities(header)
        if task.recode is not None:
            encoded = task.recode(encoded, header)
            header = examination.header_of(picture, encoded)
        if statistics.pixels < planned.measured_pixels:
            statistics.measure(images.decode(tf.constant(encoded)).numpy())
    except tf.errors.InvalidArgumentError as error:
        raise examination.undecodable(picture) from error
    statistics.look(header.height, header.width, header.channels)
    for kind in odd:
        written.odd.setdefault(kind, []).append(planned.root + picture.filename)
    name, size = task.classes[picture.label], (header.height, header.width)
    return records.encode(encoded, picture.label, name, picture.filename, *size)


def _read_back(path: pathlib.Path, expected: int) -> None:
    """Counts the records of a file; TensorFlow checks the CRC of each on the way."""
    try:
        dataset = tf.data.TFRecordDataset(str(path), buffer_size=2**20)
        found = int(dataset.reduce(tf.constant(0, tf.int64), lambda count, _: count + 1))
    except tf.errors.DataLossError as error:
        found, reason = None, error.message
    if found != expected:
        what = f"{found} records" if found is not None else f"damage ({reason})"
        raise UserError(
            errors.IO_ERROR,
            f"wrote {expected} records and read back {what}",
            path,
            "see that disk and memory are sound, and start again",
        )
