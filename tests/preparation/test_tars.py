"""Tars are indexed where they lie; every unsafe, cut or damaged one is refused by name."""

import functools
import gzip
import io
import os
import tarfile

import numpy as np
import pytest

from resnet_tf.errors import UserError
from resnet_tf.preparation import tars


def member(name, data=b"", kind=tarfile.REGTYPE, link="", **fields):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def tar(*entries, form=tarfile.GNU_FORMAT):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def header(name, size, kind=b"0"):
    """A bare header that claims `size` bytes; huge and negative sizes are base-256."""
    info = tarfile.TarInfo(name)
    info.type = kind
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    if 0 <= size < 8**11:
        block[124:136] = b"%011o\0" % size
    else:
        block[124:136] = (0x80 if size > 0 else 0xFF).to_bytes(1, "big") + (
            size % 256**11
        ).to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def write(tmp_path, data, name="a.tar"):
    (tmp_path / name).write_bytes(data)
    return tmp_path / name


def refused(path, *texts, code=65, read=tars.members):
    with pytest.raises(UserError) as caught:
        read(path)
    assert caught.value.code == code
    for text in (*texts, str(path)):
        assert text in str(caught.value)


def read_all(path):
    return tars.read_all(path, (".txt",))


CONTENTS = {"a.txt": b"first", "folder/b.txt": b"", "c.txt": bytes(range(256)) * 5}


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_read_where_they_lie(tmp_path, form):
    long = {f"folder/{'x' * 80}.txt": b"long", **CONTENTS}
    entries = [member("folder", kind=tarfile.DIRTYPE), member(".", kind=tarfile.DIRTYPE)]
    path = write(tmp_path, tar(*entries, *(member(*item) for item in long.items()), form=form))
    found = tars.members(path)
    assert {name: stretch.read() for name, stretch in found.items()} == long
    assert list(found) == list(long)
    assert {name: stretch.size for name, stretch in found.items()} == {
        name: len(data) for name, data in long.items()
    }


def test_tar_inside_a_tar(tmp_path):
    inner = tar(*(member(*item) for item in CONTENTS.items()))
    path = write(tmp_path, tar(member("x.txt", b"before"), member("inner.tar", inner)))
    found = tars.members(path, tars.members(path)["inner.tar"])
    assert {name: stretch.read() for name, stretch in found.items()} == CONTENTS


@pytest.mark.parametrize(("size", "text"), [(600, "unexpected end of data"), (1024, "cut off")])
def test_cut_tar_inside_a_whole_one(tmp_path, size, text):
    inner = tar(*(member(*item) for item in CONTENTS.items()))[:size]
    path = write(tmp_path, tar(member("inner.tar", inner), member("x.txt", b"after" * 500)))
    within = tars.members(path)["inner.tar"]
    read = functools.partial(tars.members, within=within, name="inner.tar")
    refused(path, text, f"{path}: inner.tar", read=read)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_small_archives_are_read_whole(tmp_path, pack):
    entries = [member(*item) for item in CONTENTS.items()]
    path = write(tmp_path, pack(tar(*entries, member("d.bin", b"not wanted"))))
    assert read_all(path) == CONTENTS


def test_empty_archive_has_no_members(tmp_path):
    assert tars.members(write(tmp_path, tar())) == {}


ATTACKS = {
    "../x": tar(member("../x", b"1")),
    "a/../../x": tar(member("a/../../x", b"1")),
    "a\\..\\x": tar(member("a\\..\\x", b"1")),
    "/etc/x": tar(member("/etc/x", b"1")),
    "absolute-folder": tar(member("/absolute-folder", kind=tarfile.DIRTYPE)),
    "soft": tar(member("soft", kind=tarfile.SYMTYPE, link="/etc/passwd")),
    "inside": tar(member("inside", kind=tarfile.SYMTYPE, link="other")),
    "hard": tar(member("hard", kind=tarfile.LNKTYPE, link="../x")),
    "character": tar(member("character", kind=tarfile.CHRTYPE)),
    "block": tar(member("block", kind=tarfile.BLKTYPE)),
    "pipe": tar(member("pipe", kind=tarfile.FIFOTYPE)),
    "strange": tar(member("strange", kind=b"Z")),
    "twice": tar(member("twice", b"1"), member("twice", b"2")),
    "huge": header("huge", 10 * 2**30),
    "beyond": header("beyond", 2**80),
    "negative": header("negative", -512) + bytes(1024),
    "sparse": header("sparse", 512, b"S") + bytes(2048),
}
for name, fields in {
    "sparse-pax": {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(10 * 2**30)},
    "huge-pax": {"GNU.sparse.realsize": str(10 * 2**30)},
}.items():
    ATTACKS[name] = tar(member(name, b"1", pax_headers=fields), form=tarfile.PAX_FORMAT)
REASONS = {
    "sparse-pax": "is sparse", "huge-pax": "claims 10737418240 bytes",
    "../x": "leads out of the archive", "a/../../x": "leads out of the archive",
    "a\\..\\x": "leads out of the archive", "/etc/x": "leads out of the archive",
    "absolute-folder": "leads out of the archive",
    "soft": "is a link", "inside": "is a link", "hard": "is a link",
    "character": "is a device", "block": "is a device", "pipe": "is a device",
    "strange": "is a device or the like", "twice": "is there twice",
    "huge": "claims 10737418240 bytes", "beyond": f"claims {2**80} bytes",
    "negative": "claims -512 bytes", "sparse": "is sparse",
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("filtered", [True, False])
def test_crafted_archives_are_refused_by_member(tmp_path, name, pack, filtered, monkeypatch):
    """# fault S3"""
    if not filtered:  # as on a Python without the filter
        monkeypatch.setattr(tars, "_data_filter", None)
    path = write(tmp_path, pack(ATTACKS[name]))
    read = tars.members if pack is bytes else read_all
    refused(path, "the member", name, REASONS[name], read=read)
    assert list(tmp_path.iterdir()) == [path]


def test_the_filter_of_python_has_a_say(tmp_path, monkeypatch):
    def strict(info, folder):
        raise tarfile.FilterError

    monkeypatch.setattr(tars, "_data_filter", strict)
    path = write(tmp_path, tar(member("a.txt", b"1")))
    refused(path, "the member a.txt does not pass tarfile.data_filter")


def test_too_many_members(tmp_path, monkeypatch):
    monkeypatch.setattr(tars, "MAX_MEMBERS", 3)
    three = [member(f"{i}.txt") for i in range(3)]
    assert len(tars.members(write(tmp_path, tar(*three)))) == 3
    refused(write(tmp_path, tar(*three, member("3.txt"))), "more than 3 members")


def test_unpacked_archive_is_bounded(tmp_path, monkeypatch):
    """# fault S3"""
    monkeypatch.setattr(tars, "MAX_UNPACKED", 4096)
    path = write(tmp_path, gzip.compress(tar(member("bomb.txt", bytes(8000)))))
    refused(path, "the member bomb.txt claims 8000 bytes", read=read_all)


@pytest.mark.parametrize("kind", [b"L", b"x", b"g"])  # a long name, a member's and all fields
def test_huge_headers_are_never_allocated(tmp_path, kind):
    path = write(tmp_path, header("name", 2**40, kind) + bytes(4096))
    refused(path, "not a tar archive, or a damaged one: a header of")


def test_every_cut_is_found(tmp_path):
    whole = tar(*(member(*item) for item in CONTENTS.items()))
    end = len(whole.rstrip(b"\0")) // 512 * 512 + 512  # the data, padded to blocks
    for size in [*range(0, end, 100), 512, 1024, 1536, 2048, end]:
        path = write(tmp_path, whole[:size])
        with pytest.raises(UserError) as caught:
            tars.members(path)
        assert caught.value.code == 65, size
    assert len(tars.members(write(tmp_path, whole[: end + 512]))) == 3


def test_damaged_header_is_not_taken_for_the_end(tmp_path):
    whole = bytearray(tar(*(member(*item) for item in CONTENTS.items())))
    whole[1024 + 200] ^= 1  # the second header: its checksum does not fit
    refused(write(tmp_path, whole), "the archive is damaged at byte 1024")


@pytest.mark.parametrize("position", [-1, -5, 40])
def test_damaged_gzip_is_found(tmp_path, position):
    noise = np.random.default_rng(0).bytes(3000)
    packed = bytearray(gzip.compress(tar(member("a.txt", noise))))
    packed[position] ^= 0xFF
    refused(write(tmp_path, packed), "", read=read_all)
    refused(write(tmp_path, packed[:-4]), "not a tar archive, or a damaged one", read=read_all)


@pytest.mark.parametrize("data", [b"", b"text", b"\x89PNG\r\n\x1a\n" * 200, bytes(range(256)) * 9])
def test_other_files_are_no_archives(tmp_path, data):
    refused(write(tmp_path, data), "not a tar archive")


def test_compressed_archive_cannot_be_read_in_place(tmp_path):
    refused(write(tmp_path, gzip.compress(tar(member("a.txt", b"1")))), "not a tar archive")


def test_missing_archive(tmp_path):
    refused(tmp_path / "none.tar", "cannot read the archive: No such file", code=66)
    refused(tmp_path, "cannot read the archive: Is a directory", code=66)


def test_archive_that_became_shorter(tmp_path):
    path = write(tmp_path, tar(member("a.txt", b"12345")))
    stretch = tars.members(path)["a.txt"]
    path.write_bytes(path.read_bytes()[:514])
    with pytest.raises(OSError, match="the file became shorter"):
        stretch.read()


def test_flipped_bytes_are_read_or_refused(tmp_path):
    entries = [member(f"{'n' * 120}{i}", bytes(i * 100)) for i in range(4)]
    whole = tar(*entries) + tar(*entries, form=tarfile.PAX_FORMAT)
    rng = np.random.default_rng(0)
    refusals = 0
    for _ in range(300):
        data = bytearray(whole)
        for position in rng.integers(0, 6000, rng.integers(1, 6)):
            data[position] = rng.choice([0, 0x30, 0x37, 0x80, 0xFF, 0x53, 0x4C, 0x78])
        try:
            tars.members(write(tmp_path, data))
        except UserError as error:
            refusals += error.code == 65
    assert refusals > 100


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.tar")
    refused(tmp_path / "a.tar", "not a regular file")
