"""Every record of every shard looked at once; 33 bytes a record are remembered."""

import collections
import concurrent.futures
import dataclasses
import functools
import mmap
from collections.abc import Callable

import numpy as np

from resnet_tf.input.manifest import Features, Shard
from resnet_tf.inspection import records, shards
from resnet_tf.inspection.decoding import Decoder, Pixels
from resnet_tf.inspection.findings import Findings
from resnet_tf.inspection.framing import Frames
from resnet_tf.inspection.layout import Claim, Layout

NO_LABEL = np.iinfo(np.int64).min
ROW = np.dtype(
    [("offset", "<i8"), ("label", "<i8"), ("digest", "<u8", 2), ("usable", "?")], align=False
)
_BATCH, _BATCH_BYTES, _PENDING = 512, 8 * 2**20, 3
_MOST_TEXTS = 100_000


@dataclasses.dataclass(frozen=True)
class Table:
    """What is remembered of one shard: `rows` of dtype `ROW`, one a record."""

    split: str
    file: str
    rows: np.ndarray


class Survey:
    """Goes through the shards of a layout.

    Args:
      layout: what there should be.
      findings: to add to.
      max_pixels: above which a picture is refused.
      workers: pictures decoded at a time; 0: none is decoded.

    Attributes:
      tables: one a shard.
      shards: of each split, as found.
      features: the names of the fields.
      texts: (label, class text, synset) -> place of the first record that has them.
      sizes: (height, width) of the pictures, at most two of them.
      grey: whether no picture has colours.
      count, sums, squares: over the decoded pixels of the measured split, a channel.
    """

    def __init__(self, layout: Layout, findings: Findings, max_pixels: int, workers: int):
        self._layout, self._findings, self._max_pixels = layout, findings, max_pixels
        self._decoder = Decoder(workers) if workers else None
        self.tables: list[Table] = []
        self.shards: dict[str, tuple[Shard, ...]] = dict.fromkeys(layout.splits, ())
        self.features = layout.features
        self.texts: dict[tuple[int, str, str], dict] = {}
        self.sizes: set[tuple[int, int]] = set()
        self.grey = True
        self.count, self.sums, self.squares = 0, np.zeros(3), np.zeros(3)

    def run(self, advance: Callable[[int], object]) -> None:
        """Looks at everything; `advance` is told the bytes of each shard that is done."""
        try:
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                for split, claims in self._layout.splits.items():
                    for claim in claims:
                        advance(self._file(split, claim, pool))
        finally:
            if self._decoder:
                self._decoder.close()

    def _file(self, split: str, claim: Claim, pool: concurrent.futures.Executor) -> int:
        """Looks at one shard; returns its bytes."""
        path = self._layout.directory / claim.file
        size = shards.size_of(path, self._findings)
        if size is None:
            return 0
        try:
            with shards.opened(path) as data:
                self._shard(split, claim, data, shards.Look(path, data, pool))
        except OSError as error:
            what = error.strerror or str(error)
            self._findings.add("unreadable-shard", what, file=claim.file)
        return size

    def _shard(self, split: str, claim: Claim, data: mmap.mmap, look: shards.Look) -> None:
        features = self._features(data, look.frames)
        keys = functools.partial(_key, data, look.frames, features)
        one = _Shard(self, split, claim.file, look.frames)
        for number in range(len(look.frames.offsets)):
            payload = look.frames.payload(data, number)
            one.take(number, records.look(payload, features, self._max_pixels))
        one.drain()
        shard, damaged = look.finish(claim, self._findings, keys)
        if damaged:
            self._forget(claim.file, one.rows, damaged)
        for number, kind, what, key in sorted(one.problems):
            if number not in damaged:
                offset = int(look.frames.offsets[number])
                self._findings.add(
                    kind, what, file=claim.file, record=number, offset=offset, key=key
                )
        self.tables.append(Table(split, claim.file, one.rows))
        self.shards[split] += (shard,)

    def _forget(self, file: str, rows: np.ndarray, damaged: set[int]) -> None:
        """What a damaged record says of itself counts for nothing."""
        rows["usable"][sorted(damaged)] = False
        rows["label"][sorted(damaged)] = NO_LABEL
        self.texts = {
            text: place
            for text, place in self.texts.items()
            if place["file"] != file or place["record"] not in damaged
        }

    def _features(self, data: mmap.mmap, frames: Frames) -> Features:
        for number in range(min(100, len(frames.offsets))):
            if self.features:
                break
            self.features = records.features_of(frames.payload(data, number))
        return self.features or Features()

    def add_pixels(self, pixels: Pixels) -> None:
        """Sums up pictures of the measured split."""
        self.count += int(pixels.count.sum())
        self.sums += pixels.sums.sum(axis=0)
        self.squares += pixels.squares.sum(axis=0)


class _Shard:
    """Records of one shard on their way from their bytes to their row."""

    def __init__(self, survey: Survey, split: str, file: str, frames: Frames):
        self._survey, self._file, self._frames = survey, file, frames
        self._measured = split == survey._layout.measured
        self._decoder = survey._decoder
        self.rows = np.zeros(len(frames.offsets), ROW)
        self.rows["offset"], self.rows["label"] = frames.offsets, NO_LABEL
        self.problems: list[tuple[int, str, str, str]] = []
        self._batch: list[tuple[int, records.Record]] = []
        self._bytes = 0
        self._pending = collections.deque()

    def take(self, number: int, record: records.Record) -> None:
        self.problems += [(number, kind, what, record.key) for kind, what in record.problems]
        if record.label is not None:
            if not -(2**62) < record.label < 2**62:
                what = f"label {record.label} is far beyond any class"
                self.problems.append((number, "label-range", what, record.key))
            else:
                self.rows["label"][number] = record.label
                self._remember_text(number, record)
        if record.header is None:
            return
        self.rows["digest"][number] = np.frombuffer(record.digest(), "<u8")
        self.rows["usable"][number] = record.label is not None
        if len(self._survey.sizes) < 2:
            self._survey.sizes.add((record.header.height, record.header.width))
        self._survey.grey &= record.header.channels < 3
        if self._decoder:
            self._batch.append((number, record))
            self._bytes += len(record.encoded)
            if len(self._batch) == _BATCH or self._bytes > _BATCH_BYTES:
                self._submit()

    def _remember_text(self, number: int, record: records.Record) -> None:
        texts = self._survey.texts
        key = record.label, record.text, record.synset
        if record.text and key not in texts and len(texts) < _MOST_TEXTS:
            offset = int(self._frames.offsets[number])
            texts[key] = {
                "file": self._file, "record": number, "offset": offset, "key": record.key
            }  # fmt: skip

    def _submit(self) -> None:
        batch, self._batch, self._bytes = self._batch, [], 0
        encoded = [record.encoded for _, record in batch]
        pixels = [record.header.height * record.header.width for _, record in batch]
        keys = [(number, record.key) for number, record in batch]
        self._pending.append((keys, self._decoder.submit(encoded, pixels)))
        while len(self._pending) > _PENDING:
            self._collect()

    def _collect(self) -> None:
        keys, future = self._pending.popleft()
        pixels = future.result()
        if self._measured:
            self._survey.add_pixels(pixels)
        for i in np.flatnonzero(~pixels.decodes):
            number, key = keys[i]
            self.rows["usable"][number] = False
            self.problems.append((number, "undecodable", "the picture cannot be decoded", key))
        for i in np.flatnonzero(pixels.decodes & ~pixels.varies):
            number, key = keys[i]
            value = ", ".join(str(level) for level in pixels.first[i])
            self.problems.append((number, "constant", f"every pixel is {value}", key))

    def drain(self) -> None:
        """Waits for what is still being decoded."""
        if self._batch:
            self._submit()
        while self._pending:
            self._collect()


def _key(data: mmap.mmap, frames: Frames, features: Features, number: int) -> str:
    """The key of a record that may be damaged; "" where it cannot be read."""
    return records.look(frames.payload(data, number), features).key
