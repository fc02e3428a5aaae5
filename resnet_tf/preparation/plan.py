"""What will be written where, decided before a picture is read."""

import dataclasses
import hashlib
import itertools
import json
import math

import numpy as np

from resnet_tf.preparation.picture import Listing, Picture
from resnet_tf.preparation.recode import Recode

SHARD_BYTES = 100 * 10**6
# Enough to know mean and standard deviation by: all of CIFAR-10, some 400 photographs.
MEASURED_PIXELS = 100 * 10**6
_FORMAT = 1  # a change of what is written makes what an older version began useless
_RECORD_BYTES = 250  # of a record, beside its picture


@dataclasses.dataclass(frozen=True)
class PlannedShard:
    """One file to be written.

    Attributes:
      file: its name.
      split: that it belongs to.
      pictures: in the order on disk.
      measured_pixels: pictures are decoded for mean and standard deviation until they hold so
        many pixels; 0 in splits that are not measured.
      root: goes before file names in messages, "train/", say, or "".
    """

    file: str
    split: str
    pictures: tuple[Picture, ...]
    measured_pixels: int
    root: str = ""


@dataclasses.dataclass(frozen=True)
class Plan:
    """All shards, and a fingerprint that is the same for the same command and source."""

    shards: tuple[PlannedShard, ...]
    measured_split: str
    fingerprint: str

    @property
    def pictures(self) -> int:
        """How many there are in all shards."""
        return sum(len(shard.pictures) for shard in self.shards)

    @property
    def size(self) -> int:
        """Bytes of all pictures."""
        return sum(picture.size for shard in self.shards for picture in shard.pictures)

    def size_on_disk(self) -> int:
        """Bytes that the shards will have, or a few more."""
        return self.size + self.pictures * _RECORD_BYTES


def make(listing: Listing, seed: int, recode: Recode | None, skip_bad: bool) -> Plan:
    """The plan for a listing; the pictures of a split are put in an order drawn by `seed`.

    Mean and standard deviation are those of "train", or of the first split. As records are
    in a random order, the first ones of each of its shards are a random sample of it.
    """
    measured = "train" if "train" in listing.splits else next(iter(listing.splits))
    shards = []
    for k, (split, pictures) in enumerate(listing.splits.items()):
        order = np.random.default_rng([seed, k]).permutation(len(pictures))
        shuffled = [pictures[i] for i in order]
        pixels = MEASURED_PIXELS if split == measured else 0
        root = f"{listing.roots[split]}/" if split in listing.roots else ""
        shards += _cut(split, shuffled, pixels, root)
    fingerprint = _fingerprint(listing, seed, recode, skip_bad, shards)
    return Plan(tuple(shards), measured, fingerprint)


def _cut(split: str, pictures: list[Picture], pixels: int, root: str) -> list[PlannedShard]:
    """Shards of about SHARD_BYTES, of as many pictures each as can be."""
    total = len(pictures)
    number = max(1, min(total, round(sum(picture.size for picture in pictures) / SHARD_BYTES)))
    bounds = [i * total // number for i in range(number + 1)]
    return [
        PlannedShard(
            f"{split}-{i:05d}-of-{number:05d}.tfrecord",
            split,
            tuple(pictures[first:last]),
            math.ceil(pixels * (last - first) / total),
            root,
        )
        for i, (first, last) in enumerate(itertools.pairwise(bounds))
    ]


def _fingerprint(listing, seed, recode, skip_bad, shards) -> str:
    options = dataclasses.asdict(recode) if recode else None
    text = json.dumps(
        [_FORMAT, listing.name, listing.licence, listing.classes, seed, options, skip_bad]
    )
    digest = hashlib.sha256(text.encode())
    for shard in shards:
        digest.update(f"{shard.file}|{shard.measured_pixels}".encode())
        for p in shard.pictures:
            digest.update(f"|{p.filename!r}|{p.size}|{p.changed}|{p.label}".encode())
    return digest.hexdigest()
