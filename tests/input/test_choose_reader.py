"""Which reader a split is read with, and what is refused."""

import dataclasses

import made
import pytest

from resnet_tf import files
from resnet_tf.errors import UserError
from resnet_tf.input import readers
from resnet_tf.input.memory import MemoryReader
from resnet_tf.input.readers import choose, on_network
from resnet_tf.input.stored import EncodedMemoryReader, IndexedReader
from resnet_tf.input.windowed import WindowedReader

GIB = 2**30


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    payloads = [made.record(made.png(made.pixels(i, 4, 4)), i) for i in range(3)]
    return made.data_set(tmp_path_factory.mktemp("data"), {"train": [payloads]}, size=4)


def chosen(manifest, **options):
    return type(choose(manifest, "train", manifest.pictures(4, 4), **options))


def limits(monkeypatch, small, large):
    monkeypatch.setattr(readers, "_limit", {readers._SMALL: small, readers._LARGE: large}.get)


def disk(monkeypatch, kind):
    monkeypatch.setattr(readers, "file_system", lambda path: kind)


@pytest.mark.parametrize("fixed, kind, expected", [
    (True, "memory", MemoryReader), (False, "memory", EncodedMemoryReader),
    (True, "indexed", IndexedReader), (False, "indexed", IndexedReader),
    (True, "windowed", WindowedReader), (False, "windowed", WindowedReader),
    (True, "auto", MemoryReader), (False, "auto", EncodedMemoryReader),
])  # fmt: skip
def test_as_asked(manifest, fixed, kind, expected):
    assert chosen(manifest, kind=kind, fixed=fixed, window=2) is expected


@pytest.mark.parametrize("window, where, expected", [
    (0, "ext4", IndexedReader), (2, "ext4", IndexedReader), (2, "", IndexedReader),
    (0, "nfs4", IndexedReader), (2, "nfs4", WindowedReader), (2, "fuse.sshfs", WindowedReader),
])  # fmt: skip
@pytest.mark.parametrize("fixed", [True, False])
def test_what_is_too_large_is_read_from_the_disk(
    manifest, monkeypatch, window, where, expected, fixed
):
    limits(monkeypatch, 0, 0)
    disk(monkeypatch, where)
    assert chosen(manifest, window=window, fixed=fixed) is expected


def test_size_is_that_of_the_pixels_or_of_the_files(manifest, monkeypatch):
    pixels, files = 3 * 4 * 4 * 3, sum(shard.bytes for shard in manifest.shards("train"))
    kinds = ((True, pixels, MemoryReader), (False, files, EncodedMemoryReader))
    for fixed, size, in_memory in kinds:
        limits(monkeypatch, size, size)
        assert chosen(manifest, fixed=fixed) is in_memory
        limits(monkeypatch, size - 1, size)
        assert chosen(manifest, fixed=fixed) is IndexedReader


@pytest.mark.parametrize("shape, records, gib", [((500, 500, 3), 11_454, 8.0), ((1, 1, 3), 1, 0)])
def test_what_is_asked_for_in_memory_and_does_not_fit_is_refused(
    manifest, monkeypatch, shape, records, gib
):
    (shard,) = manifest.shards("train")
    large = dataclasses.replace(shard, records=records)
    manifest = dataclasses.replace(manifest, splits={"train": (large,)})
    limits(monkeypatch, 0, 8 * GIB if gib else 2)
    with pytest.raises(UserError) as caught:
        choose(manifest, "train", manifest.pictures(*shape[:2]), kind="memory")
    assert caught.value.code == 64
    assert f"split 'train' takes {gib:.1f} GiB, more than the " in str(caught.value)
    assert "| leave --reader out, or give --reader=indexed" in str(caught.value)


def test_a_quarter_of_the_memory_and_no_more_than_the_limit(monkeypatch):
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 4 * GIB // 4096}
    monkeypatch.setattr(readers.os, "sysconf", sizes.get)
    assert readers._limit(8 * GIB) == GIB
    assert readers._limit(GIB // 2) == GIB // 2

    def unknown(name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(readers.os, "sysconf", unknown)
    assert readers._limit(8 * GIB) == 8 * GIB


def test_windowed_needs_windows(manifest):
    message = "ERROR 64: reader windowed needs an order with windows: give --shuffle_window | --re"
    with pytest.raises(UserError, match=message.replace("|", r"\|")):
        chosen(manifest, kind="windowed")


MOUNTS = """\
overlay / overlay rw 0 0
server:/x /mnt/data nfs4 rw 0 0
/dev/sdb /mnt/data/local ext4 rw 0 0
sshfs /mnt/with\\040space fuse.sshfs rw 0 0
fs /mnt/scratch lustre rw 0 0
"""


@pytest.mark.parametrize("path, network", [
    ("/home/a", False), ("/mnt/data", True), ("/mnt/data/set", True), ("/mnt/database", False),
    ("/mnt/data/local/set", False), ("/mnt/with space/set", True), ("/mnt/scratch/a", True),
])  # fmt: skip
def test_file_system_by_the_table_of_mounts(tmp_path, monkeypatch, path, network):
    table = tmp_path / "mounts"
    table.write_text(MOUNTS)
    monkeypatch.setattr(files, "open", lambda *_, **how: table.open(**how), raising=False)
    monkeypatch.setattr(files.os.path, "realpath", lambda directory: directory)
    assert on_network(path) is network


def test_without_a_table_of_mounts_no_disk_is_a_networks(monkeypatch):
    def refuse(*_, **__):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(files, "open", refuse, raising=False)
    assert on_network("/mnt/data") is False
