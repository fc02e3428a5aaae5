"""Labels: where they start, which classes they mean, how many pictures each class has."""

import dataclasses

import numpy as np

from resnet_tf.inspection.findings import Findings
from resnet_tf.inspection.layout import Layout, distinct
from resnet_tf.inspection.reading import Reader
from resnet_tf.inspection.survey import NO_LABEL, Survey

_MOST_CLASSES = 1_000_000
_MOST_EMPTY = 1000  # classes that are named one by one


@dataclasses.dataclass(frozen=True)
class Classes:
    """What the labels mean.

    Attributes:
      names: in the order of labels.
      names_from: where they come from, in words.
      offset: subtracted from stored labels.
      offset_from: how that is known, in words.
      lowest, highest: stored labels; 0 where there is none.
    """

    names: tuple[str, ...]
    names_from: str
    offset: int
    offset_from: str
    lowest: int
    highest: int


def resolve(layout: Layout, survey: Survey, offset: int | None) -> Classes:
    """Class names and label offset: as told, else as found.

    Where nothing is said, labels that start at 1 (and end at the number of classes, where that
    is known) have the offset 1.
    """
    found = [labels for table in survey.tables if len(labels := _labels_of(table))]
    lowest = min((int(labels.min()) for labels in found), default=0)
    highest = max((int(labels.max()) for labels in found), default=0)
    how = "given"
    if offset is None:
        offset, how = layout.label_offset, "stated"
    if offset is None:
        ones = lowest == 1 if layout.classes is None else highest == len(layout.classes)
        offset, how = int(lowest >= 1 and ones), f"labels run from {lowest} to {highest}"
    names, names_from = layout.classes, layout.classes_from
    if names is None:
        names, names_from = _names_found(survey, offset, highest)
    return Classes(names, names_from, offset, how, lowest, highest)


def histogram(survey: Survey, classes: Classes) -> dict[str, np.ndarray]:
    """Usable pictures of each class, int64 `[classes]`, by split."""
    counts = {split: np.zeros(len(classes.names), np.int64) for split in survey.shards}
    for table in survey.tables:
        labels = table.rows["label"][table.rows["usable"]] - classes.offset
        labels = labels[(labels >= 0) & (labels < len(classes.names))]
        counts[table.split] += np.bincount(labels, minlength=len(classes.names))
    return counts


def check(survey: Survey, classes: Classes, findings: Findings, reader: Reader) -> None:
    """Adds what is wrong with labels: range, base, classes without pictures, texts."""
    number = len(classes.names)
    for table in survey.tables:
        labels = table.rows["label"]
        outside = (labels != NO_LABEL) & (
            (labels - classes.offset < 0) | (labels - classes.offset >= number)
        )
        table.rows["usable"] &= ~outside
        last = number - 1 + classes.offset
        for record in np.flatnonzero(outside):
            what = f"label {labels[record]} is not in {classes.offset}..{last}"
            findings.add("label-range", what, **reader.place(table, int(record)))
    if (classes.offset, classes.lowest, classes.highest) == (0, 1, number):
        what = f"labels run from 1 to {number}, {number} classes have 0 to {number - 1}"
        findings.add("one-based-labels", f"{what}: label_offset should be 1")
    for split, counts in histogram(survey, classes).items():
        empty = np.flatnonzero(counts == 0)
        if len(empty) > _MOST_EMPTY:  # a wrong label far up, most likely
            what = f"{len(empty):,} of {number:,} classes have no picture in {split}; labels run"
            findings.add("empty-class", f"{what} from {classes.lowest} to {classes.highest}")
            continue
        for label in empty:
            what = f"class {classes.names[label]} ({label}) has no picture in {split}"
            findings.add("empty-class", what)
    _check_texts(survey, classes, findings)


def _check_texts(survey: Survey, classes: Classes, findings: Findings) -> None:
    """A text that is another class's name, and a label with two texts."""
    other = {name: label for label, name in enumerate(classes.names)}
    first: dict[int, str] = {}
    for (label, text, _), place in survey.texts.items():
        label -= classes.offset
        if not 0 <= label < len(classes.names):
            continue
        if other.get(text, label) != label:
            what = f"its label is {label}, {classes.names[label]}; its text says {text}"
            findings.add("class-text", what, **place)
        elif first.setdefault(label, text) != text:
            what = f"label {label} is called {text} here and {first[label]} elsewhere"
            findings.add("class-text", what, **place)


def _labels_of(table) -> np.ndarray:
    labels = table.rows["label"]
    return labels[labels != NO_LABEL]


def _names_found(survey: Survey, offset: int, highest: int) -> tuple[tuple[str, ...], str]:
    number = min(max(highest - offset + 1, 1), _MOST_CLASSES)
    names, marks = [str(i) for i in range(number)], [""] * number
    found = False
    for (label, text, synset), _ in reversed(survey.texts.items()):
        if 0 <= label - offset < number:
            names[label - offset], marks[label - offset], found = text, synset, True
    if not found:
        return tuple(names), "nothing names them, so they are numbers"
    return distinct(names, marks), "image/class/text"
