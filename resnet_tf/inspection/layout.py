"""What a directory claims to hold, before a record is read: by its manifest, or by file names."""

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Sequence

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.input.manifest import FILE_NAME, Features, Manifest


@dataclasses.dataclass(frozen=True)
class Claim:
    """One shard as it is described; None where nothing is said."""

    file: str
    records: int | None = None
    bytes: int | None = None
    sha256: str | None = None


@dataclasses.dataclass(frozen=True)
class Layout:
    """A data set to be looked at.

    Attributes:
      directory: of the shards.
      name, licence: of the data set.
      splits: the shards of each split.
      features: names of the fields; None: to be found out from the records.
      classes: names in the order of labels; None: to be found out.
      classes_from: where the names come from, in words.
      label_offset: None: to be found out.
      manifest: None for a set made elsewhere.
      extra: files that look like shards and are listed nowhere.
      missing: shards that the names of the others imply.
    """

    directory: pathlib.Path
    name: str
    licence: str
    splits: dict[str, tuple[Claim, ...]]
    features: Features | None = None
    classes: tuple[str, ...] | None = None
    classes_from: str = ""
    label_offset: int | None = None
    manifest: Manifest | None = None
    extra: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def measured(self) -> str:
        """The split whose mean and deviation count: "train", or the first."""
        return "train" if "train" in self.splits else next(iter(self.splits))

    def only(self, split: str) -> "Layout":
        """The same with one split.

        Raises:
          UserError: 64 for a split that is not there.
        """
        if split not in self.splits:
            raise UserError(
                errors.BAD_FLAGS,
                f"no split is called {split!r}; there are {', '.join(sorted(self.splits))}",
                "--split",
                "choose one of them",
            )
        return dataclasses.replace(self, splits={split: self.splits[split]}, missing=())


def by_manifest(manifest: Manifest, shard_like: set[str]) -> Layout:
    """As `dataset.json` says; `shard_like` are the names of files that look like shards."""
    listed = {shard.file for shards in manifest.splits.values() for shard in shards}
    return Layout(
        directory=manifest.directory,
        name=manifest.name,
        licence=manifest.licence,
        splits={
            split: tuple(Claim(s.file, s.records, s.bytes, s.sha256) for s in shards)
            for split, shards in manifest.splits.items()
        },
        features=manifest.features,
        classes=manifest.classes,
        classes_from=FILE_NAME,
        label_offset=manifest.label_offset,
        manifest=manifest,
        extra=tuple(sorted(shard_like - listed)),
    )


def read_class_names(path: str) -> tuple[str, ...]:
    """Class names of a text file: a name a line, or `synset<TAB>name`.

    A name that stands there twice gets its synset, or its number, behind it.

    Raises:
      UserError: 66 where the file cannot be read, 65 where it holds no names.
    """
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(
            errors.MISSING_INPUT,
            f"cannot read the class names: {error.strerror}",
            path,
            "see that the file is there and can be read",
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(
            errors.BAD_DATA, "the class names are not UTF-8", path, "save the file as UTF-8"
        ) from error
    rows = [line.strip().split("\t", 1) for line in lines if line.strip()]
    if not rows:
        raise UserError(errors.BAD_DATA, "the file holds no names", path, "give a name a line")
    return distinct([row[-1].strip() for row in rows], [row[0] for row in rows])


def distinct(names: Sequence[str], marks: Sequence[str] = ()) -> tuple[str, ...]:
    """The names, each that occurs again told apart by its mark, or by its number."""
    names, marks = tuple(names), [*marks, *[""] * (len(names) - len(marks))]
    while len(set(names)) < len(names):  # what was added may be another's name
        count = Counter(names)
        names = tuple(
            name if count[name] == 1 else f"{name} ({number if mark in ('', name) else mark})"
            for number, (name, mark) in enumerate(zip(names, marks))
        )
        marks = [""] * len(names)
    return names
