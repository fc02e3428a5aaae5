"""`dataset.json`: what a directory of records holds, so that nobody has to guess.

    {"format_version": 1, "name": "digits", "licence": "CC BY 4.0", "classes": ["0", ...],
     "label_offset": 0, "image": {"height": 8, "width": 8, "channels": 1},
     "mean": [77.9], "std": [95.9],
     "splits": {"train": [{"file": "train-00000-of-00001.tfrecord", "records": 1437,
                           "bytes": 312345, "sha256": "..."}], ...}}

Mean and standard deviation are those of the training split, a channel, in pixel units
(0 to 255). `label_offset` is subtracted from stored labels (1 where they start at 1).
`height` and `width` are null where pictures differ in size. `features`, for records that were
made elsewhere, names the fields of picture, label and key: {"encoded": "image", "label":
"label", "filename": "file_name"}; without it they are those of `records`.
"""

import dataclasses
import errno
import hashlib
import json
import os
import pathlib
import stat

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.files import replace_synced
from resnet_tf.preprocessing import Preprocessing

FILE_NAME = "dataset.json"
FORMAT_VERSION = 1
_NO_NAMES = ("", ".", "..")
_MAX_BYTES = 16 * 2**20
_MALFORMED = (
    ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file of records."""

    file: str
    records: int
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Features:
    """Names of a record's fields: the picture, its label, and the key that names it in messages."""

    encoded: str = "image/encoded"
    label: str = "image/class/label"
    filename: str = "image/filename"


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A data set as its `dataset.json` describes it; see the module's text for the fields."""

    directory: pathlib.Path
    name: str
    licence: str
    classes: tuple[str, ...]
    label_offset: int
    height: int | None
    width: int | None
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    splits: dict[str, tuple[Shard, ...]]
    features: Features = Features()

    @classmethod
    def load(cls, directory: str | os.PathLike) -> "Manifest":
        """Reads and checks `dataset.json` in `directory`.

        Raises:
          UserError: 66 where the directory or the file is missing, 65 where it is malformed.
        """
        directory = pathlib.Path(directory)
        path = directory / FILE_NAME
        if not directory.is_dir():
            raise UserError(
                errors.MISSING_INPUT,
                "the data directory does not exist"
                if not directory.exists()
                else "not a directory",
                directory,
                "give --data_dir, or make one with data/prepare.py",
            )
        if not path.is_file():
            raise UserError(
                errors.MISSING_INPUT,
                f"the data directory has no {FILE_NAME}",
                directory,
                "data/prepare.py makes records with their manifest, data/check.py --write_manifest"
                " a manifest for records that are there",
            )
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise ValueError(f"larger than {_MAX_BYTES} bytes")
            return cls._from_json(directory, json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise UserError(
                errors.MISSING_INPUT,
                f"cannot read the manifest: {error.strerror}",
                path,
                "see that the file can be read",
            ) from error
        except _MALFORMED as error:
            what = f"missing field {error}" if isinstance(error, KeyError) else error
            raise UserError(
                errors.BAD_DATA,
                f"the manifest cannot be used: {what}",
                path,
                "make the data set again with data/prepare.py",
            ) from error

    @classmethod
    def _from_json(cls, directory: pathlib.Path, fields: dict) -> "Manifest":
        if fields["format_version"] != FORMAT_VERSION:
            raise ValueError(
                f"format_version must be {FORMAT_VERSION}, got {fields['format_version']!r}"
            )
        image = fields["image"]
        manifest = cls(
            directory=directory,
            name=str(fields["name"]),
            licence=str(fields["licence"]),
            classes=tuple(str(name) for name in _typed(fields, "classes", list)),
            label_offset=_typed(fields, "label_offset", int),
            height=image["height"],
            width=image["width"],
            channels=int(image["channels"]),
            mean=tuple(float(value) for value in fields["mean"]),
            std=tuple(float(value) for value in fields["std"]),
            splits={
                split: tuple(Shard(**shard) for shard in shards)
                for split, shards in fields["splits"].items()
            },
            features=Features(**fields.get("features", {})),
        )
        manifest._check()
        return manifest

    def _check(self) -> None:
        for name in self.classes:
            name.encode()  # a name that is not UTF-8 cannot be written on
        for name in dataclasses.astuple(self.features):
            if not isinstance(name, str):
                raise ValueError(f"features must be names, got {name!r}")
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise ValueError("classes must be distinct names, at least one")
        if self.channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, got {self.channels}")
        for side in (self.height, self.width):
            if side is not None and (not isinstance(side, int) or side < 1):
                raise ValueError(f"height and width must be null or 1 or more, got {side!r}")
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"mean and std must have {self.channels} values, one a channel")
        if not all(0 <= m <= 255 and 0 < s <= 255 for m, s in zip(self.mean, self.std)):
            raise ValueError("mean must be in [0, 255] and std in (0, 255], in pixel units")
        for shard in (shard for shards in self.splits.values() for shard in shards):
            # A manifest cannot point outside its own directory.
            if (
                pathlib.PurePath(shard.file).name != shard.file
                or shard.file in _NO_NAMES
                or "\0" in shard.file
            ):
                raise ValueError(f"a shard's file must be a plain name, got {shard.file!r}")
            for value in (shard.records, shard.bytes):
                if not isinstance(value, int) or value < 0:
                    raise ValueError(f"records and bytes of {shard.file} must be counts")

    def save(self) -> None:
        """Writes `dataset.json`, complete or not at all."""
        fields = {
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "licence": self.licence,
            "classes": self.classes,
            "label_offset": self.label_offset,
            "image": {"height": self.height, "width": self.width, "channels": self.channels},
            "mean": self.mean,
            "std": self.std,
            "splits": {
                split: [dataclasses.asdict(shard) for shard in shards]
                for split, shards in self.splits.items()
            },
        }
        if self.features != Features():
            fields["features"] = dataclasses.asdict(self.features)
        text = json.dumps(fields, indent=1, ensure_ascii=False) + "\n"
        replace_synced(self.directory / FILE_NAME, text)

    def pictures(self, height: int, width: int) -> Preprocessing:
        """Pictures of this size, whole, normalised by this data set's mean and std."""
        return Preprocessing(height, width, self.channels, self.mean, self.std)

    def records(self, split: str) -> int:
        """Number of records in a split."""
        return sum(shard.records for shard in self.shards(split))

    def shards(self, split: str) -> tuple[Shard, ...]:
        """The shards of a split.

        Raises:
          UserError: 64 for a split that is not there, 65 for one without records.
        """
        shards = self.splits.get(split)
        if shards is None:
            raise UserError(
                errors.BAD_FLAGS,
                f"no split is called {split!r}; there are {', '.join(sorted(self.splits))}",
                self.directory / FILE_NAME,
                "choose one of them",
            )
        if not sum(shard.records for shard in shards):
            raise UserError(
                errors.BAD_DATA,
                f"the split {split!r} has no records",
                self.directory / FILE_NAME,
                "prepare the data again, or choose another split",
            )
        return shards

    def paths(self, split: str) -> list[pathlib.Path]:
        """Paths of a split's shards, each a regular file of the size that the manifest gives.

        Raises:
          UserError: 66 for a missing shard, 65 for one that is no regular file or has
            another size.
        """
        paths = []
        for shard in self.shards(split):
            path = self.directory / shard.file
            try:
                status = path.stat()
                if not os.access(path, os.R_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            except OSError as error:
                raise UserError(
                    errors.MISSING_INPUT,
                    f"cannot read a shard: {error.strerror}",
                    path,
                    "restore the file, or prepare the data again",
                ) from error
            if not stat.S_ISREG(status.st_mode):
                raise UserError(
                    errors.BAD_DATA,
                    "a shard must be a regular file",
                    path,
                    "replace it with the file itself",
                )
            if status.st_size != shard.bytes:
                raise UserError(
                    errors.BAD_DATA,
                    f"the shard has {status.st_size} bytes, its manifest says {shard.bytes}",
                    path,
                    "restore the file, or prepare the data again",
                )
            paths.append(path)
        return paths

    def fingerprint(self, split: str) -> str:
        """sha256 of what a split is: class names, label offset, and the shards' own sha256."""
        parts = [
            self.classes,
            self.label_offset,
            [(s.records, s.sha256) for s in self.shards(split)],
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _typed(fields: dict, name: str, kind: type):
    value = fields[name]
    if not isinstance(value, kind):
        raise ValueError(f"{name} must be of type {kind.__name__}, got {value!r}")
    return value
