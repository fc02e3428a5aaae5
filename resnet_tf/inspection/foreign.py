"""Data sets made elsewhere, as they lie on disk: by names of files, and by TFDS's own papers.

Read are
    train-00000-of-01024, validation-00000-of-00128       Model Garden's ImageNet and its like
    train-0.tfrecord, validation-a.tfrecords              other sets named after their splits
    mnist-train.tfrecord-00000-of-00001                   TensorFlow Datasets, with features.json,
                                                          dataset_info.json and label.labels.txt
"""

import json
import pathlib
import re
from collections import Counter, defaultdict

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.input.manifest import Features
from resnet_tf.inspection.layout import Claim, Layout, distinct

_SIGNS = ("dataset.json", "features.json")
_MALFORMED = (
    ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError
)  # fmt: skip
_MAX_BYTES = 16 * 2**20
_TFDS = re.compile(r"(?P<name>.+)-(?P<split>[^-.]+)\.(?P<format>[a-z_]+)-\d+-of-\d+")
_NUMBERED = re.compile(r"(?P<stem>.+?)-\d+-of-\d+(\.tfrecords?)?(\.gz)?")
_NAMED = re.compile(r"(?P<stem>[^.]+)(\..*)?\.tfrecords?(\.gz)?")
_BARE = re.compile(r"(?P<stem>(train|validation|valid|val|test)[-_.].*)")
_USUAL = re.compile(r"(?:^|[-_.])(train|training|validation|valid|val|test|eval)(?=[-_.]|$)")
_NO_SHARDS = (".json", ".txt", ".md", ".html", ".csv", ".tmp", ".py", ".npy", ".tar", ".zip",
              ".jpg", ".jpeg", ".png", ".log", ".jsonl")  # fmt: skip


def split_of(file: str) -> str | None:
    """The split that a shard's name tells; None where it looks like no shard."""
    if file.startswith(".") or file.lower().endswith(_NO_SHARDS):
        return None
    if match := _TFDS.fullmatch(file):
        return match["split"]
    for pattern in (_NUMBERED, _NAMED, _BARE):
        if match := pattern.fullmatch(file):
            usual = _USUAL.search(match["stem"])
            return usual[1] if usual else match["stem"]
    return None


def layout_of(directory: pathlib.Path) -> Layout:
    """What a directory without `dataset.json` holds.

    Raises:
      UserError: 66 where the directory has nothing that looks like a shard; 65 where the
        shards are of a format that is not read, or TFDS's papers are malformed.
    """
    files = defaultdict(list)
    for path in sorted(directory.iterdir(), key=lambda path: path.name):
        if split := split_of(path.name):
            files[split].append(path.name)
            _refuse_other_formats(path)
    if not files:
        raise UserError(
            errors.MISSING_INPUT,
            "the data directory holds neither dataset.json nor anything named like a shard",
            directory,
            _below(directory)
            or "give a directory of TFRecord files, or make one with data/prepare.py",
        )
    papers = _Papers(directory)
    return Layout(
        directory=directory,
        name=papers.name or directory.resolve().name,
        licence=papers.licence or "not stated",
        splits={
            split: tuple(_claims(names, papers.lengths.get(split, [])))
            for split, names in sorted(files.items(), key=lambda item: _rank(item[0]))
        },
        features=papers.features,
        classes=papers.classes,
        classes_from=papers.classes_from,
        label_offset=0 if papers.features else None,
        missing=tuple(name for names in files.values() for name in _missing(names)),
    )


def _below(directory: pathlib.Path) -> str:
    """Where a data set lies further down, as TFDS puts it below its name and version."""
    patterns = (f"{'*/' * depth}{file}" for depth in (1, 2, 3) for file in _SIGNS)
    found = next((path for pattern in patterns for path in sorted(directory.glob(pattern))), None)
    return f"did you mean --data_dir={found.parent}?" if found else ""


def _rank(split: str) -> tuple[bool, str]:
    return not split.startswith("train"), split


def _refuse_other_formats(path: pathlib.Path) -> None:
    match = _TFDS.fullmatch(path.name)
    if match and match["format"] not in ("tfrecord", "tfrecords"):
        raise UserError(
            errors.BAD_DATA,
            f"the data set is stored as {match['format']}; read is tfrecord",
            path,
            "prepare it again with file_format=tfrecord (--file_format of tfds build)",
        )


def _missing(names: list[str]) -> list[str]:
    """Names that `-00003-of-00008` implies and that are not there."""
    totals = Counter()
    for name in names:
        if match := re.search(r"-(\d+)-of-(\d+)", name):
            totals[name[: match.start()], match[2], name[match.end() :]] += 1
    expected = (
        f"{before}-{i:0{len(total)}d}-of-{total}{after}"
        for (before, total, after), found in totals.items()
        if found < int(total) <= 100_000
        for i in range(int(total))
    )
    there = set(names)
    return [name for name in expected if name not in there]


def _claims(names: list[str], lengths: list[int]) -> list[Claim]:
    """TFDS says how many records each shard holds; others do not."""
    if len(lengths) != len(names):
        return [Claim(name) for name in names]
    return [Claim(name, records) for name, records in zip(names, lengths)]


class _Papers:
    """What TFDS writes beside its shards; all empty where there is none."""

    def __init__(self, directory: pathlib.Path):
        self.name, self.licence, self.lengths = "", "", {}
        self.features, self.classes, self.classes_from = None, None, ""
        for read, file in ((self._info, "dataset_info.json"), (self._features, "features.json")):
            path = directory / file
            if not path.is_file():
                continue
            try:
                if path.stat().st_size > _MAX_BYTES:
                    raise ValueError(f"larger than {_MAX_BYTES} bytes")
                read(json.loads(path.read_text(encoding="utf-8")))
            except _MALFORMED as error:
                raise _bad(path, f"{file} cannot be used: {error}") from error
        if self.features:
            self._class_names(directory / f"{self.features.label}.labels.txt")

    def _info(self, fields: dict) -> None:
        self.name = str(fields.get("name", ""))
        self.licence = str(fields.get("redistributionInfo", {}).get("license", ""))
        self.lengths = {
            str(split["name"]): [int(count) for count in split.get("shardLengths", [])]
            for split in fields.get("splits", [])
        }

    def _features(self, fields: dict) -> None:
        features = fields["featuresDict"]["features"]

        def named(kind: str) -> list[str]:
            return [
                name for name, one in features.items()
                if one["pythonClassName"].rsplit(".", 1)[-1] == kind
            ]  # fmt: skip

        images, labels = named("Image"), named("ClassLabel")
        if not images or not labels:
            raise ValueError("it has no Image or no ClassLabel: not for image classification")
        label = "label" if "label" in labels else labels[0]
        texts = [name for name in named("Text") if "name" in name or "id" in name]
        self.features = Features(
            "image" if "image" in images else images[0], label, (texts or ["file_name"])[0]
        )
        count = int(features[label].get("classLabel", {}).get("numClasses", 0))
        if 0 < count <= 1_000_000:
            self.classes = tuple(str(i) for i in range(count))
            self.classes_from = "features.json, which only counts them"

    def _class_names(self, path: pathlib.Path) -> None:
        if path.is_file() and path.stat().st_size <= _MAX_BYTES:
            try:
                names = path.read_text(encoding="utf-8").splitlines()
            except UnicodeDecodeError as error:
                raise _bad(path, "the class names are not UTF-8") from error
            if names:
                self.classes, self.classes_from = distinct(names), path.name


def _bad(path: pathlib.Path, what: str) -> UserError:
    return UserError(errors.BAD_DATA, what, path, "prepare the data set again with TFDS")
