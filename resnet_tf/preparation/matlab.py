"""Tables in MATLAB 5 files: as much of the format as ImageNet's `meta.mat` needs.

After 128 bytes of header a file is a sequence of elements,
    type (uint32) · bytes (uint32) · data, padded to a multiple of 8 bytes
or, up to 4 bytes of data,  bytes (uint16) · type (uint16) · data, 4 bytes in all
(little-endian). Type 15 is another element under zlib, type 14 a matrix: elements for class,
dimensions and name, then for a struct the length of a field name, the names, and a matrix
for each field of each row. MathWorks, *MAT-File Format*, R2019b.
"""

import struct
import zlib
from collections.abc import Iterator

_MAX_BYTES = 64 * 2**20
_MATRIX, _COMPRESSED = 14, 15
_UTF8 = 16
_STRUCT, _CHAR, _LAST_NUMERIC = 2, 4, 15  # classes of matrices
_DAMAGED = (
    struct.error, zlib.error, StopIteration, IndexError, TypeError, ValueError, OverflowError,
    RecursionError, ZeroDivisionError,
)  # fmt: skip
_NUMBERS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q",
            16: "B", 17: "H", 18: "I"}  # fmt: skip


def read_table(data: bytes, name: str) -> list[dict]:
    """The rows of a struct array.

    Args:
      data: the whole file.
      name: of the variable.

    Returns:
      A row's fields by name: text as str, numbers as a list, anything else as None.

    Raises:
      ValueError: where the file is damaged, of another version, or has no such table.
    """
    if data[124:128] != b"\0\x01IM":
        raise ValueError("not a little-endian MATLAB 5 file")
    try:
        for kind, body in _elements(data[128:]):
            if kind == _COMPRESSED:
                kind, body = next(_elements(zlib.decompressobj().decompress(body, _MAX_BYTES)))
            if kind == _MATRIX:
                found, value = _matrix(body)
                if found == name and isinstance(value, list):
                    return value
    except _DAMAGED as error:
        raise ValueError("the MATLAB file is damaged") from error
    raise ValueError(f"the MATLAB file has no table {name!r}")


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        kind, size = struct.unpack_from("<II", data, position)
        start, stride = position + 8, size + 8
        if kind >> 16:  # the short form
            kind, size = kind & 0xFFFF, kind >> 16
            start, stride = position + 4, 8
        elif kind != _COMPRESSED:
            stride += -size % 8
        if start + size > len(data):
            raise struct.error("an element runs past the end")
        yield kind, data[start : start + size]
        position += stride


def _matrix(body: bytes) -> tuple[str, object]:
    """Name and value of a matrix."""
    elements = _elements(body)
    if not body:  # an empty cell of a struct
        return "", None
    matrix_class = next(elements)[1][0]
    next(elements)  # the dimensions: all that is read here are columns
    name = next(elements)[1].decode("latin-1")
    if matrix_class == _STRUCT:
        length = struct.unpack("<i", next(elements)[1])[0]
        names = next(elements)[1]
        fields = [
            names[i : i + length].split(b"\0")[0].decode("latin-1")
            for i in range(0, len(names), length)
        ]
        values = [_matrix(cell)[1] for _, cell in elements]
        rows = range(0, len(values), len(fields))
        return name, [dict(zip(fields, values[i : i + len(fields)])) for i in rows]
    if matrix_class > _LAST_NUMERIC:
        return name, None
    kind, data = next(elements, (1, b""))
    if kind not in _NUMBERS:
        return name, None
    if matrix_class == _CHAR and kind == _UTF8:
        return name, data.decode()
    numbers = [value for (value,) in struct.iter_unpack("<" + _NUMBERS[kind], data)]
    return name, "".join(map(chr, numbers)) if matrix_class == _CHAR else numbers
