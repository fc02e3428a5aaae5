"""Tar archives as they come from a stranger: indexed by their headers, never extracted.

A member is refused, by name, unless it is a regular file or a folder with a relative path
that stays inside the archive; of Python's `tarfile.data_filter` (PEP 706) this keeps only
what reading needs, and every member has to pass that filter too where Python has it (3.12,
and from 3.10.12 and 3.11.4 on). Nothing is allocated on a header's word: reads are bounded
by the archive's true size and, for headers, by a megabyte.
"""

import contextlib
import gzip
import os
import pathlib
import stat
import tarfile
import zlib
from collections.abc import Iterator

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.preparation.stretch import Stretch

MAX_MEMBERS = 2_000_000
MAX_UNPACKED = 2**30  # of a compressed archive, which is read whole
_MAX_HEADER = 2**20
_REMEDY = "fetch the archive again, and compare its checksum"
_DAMAGED = (
    tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error,
    ValueError, IndexError, OverflowError, RecursionError,  # tarfile's own, on forged headers
)  # fmt: skip
_data_filter = getattr(tarfile, "data_filter", None)


def members(
    path: pathlib.Path, within: Stretch | None = None, name: str = ""
) -> dict[str, Stretch]:
    """Where the bytes of a tar's regular files lie, by name, in its order.

    Args:
      path: the archive, not compressed.
      within: a member of it that is a tar itself, to go through that one.
      name: of that member, for messages.

    Raises:
      UserError: 66 where the file cannot be read, 65 for an archive that is damaged, cut or
        compressed, and for a member that is not safe, is there twice or claims more bytes
        than there are.
    """
    where = f"{path}: {name}" if within else path
    with _reading(path, where) as file:
        size = os.fstat(file.fileno()).st_size
        window = _Window(file, within.offset, within.size) if within else _Window(file, 0, size)
        return {
            member.name: Stretch(path, window.start + member.offset_data, member.size)
            for member in _safe(window, where)
        }


def read_all(path: pathlib.Path, endings: tuple[str, ...]) -> dict[str, bytes]:
    """The contents of a small archive, gzipped or not, by path.

    Args:
      path: the archive; `MAX_UNPACKED` bytes at most once unpacked.
      endings: of the names of the files that are wanted.

    Raises:
      UserError: as in `members`.
    """
    with _reading(path, path) as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = gzip.GzipFile(fileobj=raw) if packed else raw
        window = _Window(file, 0, MAX_UNPACKED if packed else os.fstat(raw.fileno()).st_size)
        contents = {}
        for member in _safe(window, path):
            if member.name.endswith(endings):
                contents[member.name] = data = window.at(member.offset_data, member.size)
                if len(data) < member.size:
                    raise _bad(path, f"the archive is cut off inside {member.name}")
        if packed:
            file.seek(MAX_UNPACKED)  # or to the end, where its checksum is compared
        return contents


class _Window:
    """A stretch of a file; what a header asks for beyond its end is never allocated."""

    def __init__(self, file, start: int, size: int):
        self._file, self.start, self.size, self._position = file, start, size, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        if size > _MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        data = self.at(self._position, _MAX_HEADER if size < 0 else size)
        self._position += len(data)
        return data

    def at(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`, fewer at the end."""
        self._file.seek(self.start + max(0, offset))  # Python 3.10 seeks before an empty tar
        return self._file.read(max(0, min(size, self.size - offset)))


def _safe(window: _Window, where: object) -> Iterator[tarfile.TarInfo]:
    """Goes from header to header and lets regular files through that pass every check."""
    names, count = set(), 0
    with tarfile.open(fileobj=window, mode="r:") as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # it would keep every header
            _check(member, window, where)
            count += 1
            if count > MAX_MEMBERS:
                raise _bad(where, f"more than {MAX_MEMBERS} members")
            if member.isreg():
                if member.name in names:
                    raise _bad(where, f"the member {member.name} is there twice")
                names.add(member.name)
                yield member
        # tarfile takes a damaged header for the end; the true end is a block of zeros.
        end = window.at(tar.offset, tarfile.BLOCKSIZE)
    if end != bytes(tarfile.BLOCKSIZE):
        state = "is damaged" if len(end) == tarfile.BLOCKSIZE else "is cut off"
        raise _bad(where, f"the archive {state} at byte {tar.offset}")


def _check(member: tarfile.TarInfo, window: _Window, where: object) -> None:
    if member.name.startswith("/") or ".." in member.name.replace("\\", "/").split("/"):
        reason = "leads out of the archive"
    elif not (member.isreg() or member.isdir()):
        reason = "is a link" if member.islnk() or member.issym() else "is a device or the like"
    elif member.issparse():
        reason = "is sparse"
    elif member.size < 0 or member.offset_data + member.size > window.size:
        reason = f"claims {member.size} bytes, more than the archive has left"
    elif not _passes_filter(member):
        reason = "does not pass tarfile.data_filter"
    else:
        return
    raise _bad(where, f"the member {member.name} {reason}")


def _passes_filter(member: tarfile.TarInfo) -> bool:
    if _data_filter is None:
        return True
    try:
        # Nothing is written: the folder need not exist.
        return _data_filter(member, "/nowhere") is not None
    except tarfile.FilterError:
        return False


@contextlib.contextmanager
def _reading(path: pathlib.Path, where: object):
    """The open file; what goes wrong while it is read becomes a `UserError`."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _bad(where, "not a regular file")
            yield file
    except _DAMAGED as error:
        raise _bad(where, f"not a tar archive, or a damaged one: {error}") from error
    except OSError as error:
        raise UserError(
            errors.MISSING_INPUT,
            f"cannot read the archive: {error.strerror}",
            path,
            "see that it is there and can be read",
        ) from error


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe would keep it for ever


def _bad(where: object, what: str) -> UserError:
    return UserError(errors.BAD_DATA, what, where, _REMEDY)
