"""Where each record lies: shard, offset and length, found by walking the record headers.

A TFRecord file is a sequence of
    length (uint64, little endian) · crc of length (uint32) · payload · crc of payload (uint32)
so hopping from header to header finds every record without reading the payloads, and a
file that was cut, even exactly between two records, shows against the manifest's count.
"""

import contextlib
import hashlib
import mmap
import os
import pathlib
import struct
import zipfile

import numpy as np

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.files import cache_directory
from resnet_tf.input.manifest import Manifest

_HEADER = struct.Struct("<QI")
HEADER_BYTES = _HEADER.size
_FOOTER_BYTES = 4
FRAME_BYTES = HEADER_BYTES + _FOOTER_BYTES


def build(manifest: Manifest, split: str) -> np.ndarray:
    """The index of a split: int64 `[records, 3]` of shard number, payload offset and length.

    Built once and kept in the cache directory (`RESNET_TF_CACHE`, by default
    `~/.cache/resnet_tf`); a shard of another size or date makes it anew.

    Raises:
      UserError: 65 where a shard is not a sequence of records, or not of as many as the
        manifest says; 66 where one is missing.
    """
    paths = manifest.paths(split)
    cached = _cache_path(paths)
    try:
        index = np.load(cached, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        index = None
    if index is None or index.shape != (manifest.records(split), 3):
        rows = []
        for number, (path, shard) in enumerate(zip(paths, manifest.shards(split))):
            found = walk(path)
            if len(found) != shard.records:
                raise UserError(
                    errors.BAD_DATA,
                    f"expected {shard.records} records, found {len(found)}",
                    path,
                    "restore the file, or prepare the data again",
                )
            rows.append(np.insert(found, 0, number, axis=1))
        index = np.concatenate(rows)
        _store(cached, index)
    return index


def walk(path: str | os.PathLike) -> np.ndarray:
    """Offset and length of every payload in one file: int64 `[records, 2]`.

    Raises:
      UserError: 65, naming the record and its byte, where the chain of headers breaks.
    """
    found, position, size = [], 0, os.path.getsize(path)
    if size:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            while position < size:
                start = position + HEADER_BYTES
                length = _HEADER.unpack_from(data, position)[0] if start <= size else size
                # A length beyond the file is a cut or a file of another kind; it is never
                # allocated.
                if start + length + _FOOTER_BYTES > size:
                    raise UserError(
                        errors.BAD_DATA,
                        f"record {len(found)} at byte {position} runs past the end of the file"
                        + _guess(data[:4]),
                        path,
                        "restore the file, or prepare the data again",
                    )
                found.append((start, length))
                position = start + length + _FOOTER_BYTES
    return np.array(found, np.int64).reshape(-1, 2)


def _guess(start: bytes) -> str:
    if start.startswith(b"\x1f\x8b"):
        return "; this is a gzip file, and records are read uncompressed"
    return ""


def _cache_path(paths: list[pathlib.Path]) -> pathlib.Path:
    key = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in paths]
    return cache_directory() / "index" / f"{hashlib.sha256(repr(key).encode()).hexdigest()}.npy"


def _store(path: pathlib.Path, index: np.ndarray) -> None:
    """A cache that cannot be written costs time later, nothing else."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            np.save(file, index, allow_pickle=False)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
