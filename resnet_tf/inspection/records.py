"""One record: its fields, and what its picture's header says."""

import dataclasses
import hashlib

import tensorflow as tf

from resnet_tf.input import headers
from resnet_tf.input.manifest import Features

_PICTURES = ("image/encoded", "image", "image_raw", "encoded", "img", "jpeg")
_LABELS = ("image/class/label", "label", "labels", "class", "target", "image/label")
_KEYS = ("image/filename", "file_name", "filename", "image/key/sha256", "id", "key")
_TEXT, _SYNSET = "image/class/text", "image/class/synset"


@dataclasses.dataclass(slots=True)
class Record:
    """What one record holds.

    Attributes:
      encoded: the picture; b"" where there is none that training could use.
      label: as stored; None where there is none.
      key: names the picture.
      text: the class's name, where it is stored.
      synset: WordNet's number of the class, where it is stored.
      header: the picture's; None where it is unusable.
      problems: (kind, what) of all that is wrong or odd.
    """

    encoded: bytes = b""
    label: int | None = None
    key: str = ""
    text: str = ""
    synset: str = ""
    header: headers.Header | None = None
    problems: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def digest(self) -> bytes:
        """16 bytes that tell the picture from all others."""
        return hashlib.sha256(self.encoded).digest()[:16]


def look(payload: bytes, features: Features, max_pixels: int = headers.MAX_PIXELS) -> Record:
    """Everything that can be said of a record without decoding its picture."""
    record = Record()
    try:
        fields = tf.train.Example.FromString(payload).features.feature
    except Exception:  # protobuf's DecodeError is not public API
        record.problems.append(("not-an-example", f"it starts {payload[:8]!r}"))
        return record
    record.key = _string(fields, features.filename)
    record.text, record.synset = _string(fields, _TEXT), _string(fields, _SYNSET)
    for name, kind, what in (
        (features.encoded, "bytes_list", "one byte string"),
        (features.label, "int64_list", "one integer"),
    ):
        if problem := _wrong(fields, name, kind, what):
            record.problems.append(("bad-field", problem))
        elif name == features.label:
            record.label = fields[name].int64_list.value[0]
        else:
            record.encoded = fields[name].bytes_list.value[0]
            _look_at_picture(record, fields, max_pixels)
    return record


def features_of(payload: bytes) -> Features | None:
    """The names of the fields in a record made elsewhere; None where it has no picture or label.

    The usual names are taken first, then whatever holds a JPEG or PNG, and whatever is one
    integer and has "label" in its name.
    """
    try:
        fields = tf.train.Example.FromString(payload).features.feature
    except Exception:  # as above
        return None
    names = sorted(fields)
    pictures = [n for n in (*_PICTURES, *names) if n in fields and _holds_picture(fields[n])]
    labels = [
        n
        for n in (*_LABELS, *(n for n in names if "label" in n))
        if n in fields and len(fields[n].int64_list.value) == 1
    ]
    keys = [n for n in _KEYS if n in fields and len(fields[n].bytes_list.value) == 1]
    if not pictures or not labels:
        return None
    return Features(pictures[0], labels[0], (keys or [Features().filename])[0])


def _holds_picture(field) -> bool:
    values = field.bytes_list.value
    return len(values) == 1 and headers.format_of(values[0]) in ("jpeg", "png")


def _wrong(fields, name: str, kind: str, what: str) -> str:
    if name not in fields:
        return f"{name} is missing"
    found = fields[name].WhichOneof("kind")
    if found != kind:
        return f"{name} must be {what}, it is of type {found or 'none'}"
    count = len(getattr(fields[name], kind).value)
    return "" if count == 1 else f"{name} must be {what}, it has {count}"


def _string(fields, name: str) -> str:
    if name not in fields:
        return ""
    values = fields[name].bytes_list.value
    return values[0].decode("utf-8", "backslashreplace") if len(values) == 1 else ""


def _integer(fields, name: str) -> int | None:
    values = fields[name].int64_list.value if name in fields else ()
    return values[0] if len(values) == 1 else None


def _look_at_picture(record: Record, fields, max_pixels: int) -> None:
    """Sets the header, or empties `encoded` where training could not use it."""
    try:
        header = headers.inspect(record.encoded, max_pixels)
    except headers.Unusable as error:
        record.problems.append((error.kind, str(error)))
        record.encoded = b""
        return
    record.header = header
    if header.orientation > 1 or header.trailing or header.alpha or header.palette or (
        header.bits != 8 or header.channels == 4
    ):  # fmt: skip
        record.problems += _oddities(header)
    short, long = sorted((header.height, header.width))
    size = f"{header.height}x{header.width}"
    if long > 10 * short:
        record.problems.append(("aspect", size))
    if short < 4:
        record.problems.append(("tiny", size))
    stored = _integer(fields, "image/height"), _integer(fields, "image/width")
    if None not in stored and stored != (header.height, header.width):
        what = f"the record says {stored[0]}x{stored[1]}, the picture is {size}"
        record.problems.append(("disagrees", what))
    kind = _string(fields, "image/format").lower()
    if kind and kind.replace("jpg", "jpeg") != header.format:
        what = f"the record says {kind}, the picture is {header.format}"
        record.problems.append(("disagrees", what))


def _oddities(header: headers.Header) -> list[tuple[str, str]]:
    found = []
    if header.format == "jpeg" and header.channels == 4:
        found.append(("four-inks", "4 components"))
    if header.bits == 16:
        found.append(("sixteen-bits", "16 bits a sample"))
    if header.orientation > 1:
        found.append(("exif-turned", f"orientation {header.orientation}"))
    if header.trailing:
        found.append(("trailing-bytes", f"{header.trailing} bytes after the picture's end"))
    if header.alpha:
        found.append(("alpha", f"PNG of {header.channels} channels"))
    if header.palette:
        found.append(("palette", "PNG with a palette"))
    return found
