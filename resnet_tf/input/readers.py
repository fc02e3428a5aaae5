"""Which reader a split is read with."""

import copy
import os

from resnet_tf import errors
from resnet_tf.errors import UserError, bad_flag
from resnet_tf.files import file_system
from resnet_tf.input.bad_records import BadRecords
from resnet_tf.input.manifest import Manifest
from resnet_tf.input.memory import ArrayReader, MemoryReader
from resnet_tf.input.stored import EncodedMemoryReader, IndexedReader, StoredReader
from resnet_tf.input.windowed import WindowedReader
from resnet_tf.preprocessing import Preprocessing

Reader = ArrayReader | StoredReader
KINDS = ("auto", "memory", "indexed", "windowed")

# What is kept in memory, as far as it is not more than a quarter of the machine's: by itself, and
# when it is asked for.
_SMALL, _LARGE = 2 * 2**30, 8 * 2**30
_NETWORK = (
    "nfs",
    "cifs",
    "smb",
    "lustre",
    "gpfs",
    "ceph",
    "gluster",
    "afs",
    "beegfs",
    "fuse",
    "9p",
)


def choose(
    manifest: Manifest,
    split: str,
    pictures: Preprocessing,
    *,
    kind: str = "auto",
    window: int = 0,
    fixed: bool = True,
    bad: BadRecords | None = None,
) -> Reader:
    """The reader for a split. All of them give the same records in the same order.

    - *memory*: small sets. The decoded pictures where they are `fixed`, else the encoded ones.
      By itself up to 2 GiB, when asked for up to 8 GiB, and a quarter of the machine's memory.
    - *windowed*: where the order has windows (`window`) and the disk is a network's.
    - *indexed*: everything else.

    Args:
      manifest: of the data set.
      split: name of the split.
      pictures: how they are cut and resized.
      kind: one of KINDS; "auto" decides as above.
      window: of the `Order` that will be asked for; 0 where there is none.
      fixed: whether a record gives the same pixels every time, before augmentation.
      bad: takes in records that cannot be used; None allows no such record.

    Raises:
      UserError: 64 where the kind cannot be, 65 and 66 for records that cannot be used.
    """
    size = _bytes(manifest, split, pictures, fixed)
    if kind == "auto":
        if size <= _limit(_SMALL):
            kind = "memory"
        else:
            kind = "windowed" if window and on_network(manifest.directory) else "indexed"
    if kind == "memory":
        _refuse_large(manifest, split, size)
        if fixed:
            return MemoryReader(manifest, split, pictures, bad)
        return EncodedMemoryReader(manifest, split, pictures, bad or BadRecords.none())
    if kind == "windowed":
        if not window:
            raise bad_flag("reader", "windowed needs an order with windows: give --shuffle_window")
        return WindowedReader(manifest, split, pictures)
    return IndexedReader(manifest, split, pictures)


def first(reader: Reader, records: int) -> Reader:
    """A reader of the first `records` of another, or of all where it has no more."""
    part = copy.copy(reader)
    part.records = min(records, reader.records)
    return part


def on_network(directory: str | os.PathLike) -> bool:
    """Whether the file system of a directory is one that is reached over a network."""
    return file_system(directory).startswith(_NETWORK)


def _bytes(manifest: Manifest, split: str, pictures: Preprocessing, fixed: bool) -> int:
    if fixed:
        return manifest.records(split) * pictures.height * pictures.width * pictures.channels
    return sum(shard.bytes for shard in manifest.shards(split))


def _limit(most: int) -> int:
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return most
    return min(most, memory // 4)


def _refuse_large(manifest: Manifest, split: str, size: int) -> None:
    if size > _limit(_LARGE):
        raise UserError(
            errors.BAD_FLAGS,
            f"split {split!r} takes {size / 2**30:.1f} GiB, more than the"
            f" {_limit(_LARGE) / 2**30:.0f} GiB that are kept in memory",
            manifest.directory,
            "leave --reader out, or give --reader=indexed",
        )
