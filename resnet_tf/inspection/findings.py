"""What the doctor finds: its kinds, how bad each is, and what to do about it."""

import dataclasses
from collections import Counter
from collections.abc import Callable

from resnet_tf.errors import plain

ERROR, WARNING, NOTE = "error", "warning", "note"
KEPT = 1000  # of a kind; beyond, findings are counted and handed on, but not kept

_RESTORE = "restore the file, or prepare the data again"
_TAKE_OUT = "take the records out, or prepare the data again from mended pictures"

# Kind: severity, what it is, what to do.
KINDS = {
    "missing-shard": (ERROR, "shards that are missing", _RESTORE),
    "unreadable-shard": (ERROR, "shards that cannot be read", "see that they can be read"),
    "not-regular": (ERROR, "shards that are no regular files", "put the files themselves there"),
    "empty-shard": (ERROR, "shards without a byte", _RESTORE),
    "not-tfrecord": (ERROR, "files that are not TFRecord files", _RESTORE),
    "shard-size": (ERROR, "shards of another size than the manifest says", _RESTORE),
    "shard-sha256": (ERROR, "shards other than the manifest describes (sha256)", _RESTORE),
    "record-count": (ERROR, "shards with more or fewer records than stated", _RESTORE),
    "damaged-length": (ERROR, "records whose length fails its checksum", _RESTORE),
    "damaged-payload": (ERROR, "records that fail their checksum", _RESTORE),
    "unreadable-bytes": (ERROR, "stretches in which no record can be read", _RESTORE),
    "not-an-example": (ERROR, "records that are no tf.train.Example", _TAKE_OUT),
    "bad-field": (ERROR, "records with a field that is missing or of the wrong type", _TAKE_OUT),
    "label-range": (ERROR, "labels that no class has", "see --label_offset and --classes"),
    "empty-picture": (ERROR, "pictures without a byte", _TAKE_OUT),
    "other-format": (ERROR, "pictures that are neither JPEG nor PNG", _TAKE_OUT),
    "damaged-picture": (ERROR, "pictures with a damaged header or cut off", _TAKE_OUT),
    "too-large": (ERROR, "pictures above --max_image_pixels", "shrink them"),
    "undecodable": (ERROR, "pictures that cannot be decoded", _TAKE_OUT),
    "no-records": (ERROR, "splits without a record", "prepare the data again"),
    "no-manifest": (WARNING, "no dataset.json", "--write_manifest makes one"),
    "unlisted-shard": (WARNING, "files that the manifest does not list", "take them away"),
    "same-shard": (WARNING, "shards with the same bytes", "take one of them away"),
    "one-based-labels": (WARNING, "labels that start at 1", "see --label_offset"),
    "empty-class": (WARNING, "classes without a picture", "see whether that is meant"),
    "class-text": (WARNING, "labels whose class text says otherwise", "see the class names"),
    "leakage": (WARNING, "pictures in more than one split", "take them out of one"),
    "duplicate": (WARNING, "pictures that a split holds more than once", "take one of each out"),
    "four-inks": (WARNING, "pictures in four inks (CMYK or YCCK), read as RGB", "convert them"),
    "sixteen-bits": (WARNING, "pictures of 16 bits, of which 8 are read", "convert them"),
    "exif-turned": (WARNING, "pictures turned by EXIF, which is ignored", "turn the pixels"),
    "constant": (WARNING, "pictures of one colour", "see whether they are meant"),
    "aspect": (WARNING, "pictures more than 10 times as long as wide", "see them"),
    "tiny": (WARNING, "pictures with a side below 4 pixels", "see them"),
    "trailing-bytes": (WARNING, "pictures followed by other bytes", "harmless; see what it is"),
    "disagrees": (WARNING, "records whose size or format is not the picture's", "prepare again"),
    "statistics": (WARNING, "mean or deviation other than the manifest's", "write it anew"),
    "alpha": (NOTE, "pictures with alpha, which is dropped", ""),
    "palette": (NOTE, "pictures with a palette, read as RGB", ""),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
      kind: a key of `KINDS`.
      what: in plain words.
      file: name of the shard, "" where it is about the whole set.
      record: number in the shard, from 0, among the records that can be read.
      offset: of the record, in bytes from the shard's start.
      key: that names the picture, "" where there is none.
    """

    kind: str
    what: str
    file: str = ""
    record: int | None = None
    offset: int | None = None
    key: str = ""

    @property
    def severity(self) -> str:
        """ "error": training could not use it; "warning": merely odd; "note"."""
        return KINDS[self.kind][0]

    def to_json(self) -> dict:
        """The line that goes to stdout."""
        fields = dataclasses.asdict(self)
        return {"event": "finding", "severity": self.severity, **fields}

    def __str__(self) -> str:
        place = [plain(self.file)] if self.file else []
        if self.record is not None:
            place.append(f"record {self.record}")
        if self.offset is not None:
            place.append(f"byte {self.offset}")
        if self.key:
            place.append(plain(self.key))
        return ": ".join(filter(None, [", ".join(place), plain(self.what)]))


class Findings:
    """Counts findings, hands each on, and keeps the first of each kind.

    Args:
      handed_to: called with each finding; nothing by default.
    """

    def __init__(self, handed_to: Callable[[Finding], None] = lambda finding: None):
        self._handed_to = handed_to
        self.counts: Counter[str] = Counter()
        self.kept: dict[str, list[Finding]] = {}

    def add(self, kind: str, what: str, **place) -> None:
        """Takes one in; `place` is the rest of `Finding`'s fields."""
        finding = Finding(kind, what, **place)
        self.counts[kind] += 1
        kept = self.kept.setdefault(kind, [])
        if len(kept) < KEPT:
            kept.append(finding)
        self._handed_to(finding)

    def number(self, severity: str) -> int:
        """How many findings are of one severity."""
        return sum(n for kind, n in self.counts.items() if KINDS[kind][0] == severity)

    def kinds(self) -> list[str]:
        """The kinds that were found, errors first."""
        return [kind for kind in KINDS if self.counts[kind]]

    def lines(self, most: int = 20) -> list[str]:
        """For people to read: a heading a kind, at most `most` findings below it."""
        lines = []
        for kind in self.kinds():
            severity, title, remedy = KINDS[kind]
            count = self.counts[kind]
            advice = f" ({remedy})" if remedy else ""
            lines.append(f"{severity.upper()}: {title}: {count:,}{advice}")
            lines += [f"  {finding}" for finding in self.kept[kind][:most]]
            if count > most:
                lines.append(f"  … and {count - most:,} more")
        return lines


def counted(number: int, noun: str) -> str:
    """ "1 error", "2,000 errors"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
