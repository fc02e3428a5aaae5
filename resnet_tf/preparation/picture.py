"""What a source of pictures gives to the writer."""

import dataclasses
from collections.abc import Callable, Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """One picture to be written.

    Attributes:
      read: gives its encoded bytes; called from several threads.
      size: how many bytes those are, or nearly.
      label: index into the classes.
      filename: where it came from, unique in its split; kept in the record.
      changed: when its file was last changed, in ns, so that a start after a kill does not go
        on from pictures that are others by now; 0 where the source has no such date.
    """

    read: Callable[[], bytes]
    size: int
    label: int
    filename: str
    changed: int = 0


@dataclasses.dataclass(frozen=True)
class Listing:
    """All that a source holds, before a picture is read.

    Attributes:
      name: of the data set.
      licence: of the pictures; "not stated" where the source says nothing.
      classes: names by label.
      splits: pictures by split.
      remarks: lines that the user should read once, such as what was passed over.
      roots: by split, the folder that its file names start from, as messages should show it;
        none where the names say enough.
    """

    name: str
    licence: str
    classes: tuple[str, ...]
    splits: dict[str, Sequence[Picture]]
    remarks: tuple[str, ...] = ()
    roots: dict[str, str] = dataclasses.field(default_factory=dict)
