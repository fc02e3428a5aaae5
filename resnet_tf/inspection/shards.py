"""One shard: what its file is, whether it is the one described, where its records lie."""

import concurrent.futures
import contextlib
import hashlib
import mmap
import pathlib
import stat
from collections.abc import Iterator

from resnet_tf.input import headers
from resnet_tf.input.manifest import Shard
from resnet_tf.inspection import framing
from resnet_tf.inspection.findings import Findings
from resnet_tf.inspection.framing import Frames
from resnet_tf.inspection.layout import Claim

_HINTS = {
    "gzip": "it is compressed by gzip: unpack it, records are read uncompressed",
    "jpeg": "it is a JPEG: make records of pictures with data/prepare.py",
    "png": "it is a PNG: make records of pictures with data/prepare.py",
}


def size_of(path: pathlib.Path, findings: Findings) -> int | None:
    """Bytes of a shard that can be looked into; None, with a finding, for any other."""
    try:
        status = path.stat()
    except FileNotFoundError:
        findings.add("missing-shard", "no such file", file=path.name)
        return None
    except OSError as error:
        findings.add("unreadable-shard", error.strerror or str(error), file=path.name)
        return None
    if not stat.S_ISREG(status.st_mode):
        what = "it is a directory" if stat.S_ISDIR(status.st_mode) else "it is no regular file"
        findings.add("not-regular", what, file=path.name)
        return None
    if status.st_size == 0:
        findings.add("empty-shard", "it has no bytes", file=path.name)
        return None
    return status.st_size


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[mmap.mmap]:
    """The bytes of a file, mapped."""
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        yield data
    finally:
        with contextlib.suppress(BufferError):  # interrupted while another thread reads it
            data.close()


class Look:
    """A look at one shard: starts hashing and checking at once, in two threads.

    Args:
      path: of the shard.
      data: its bytes.
      pool: of at least two threads.
    """

    def __init__(self, path: pathlib.Path, data: mmap.mmap, pool: concurrent.futures.Executor):
        self._path, self._data = path, data
        self._sha256 = pool.submit(lambda: hashlib.sha256(data).hexdigest())
        self.frames: Frames = framing.frames_of(data)
        # TensorFlow's reader allocates what a length says, and a forged one ends the process.
        whole = not (self.frames.gaps or self.frames.damaged_lengths)
        count = len(self.frames.offsets)
        self._sound = pool.submit(lambda: whole and framing.is_sound(path, count))

    def finish(self, claim: Claim, findings: Findings, keys) -> tuple[Shard, set[int]]:
        """Waits for both, and says what is wrong.

        Args:
          claim: what is said of the shard.
          findings: to add to.
          keys: record number -> the record's key, for damaged records.

        Returns:
          The shard as found, and the numbers of the records that are damaged.
        """
        name, frames = self._path.name, self.frames
        shard = Shard(name, len(frames.offsets), len(self._data), self._sha256.result())
        damaged = set(frames.damaged_lengths)
        if not self._sound.result() and len(frames.offsets):
            damaged |= self._damaged(findings, keys)
            if not damaged and not frames.gaps:
                findings.add("unreadable-shard", "TensorFlow's reader refuses it", file=name)
        self._gaps(findings)
        for kind, stated, found, unit in (
            ("record-count", claim.records, shard.records, " records"),
            ("shard-size", claim.bytes, shard.bytes, " bytes"),
        ):
            if stated is not None and stated != found and shard.records:
                findings.add(kind, f"expected {stated}{unit}, found {found}", file=name)
        if claim.sha256 is not None and claim.sha256 != shard.sha256:
            findings.add("shard-sha256", f"sha256 is {shard.sha256}", file=name)
        return shard, damaged

    def _damaged(self, findings: Findings, keys) -> set[int]:
        frames, damaged = self.frames, set()
        lengths, payloads = "the checksum of its length is wrong", "its bytes were changed"
        for kind, numbers, what in (
            ("damaged-length", frames.damaged_lengths, lengths),
            ("damaged-payload", framing.damaged_payloads(self._data, frames), payloads),
        ):
            for number in numbers:
                damaged.add(number)
                findings.add(
                    kind, what, file=self._path.name, record=number,
                    offset=int(frames.offsets[number]), key=keys(number),
                )  # fmt: skip
        return damaged

    def _gaps(self, findings: Findings) -> None:
        name, frames = self._path.name, self.frames
        if not len(frames.offsets):
            kind = headers.format_of(self._data[:512])
            guess = "" if kind == "unknown" else f"it looks like {kind}"
            what = _HINTS.get(kind, guess or f"it starts {self._data[:8]!r}")
            findings.add("not-tfrecord", f"not a TFRecord file: {what}", file=name)
            return
        for gap in frames.gaps:
            ends = "to the end of the file" if gap.end == len(self._data) else f"to byte {gap.end}"
            what = f"{gap.end - gap.start:,} bytes {ends} hold no record that can be read"
            findings.add("unreadable-bytes", what, file=name, record=gap.record, offset=gap.start)
