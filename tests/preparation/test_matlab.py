"""MATLAB files written here by the format's description, and read back."""

import struct
import zlib

import pytest

from resnet_tf.preparation import matlab

HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\x01IM"


def element(kind, data):
    if 0 < len(data) <= 4:
        return struct.pack("<HH", kind, len(data)) + data.ljust(4, b"\0")
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def long_element(kind, data):
    """Never the short form, which a writer need not use."""
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(matrix_class, rows, columns, name, *parts):
    start = element(6, struct.pack("<II", matrix_class, 0))
    start += element(5, struct.pack("<ii", rows, columns)) + element(1, name.encode())
    return element(14, start + b"".join(parts))


def text(value, kind=17):
    data = value.encode({17: "utf-16-le", 16: "utf-8", 4: "utf-16-le", 1: "ascii"}[kind])
    return matrix(4, 1, len(value), "", element(kind, data))


def number(value, kind=9, code="d"):
    return matrix(6, 1, 1, "", element(kind, struct.pack(f"<{code}", value)))


def table(name, fields, *cells):
    names = b"".join(field.encode().ljust(32, b"\0") for field in fields)
    parts = element(5, struct.pack("<i", 32)), element(1, names), *cells
    return matrix(2, len(cells) // len(fields), 1, name, *parts)


def compressed(data):
    packed = zlib.compress(data)
    return struct.pack("<II", 15, len(packed)) + packed  # not padded


SYNSETS = [(2, "n02", "a dog"), (1, "n01", "café"), (1000, "n03", "")]


def synsets(name="synsets"):
    cells = []
    for i, (identity, wnid, words) in enumerate(SYNSETS):
        kind, code = [(9, "d"), (2, "B"), (4, "H")][i]  # MATLAB stores as small as it can
        cells += [number(identity, kind, code), text(wnid, [17, 16, 4][i]), text(words)]
    return table(name, ["ILSVRC2012_ID", "WNID", "words"], *cells)


@pytest.mark.parametrize("pack", [bytes, compressed])
def test_table(pack):
    rows = matlab.read_table(HEADER + pack(synsets()), "synsets")
    assert rows == [
        {"ILSVRC2012_ID": [identity], "WNID": wnid, "words": words}
        for identity, wnid, words in SYNSETS
    ]


@pytest.mark.parametrize("pack", [bytes, compressed])
def test_other_variables_are_passed_over(pack):
    others = matrix(6, 1, 2, "x", element(9, struct.pack("<dd", 1, 2))), synsets("other")
    data = HEADER + b"".join(pack(part) for part in (*others, synsets(), others[0]))
    assert [row["WNID"] for row in matlab.read_table(data, "synsets")] == ["n02", "n01", "n03"]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (number(-7, 5, "i"), [-7]),
        (number(0.5, 7, "f"), [0.5]),
        (text("ascii", 1), "ascii"),
        (element(14, b""), None),
        (matrix(6, 0, 0, "", element(9, b"")), []),
        (matrix(1, 1, 1, "", number(3)), None),  # a cell array
        (matrix(16, 1, 1, "", element(6, b"1234")), None),  # a function
        (table("", ["a"], number(1), number(2)), [{"a": [1]}, {"a": [2]}]),
    ],
)
def test_values(cell, value):
    assert matlab.read_table(HEADER + table("t", ["field"], cell), "t") == [{"field": value}]


def test_long_form_of_short_data():
    cell = matrix(4, 1, 1, "", long_element(17, b"x\0"))
    assert matlab.read_table(HEADER + table("t", ["f"], cell), "t") == [{"f": "x"}]


@pytest.mark.parametrize(
    "data", [b"", b"MATLAB 7.3 MAT-file", b"x" * 200, HEADER[:-2] + b"MI" + synsets()]
)
def test_other_files(data):
    with pytest.raises(ValueError, match="not a little-endian MATLAB 5 file"):
        matlab.read_table(data, "synsets")


@pytest.mark.parametrize("data", [b"", synsets("other"), number(1)])
def test_no_such_table(data):
    with pytest.raises(ValueError, match="the MATLAB file has no table 'synsets'"):
        matlab.read_table(HEADER + data, "synsets")


@pytest.mark.parametrize("pack", [bytes, compressed])
def test_every_cut_is_found(pack):
    data = pack(synsets())
    for size in range(1, len(data), 3):
        with pytest.raises(ValueError, match="the MATLAB file"):
            matlab.read_table(HEADER + data[:size], "synsets")


def test_unpacking_is_bounded(monkeypatch):
    monkeypatch.setattr(matlab, "_MAX_BYTES", 1000)
    padding = matrix(6, 1, 1, "x", element(9, bytes(8000)))
    with pytest.raises(ValueError, match="damaged"):
        matlab.read_table(HEADER + compressed(padding), "x")
