"""The whole check, from a directory to a report."""

import dataclasses
import os
import pathlib
from collections.abc import Callable

import numpy as np

from resnet_tf import errors, runtime
from resnet_tf.errors import UserError
from resnet_tf.input.headers import MAX_PIXELS
from resnet_tf.input.manifest import FILE_NAME, Features, Manifest, Shard
from resnet_tf.inspection import duplicates, foreign, labels, layout
from resnet_tf.inspection.findings import ERROR, WARNING, Finding, Findings
from resnet_tf.inspection.labels import Classes
from resnet_tf.inspection.layout import Layout
from resnet_tf.inspection.reading import Reader
from resnet_tf.inspection.survey import Survey, Table

# In pixel levels: decoders differ by less, other pictures by more.
_TOLERANCE = 0.1


@dataclasses.dataclass(frozen=True)
class Options:
    """How a check is made.

    Attributes:
      split: the only one to look at; "" (default): all.
      decode: whether each picture is decoded; without it, mean and deviation stay unknown.
      max_pixels: height times width above which a picture is refused.
      classes: names, in the order of labels, in place of those found.
      label_offset: subtracted from stored labels; None: the manifest's, or found out.
      anew: looks at the files as if there were no `dataset.json`.
      workers: pictures decoded at a time; 0 (default): one a core.
    """

    split: str = ""
    decode: bool = True
    max_pixels: int = MAX_PIXELS
    classes: tuple[str, ...] = ()
    label_offset: int | None = None
    anew: bool = False
    workers: int = 0


@dataclasses.dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
      layout: what there should be.
      findings: counted and, up to a number of each kind, kept.
      features: the names of the fields.
      shards: of each split, as found.
      tables: what is remembered of the records, one a shard.
      classes: names and label offset.
      histogram: usable pictures of each class, int64 `[classes]`, by split.
      height, width: of all pictures; None where they differ.
      channels: 1 where every picture is grey, else 3.
      mean, std: a channel, over the pixels of all pictures of the training split, 0 to 255;
        empty where nothing was decoded.
    """

    layout: Layout
    findings: Findings
    features: Features
    shards: dict[str, tuple[Shard, ...]]
    tables: list[Table]
    classes: Classes
    histogram: dict[str, np.ndarray]
    height: int | None
    width: int | None
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def records(self) -> dict[str, int]:
        """Records by split, as found."""
        return {split: sum(s.records for s in shards) for split, shards in self.shards.items()}

    @property
    def errors(self) -> int:
        """Findings that training could not live with."""
        return self.findings.number(ERROR)

    @property
    def warnings(self) -> int:
        """Findings that are merely odd."""
        return self.findings.number(WARNING)


def check(
    directory: str | os.PathLike,
    options: Options = Options(),
    on_finding: Callable[[Finding], None] = lambda finding: None,
    advance: Callable[[int], object] = lambda size: None,
) -> Report:
    """Looks at every record of a data set.

    Args:
      directory: of the shards, with or without a `dataset.json`.
      options: see there.
      on_finding: called with each finding.
      advance: told the bytes of each shard that is done.

    Raises:
      UserError: 66 where there is nothing to look at; 65 where the manifest is malformed or
        the files are of a format that is not read; 64 for a split that is not there.
    """
    found = _layout_of(pathlib.Path(directory), options)
    findings = Findings(on_finding)
    _check_names(found, findings)
    workers = (options.workers or runtime.available_cores()) if options.decode else 0
    survey = Survey(found, findings, options.max_pixels, workers)
    survey.run(advance)
    classes = labels.resolve(found, survey, options.label_offset)
    with Reader(found.directory, survey.features or Features()) as reader:
        labels.check(survey, classes, findings, reader)
        duplicates.check(survey, findings, reader)
        duplicates.check_shards(survey, findings)
    report = _report(found, findings, survey, classes)
    _check_statistics(report)
    return report


def bytes_of(directory: str | os.PathLike, options: Options = Options()) -> int:
    """Size of the shards that `check` will look at, to show its progress; raises as it does."""
    found = _layout_of(pathlib.Path(directory), options)
    paths = [found.directory / c.file for claims in found.splits.values() for c in claims]
    return sum(path.stat().st_size for path in paths if path.is_file())


def _layout_of(directory: pathlib.Path, options: Options) -> Layout:
    if options.anew or (directory.is_dir() and not (directory / FILE_NAME).exists()):
        if not directory.is_dir():
            Manifest.load(directory)  # raises, and says why
        found = foreign.layout_of(directory)
    else:
        manifest = Manifest.load(directory)
        names = {path.name for path in directory.iterdir()}
        found = layout.by_manifest(manifest, {name for name in names if foreign.split_of(name)})
        if not found.splits:
            what, remedy = "the manifest lists no splits", "make the data set again"
            raise UserError(errors.BAD_DATA, what, directory / FILE_NAME, remedy)
    if options.classes:
        found = dataclasses.replace(found, classes=options.classes, classes_from="--classes")
    return found.only(options.split) if options.split else found


def _check_names(found: Layout, findings: Findings) -> None:
    if found.manifest is None and not (found.directory / FILE_NAME).exists():
        findings.add("no-manifest", "the shards were found by their names")
    for name in found.missing:
        findings.add("missing-shard", "the names of the others imply it", file=name)
    for name in found.extra:
        findings.add("unlisted-shard", f"{FILE_NAME} does not list it", file=name)


def _report(found: Layout, findings: Findings, survey: Survey, classes: Classes) -> Report:
    for split, shards in survey.shards.items():
        if not sum(shard.records for shard in shards):
            findings.add("no-records", f"split {split} has none")
    channels = 1 if survey.grey and survey.sizes else 3
    height, width = next(iter(survey.sizes)) if len(survey.sizes) == 1 else (None, None)
    mean, std = (), ()
    if survey.count:
        means = survey.sums / survey.count
        variance = np.maximum(survey.squares / survey.count - np.square(means), 0)
        mean = tuple(np.round(means[:channels], 4).tolist())
        # A set of constant pictures has no spread to divide by.
        deviation = np.where(variance > 1e-8, np.sqrt(variance), 1.0)
        std = tuple(np.round(deviation[:channels], 4).tolist())
    return Report(
        found, findings, survey.features or Features(), survey.shards, survey.tables, classes,
        labels.histogram(survey, classes), height, width, channels, mean, std,
    )  # fmt: skip


def _check_statistics(report: Report) -> None:
    manifest = report.layout.manifest
    measured = manifest and "train" if manifest and "train" in manifest.splits else None
    if not report.mean or manifest is None:
        return
    if measured and measured not in report.shards:
        return  # only another split was looked at
    for name, stated, found in (
        ("mean", manifest.mean, report.mean),
        ("std", manifest.std, report.std),
    ):
        if len(stated) != len(found):
            found = found * len(stated) if len(found) == 1 else found
        if len(stated) != len(found) or np.abs(np.subtract(stated, found)).max() > _TOLERANCE:
            what = f"{name} is {_numbers(found)}, the manifest says {_numbers(stated)}"
            report.findings.add("statistics", what)


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.2f}" for value in values)
