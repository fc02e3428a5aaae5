"""Commits: whole or not there, every byte checked, never written twice."""

import errno
import hashlib
import json
import os
import pathlib
import shutil

import numpy as np
import pytest

from resnet_tf import checkpoint, files
from resnet_tf.checkpoint import commit as commits_module
from resnet_tf.checkpoint import naming
from resnet_tf.checkpoint.commit import verify, write
from resnet_tf.checkpoint.directory import before, commits, newest, sweep
from resnet_tf.checkpoint.naming import set_aside
from resnet_tf.checkpoint.reading import find
from resnet_tf.errors import UserError

import tensorflow as tf  # isort: skip


@pytest.fixture(params=["renamed", "marked"], autouse=True)
def way(request):
    """How a directory becomes a commit: on a disk, and on a mounted object store."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "marked":
            patch.setattr(naming, "renames_at_once", lambda directory: False)
        yield request.param


FIELDS = {"classes": ["Größe", "b"], "position": 1280, "config": {"seed": 0}}


def tensors(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "network/kernel": rng.normal(size=(3, 3, 2, 4)).astype(np.float32),
        "network/bias": np.zeros(4, np.float32),
        "step": np.array(seed, np.int64),
        "empty": np.zeros((0, 3), np.float32),
    }


def write_steps(directory, *steps):
    return [write(directory, step, tensors(step), FIELDS) for step in steps]


def independent_digest(values):
    """The digest by its description: sha256 over sorted name, dtype, shape and bytes."""
    text = b""
    for name, array in sorted(values.items()):
        text += f"{name}\0{array.dtype.name}\0{array.shape}\0".encode() + array.tobytes()
    return hashlib.sha256(text).hexdigest()


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def reseal(path, change):
    """Rewrites a manifest as somebody would who knows how it is sealed."""
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    del manifest["seal"]
    change(manifest)
    body = json.dumps(manifest, indent=1)
    manifest["seal"] = hashlib.sha256(body.encode()).hexdigest()
    text = json.dumps(manifest, indent=1) + "\n"
    (path / "manifest.json").write_text(text, encoding="utf-8")


# ---- write and read back


def test_tensors_come_back(tmp_path):
    written = write(tmp_path / "checkpoints", 123, tensors(), FIELDS)
    assert written.path == tmp_path / "checkpoints" / "step_000000123"
    assert written.step == 123
    reader = tf.train.load_checkpoint(written.variables)
    assert sorted(reader.get_variable_to_shape_map()) == sorted(tensors())
    for name, array in tensors().items():
        found = reader.get_tensor(name)
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


def test_manifest_holds_fields_files_and_digest(tmp_path):
    (written,) = write_steps(tmp_path, 7)
    manifest = written.manifest
    assert manifest["format_version"] == 1
    assert manifest["step"] == 7
    assert {key: manifest[key] for key in FIELDS} == FIELDS
    files = {path.name for path in written.path.iterdir()} - {"manifest.json"}
    assert files == {"variables.index", "variables.data-00000-of-00001"}
    assert set(manifest["files"]) == files
    for name, entry in manifest["files"].items():
        data = (written.path / name).read_bytes()
        assert entry == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    on_disk = json.loads((written.path / "manifest.json").read_text(encoding="utf-8"))
    assert on_disk.pop("seal")
    assert on_disk == manifest == verify(written.path).manifest


def test_nothing_else_is_left(tmp_path):
    write_steps(tmp_path, 1)
    assert names(tmp_path) == ["step_000000001"]


def test_steps_beyond_nine_digits(tmp_path):
    write_steps(tmp_path, 999_999_999, 10**10)
    assert [path.name for path in commits(tmp_path)] == ["step_10000000000", "step_999999999"]


# ---- digest


def test_digest_equals_an_independent_computation(tmp_path):
    (written,) = write_steps(tmp_path, 5)
    assert written.manifest["digest"] == independent_digest(tensors(5))


def test_digest_does_not_depend_on_the_order_of_names():
    values = tensors()
    assert checkpoint.digest_of(dict(reversed(values.items()))) == checkpoint.digest_of(values)


def test_digest_of_a_transposed_view_is_that_of_its_values():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert checkpoint.digest_of({"a": array.T}) == independent_digest({"a": array.T.copy()})


@pytest.mark.parametrize(
    "other",
    [
        {"b": np.zeros((2, 3), np.float32)},
        {"a": np.zeros((3, 2), np.float32)},
        {"a": np.zeros((2, 3), np.int32)},
        {"a": np.full((2, 3), -0.0, np.float32)},
        {"a": np.full((2, 3), np.finfo(np.float32).smallest_subnormal, np.float32)},
        {"a": np.zeros((2, 3), np.float32), "b": np.zeros(0, np.float32)},
        {},
    ],
)
def test_digest_differs_for_another(other):
    assert checkpoint.digest_of({"a": np.zeros((2, 3), np.float32)}) != checkpoint.digest_of(other)


# ---- damage


def damaged(path):
    with pytest.raises(ValueError) as caught:
        verify(path)
    return str(caught.value)


def test_every_flipped_byte_of_the_manifest_is_noticed(tmp_path):
    (written,) = write_steps(tmp_path, 1)
    file = written.path / "manifest.json"
    data = file.read_bytes()
    for offset in range(len(data)):
        for mask in (0x01, 0x20, 0x80, 0xFF):
            changed = bytearray(data)
            changed[offset] ^= mask
            file.write_bytes(changed)
            assert damaged(written.path), f"byte {offset} with {mask:#x}"
    file.write_bytes(data)
    assert verify(written.path) == written


def test_line_breaks_of_another_kind_in_the_manifest_are_noticed(tmp_path):
    (written,) = write_steps(tmp_path, 1)
    file = written.path / "manifest.json"
    data = file.read_bytes()
    for changed in (data.replace(b"\n", b"\r", 1), data.replace(b"\n", b"\r\n")):
        file.write_bytes(changed)
        assert "was changed after it was written" in damaged(written.path)


@pytest.mark.parametrize("name", ["variables.index", "variables.data-00000-of-00001"])
def test_flipped_bytes_of_the_tensors_are_noticed(tmp_path, name):
    (written,) = write_steps(tmp_path, 1)
    file = written.path / name
    data = file.read_bytes()
    for offset in range(0, len(data), 11):
        changed = bytearray(data)
        changed[offset] ^= 1 << offset % 8
        file.write_bytes(changed)
        assert damaged(written.path) == f"{name} fails its checksum"
    file.write_bytes(data)
    assert verify(written.path).step == 1


@pytest.mark.parametrize("name", ["variables.index", "variables.data-00000-of-00001"])
@pytest.mark.parametrize("kept", [0, 1, -1])
def test_truncated_tensors_are_noticed(tmp_path, name, kept):
    """# fault A12"""
    (written,) = write_steps(tmp_path, 1)
    file = written.path / name
    file.write_bytes(file.read_bytes()[:kept])
    assert damaged(written.path) == f"{name} fails its checksum"


def test_truncated_manifest_is_noticed_at_every_length(tmp_path):
    (written,) = write_steps(tmp_path, 1)
    file = written.path / "manifest.json"
    data = file.read_bytes()
    for size in range(0, len(data)):
        file.write_bytes(data[:size])
        assert damaged(written.path)


@pytest.mark.parametrize(
    "name", ["manifest.json", "variables.index", "variables.data-00000-of-00001"]
)
def test_missing_file_is_named(tmp_path, name):
    """# fault A12"""
    (written,) = write_steps(tmp_path, 1)
    (written.path / name).unlink()
    assert damaged(written.path) == f"{name}: No such file or directory"


def test_manifest_larger_than_16_mib(tmp_path):
    """# fault S6"""
    (written,) = write_steps(tmp_path, 1)
    (written.path / "manifest.json").write_bytes(b" " * (16 * 2**20 + 1))
    assert "larger than 16777216 bytes" in damaged(written.path)


@pytest.mark.parametrize(
    "name", ["../other", "/etc/hostname", "a/../../other", "..", ".", "", "sub/"]
)
def test_resealed_manifest_cannot_point_outside(tmp_path, name):
    """# fault S2"""
    (written,) = write_steps(tmp_path, 1)
    (tmp_path / "other").write_text("mine")
    entry = {"bytes": 4, "sha256": hashlib.sha256(b"mine").hexdigest()}
    reseal(written.path, lambda manifest: manifest["files"].update({name: entry}))
    assert damaged(written.path)


def test_resealed_manifest_that_points_outside_says_so(tmp_path):
    (written,) = write_steps(tmp_path, 1)
    reseal(written.path, lambda manifest: manifest["files"].update({"../other": {}}))
    assert damaged(written.path) == "manifest.json points outside its directory"


@pytest.mark.parametrize("name", ["manifest.json", "variables.index"])
@pytest.mark.parametrize("make", [os.symlink, os.link])
def test_a_link_is_not_followed_out_of_a_commit(tmp_path, name, make):
    """# fault S2"""
    (written,) = write_steps(tmp_path, 1)
    outside = tmp_path / "outside"
    (written.path / name).rename(outside)
    make(outside, written.path / name)
    if make is os.link:  # another name of the same file, which is in the directory
        assert verify(written.path) == written
    else:
        assert damaged(written.path) == f"{name} is no regular file"


def test_format_of_another_version(tmp_path):
    (written,) = write_steps(tmp_path, 1)
    reseal(written.path, lambda manifest: manifest.update(format_version=2))
    assert damaged(written.path) == "format version 2 is not 1"


# ---- refusals


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_non_finite_state_is_never_written(tmp_path, value, dtype):
    """# fault E3"""
    bad = tensors() | {"network/slot": np.array([0, value, 1], dtype)}
    with pytest.raises(UserError) as caught:
        write(tmp_path / "checkpoints", 12, bad, FIELDS)
    assert caught.value.code == 76
    assert "network/slot is not finite, so step 12 is not saved" in str(caught.value)
    assert not (tmp_path / "checkpoints").exists()


def test_non_finite_bfloat16_is_never_written(tmp_path):
    bad = {"a": tf.constant([1.0, np.nan], tf.bfloat16).numpy()}
    with pytest.raises(UserError) as caught:
        write(tmp_path / "checkpoints", 12, bad, FIELDS)
    assert caught.value.code == 76


def test_finite_bfloat16_is_written(tmp_path):
    values = {"a": tf.constant([1.0, 2.5], tf.bfloat16).numpy()}
    written = write(tmp_path, 1, values, FIELDS)
    found = tf.train.load_checkpoint(written.variables).get_tensor("a")
    np.testing.assert_array_equal(found, values["a"])


def test_a_step_is_never_written_twice(tmp_path):
    """# fault A15"""
    (first,) = write_steps(tmp_path, 3)
    files = [first.path, *first.path.iterdir()]
    before = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in files]
    assert write(tmp_path, 3, tensors(3), {"classes": []}) == first
    with pytest.raises(UserError, match="ERROR 74: another state is committed under this step"):
        write(tmp_path, 3, tensors(99), {"classes": []})
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in files] == before
    assert names(tmp_path) == ["step_000000003"]


# ---- failures of the disk


def raising(error, calls_before=0, real=None):
    calls = []

    def fake(*arguments, **options):
        calls.append(arguments)
        if len(calls) > calls_before:
            raise error
        return real(*arguments, **options)

    return fake


FULL = OSError(errno.ENOSPC, "No space left on device")
# In the order of the writing: both files of tensors, manifest, directory, its name.
STAGES = {
    "tensors": (tf.raw_ops, "SaveV2", 0, tf.errors.ResourceExhaustedError(None, None, "full")),
    "tensors, other": (tf.raw_ops, "SaveV2", 0, tf.errors.UnknownError(None, None, "I/O error")),
    "first file": (commits_module, "sync", 0, FULL),
    "second file": (commits_module, "sync", 1, FULL),
    "manifest": (commits_module, "write_synced", 0, FULL),
    "directory": (commits_module, "sync", 2, FULL),
    "name": (os, "rename", 0, FULL),
}


def stage_of(stage, way):
    if (stage, way) == ("name", "marked"):
        return pathlib.Path, "unlink", 0, FULL
    return STAGES[stage]


@pytest.mark.parametrize("stage", STAGES)
def test_failing_disk_leaves_the_earlier_commit_newest(tmp_path, monkeypatch, stage, way):
    """# fault H8"""
    (earlier,) = write_steps(tmp_path, 1)
    module, name, calls_before, error = stage_of(stage, way)
    fake = raising(error, calls_before, getattr(module, name))
    monkeypatch.setattr(module, name, fake)
    with pytest.raises(UserError) as caught:
        write(tmp_path, 2, tensors(2), FIELDS)
    monkeypatch.undo()
    assert caught.value.code == 74
    assert "saving step 2 failed" in str(caught.value)
    assert str(tmp_path / "step_000000002") in str(caught.value)
    left = ["step_000000002.unfinished"] if (stage, way) == ("name", "marked") else []
    assert names(tmp_path) == ["step_000000001", *left]
    assert newest(tmp_path, []) == earlier
    assert write(tmp_path, 2, tensors(2), FIELDS).step == 2
    assert names(tmp_path) == ["step_000000001", "step_000000002"]


def test_failure_after_the_rename_leaves_a_whole_commit(tmp_path, monkeypatch):
    """# fault A6"""
    write_steps(tmp_path, 1)
    monkeypatch.setattr(commits_module, "sync", raising(FULL, 3, commits_module.sync))
    with pytest.raises(UserError, match="saving step 2 failed"):
        write(tmp_path, 2, tensors(2), FIELDS)
    assert names(tmp_path) == ["step_000000001", "step_000000002"]
    assert newest(tmp_path, []).step == 2


class Killed(BaseException):
    """As a kill: no handler of errors sees it."""


@pytest.mark.parametrize("stage", STAGES)
def test_kill_at_any_stage_leaves_the_earlier_commit_newest(tmp_path, monkeypatch, stage, way):
    """# fault A2, A5"""
    (earlier,) = write_steps(tmp_path, 1)
    module, name, calls_before, _ = stage_of(stage, way)
    monkeypatch.setattr(module, name, raising(Killed, calls_before, getattr(module, name)))
    with pytest.raises(Killed):
        write(tmp_path, 2, tensors(2), FIELDS)
    monkeypatch.undo()
    found = []
    assert newest(tmp_path, found) == earlier
    assert found == []
    (later,) = write_steps(tmp_path, 2)
    sweep(tmp_path, keep=3)
    assert names(tmp_path) == ["step_000000001", "step_000000002"]
    assert newest(tmp_path, []) == later


@pytest.mark.parametrize("tenths", range(11))
def test_data_without_an_index_or_with_a_part_of_one_is_no_commit(tmp_path, tenths):
    """# fault A3, A4: as a kill inside TensorFlow's writing leaves it."""
    earlier, later = write_steps(tmp_path, 1, 2)
    unfinished = later.path.rename(tmp_path / "step_000000002.tmp-0123abcd")
    (unfinished / "manifest.json").unlink()
    index = unfinished / "variables.index"
    if tenths:
        index.write_bytes(index.read_bytes()[: index.stat().st_size * tenths // 10])
    else:
        index.unlink()
    found = []
    assert newest(tmp_path, found) == earlier and found == []
    assert write(tmp_path, 2, tensors(2), FIELDS).step == 2
    sweep(tmp_path, keep=2)
    assert names(tmp_path) == ["step_000000001", "step_000000002"]


def test_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as caught:
        write(tmp_path / "file" / "checkpoints", 1, tensors(), FIELDS)
    assert caught.value.code == 74


# ---- newest and find


def corrupt(path):
    file = path / "variables.index"
    file.write_bytes(b"x" + file.read_bytes()[1:])


def test_newest_is_the_highest_step(tmp_path):
    write_steps(tmp_path, 900, 1000, 20)
    assert newest(tmp_path, []).step == 1000


def test_newest_is_so_whatever_the_clock_says(tmp_path):
    """# fault H10"""
    for at, written in enumerate(reversed(write_steps(tmp_path, 1, 2, 3))):
        for path in (*written.path.iterdir(), written.path):
            os.utime(path, (10**9 * at, 10**9 * at))
    assert newest(tmp_path, []).step == 3
    sweep(tmp_path, keep=1)
    assert names(tmp_path) == ["step_000000003"]


def test_newest_of_nothing(tmp_path):
    assert newest(tmp_path / "none", []) is None
    assert newest(tmp_path, []) is None


def test_newest_falls_back_and_tells_of_the_damaged(tmp_path):
    paths = [written.path for written in write_steps(tmp_path, 1, 2, 3, 4)]
    corrupt(paths[3])
    (paths[2] / "manifest.json").write_text("{}")
    corrupt(paths[0])  # older than the one that verifies: not looked at
    found = []
    assert newest(tmp_path, found).step == 2
    assert [path for path, _ in found] == [paths[3], paths[2]]
    assert found[0][1] == "variables.index fails its checksum"
    assert "was changed" in found[1][1]


@pytest.mark.parametrize("text", ["", "[]", "null", "3", '"a"', "{", "\0", "[" * 100_000])
def test_newest_falls_back_whatever_the_manifest_has_become(tmp_path, text):
    """# fault A12, S6"""
    paths = [written.path for written in write_steps(tmp_path, 1, 2)]
    (paths[1] / "manifest.json").write_text(text)
    found = []
    assert newest(tmp_path, found).step == 1
    assert [path for path, _ in found] == [paths[1]]


@pytest.mark.parametrize("twice", ['"step": 9,', '"step": NaN,', '"other": 1,'])
def test_a_manifest_that_says_something_twice_or_more_is_refused(tmp_path, twice):
    """# fault S6"""
    (written,) = write_steps(tmp_path, 1)
    file = written.path / "manifest.json"
    file.write_text("{" + twice + file.read_text()[1:])
    assert "was changed after it was written" in damaged(written.path)


@pytest.mark.parametrize("field", ["format_version", "files", "step"])
def test_newest_falls_back_from_a_resealed_manifest_without(tmp_path, field):
    paths = [written.path for written in write_steps(tmp_path, 1, 2)]
    reseal(paths[1], lambda manifest: manifest.pop(field))
    assert newest(tmp_path, []).step == 1


def test_file_named_as_a_commit_is_passed_over(tmp_path):
    write_steps(tmp_path, 1)
    (tmp_path / "step_000000009").write_text("a file")
    assert newest(tmp_path, []).step == 1


def test_commit_under_the_name_of_another_step_is_damaged(tmp_path):
    one, two = write_steps(tmp_path, 1, 2)
    shutil.copytree(one.path, tmp_path / "step_000000900")
    found = []
    assert newest(tmp_path, found) == two
    assert [path.name for path, _ in found] == ["step_000000900"]


def test_none_that_verifies_is_an_error_and_never_step_0(tmp_path):
    for written in write_steps(tmp_path, 1, 2):
        corrupt(written.path)
    with pytest.raises(UserError) as caught:
        newest(tmp_path, [])
    assert caught.value.code == 78
    assert "none of the 2 commits can be used" in str(caught.value)
    assert caught.value.details.splitlines() == [
        "  step_000000002: variables.index fails its checksum",
        "  step_000000001: variables.index fails its checksum",
    ]


def test_find_takes_a_model_directory_its_commits_or_one(tmp_path):
    one, two = write_steps(tmp_path / "checkpoints", 1, 2)
    assert find(tmp_path) == two
    assert find(tmp_path / "checkpoints") == two
    assert find(one.path) == one
    assert find(str(one.path)) == one


def test_find_a_commit_under_another_name(tmp_path):
    (one,) = write_steps(tmp_path, 1)
    assert find(one.path.rename(tmp_path / "best")).step == 1


def find_refused(path, code, text):
    with pytest.raises(UserError) as caught:
        find(path)
    assert caught.value.code == code
    assert text in str(caught.value)
    assert str(path) in str(caught.value)


def test_find_nothing(tmp_path):
    find_refused(tmp_path, 66, "there is no commit")
    find_refused(tmp_path / "none", 66, "it is no directory that exists")
    find_refused(tmp_path / "step_000000001", 66, "manifest.json: No such file or directory")


def test_find_a_damaged_commit(tmp_path):
    (one,) = write_steps(tmp_path, 1)
    corrupt(one.path)
    text = "the commit cannot be used: variables.index fails its checksum"
    find_refused(one.path, 78, text)


def test_find_in_a_directory_of_damaged_commits(tmp_path):
    (one,) = write_steps(tmp_path / "checkpoints", 1)
    corrupt(one.path)
    with pytest.raises(UserError, match="none of the 1 commits can be used") as caught:
        find(tmp_path)
    assert caught.value.code == 78


# ---- sweep and set aside


def test_sweep_keeps_the_newest(tmp_path):
    write_steps(tmp_path, 1, 2, 10, 100)
    sweep(tmp_path, keep=2)
    assert names(tmp_path) == ["step_000000010", "step_000000100"]
    sweep(tmp_path, keep=2)


def test_the_number_of_files_does_not_grow_with_that_of_commits(tmp_path):
    """# fault H15"""
    retention = checkpoint.Retention(tmp_path, 3)
    for step in range(1, 201):
        retention.committed(write(tmp_path, step, {"a": np.array(step)}, {}))
        retention.sweep()
    assert [path.name for path in commits(tmp_path)] == [
        "step_000000200", "step_000000199", "step_000000198"]  # fmt: skip
    assert len(list(tmp_path.rglob("*"))) == 3 * 4


def test_sweep_removes_what_is_half_done_and_leaves_strangers(tmp_path):
    write_steps(tmp_path, 1)
    removed = ["step_000000002.tmp-0123abcd", "step_000000003.trash-89abcdef"]
    strangers = [
        "best",
        "notes.tmp-0123abcd",
        "step_000000004.corrupt-0123abcd",
        "step_000000005.tmp-mine",
        "step_000000006.tmp-0123abcd.old",
        "step_last",
    ]
    for name in (*removed, *strangers):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("content")
    sweep(tmp_path, keep=1)
    assert names(tmp_path) == sorted(["step_000000001", *strangers])


def test_sweep_of_no_directory(tmp_path):
    sweep(tmp_path / "none", keep=1)
    assert not (tmp_path / "none").exists()


def test_sweep_killed_before_the_removal_is_finished_by_the_next(tmp_path, monkeypatch, way):
    """# fault A7"""
    write_steps(tmp_path, 1, 2)
    monkeypatch.setattr(shutil, "rmtree", raising(Killed))
    with pytest.raises(Killed):
        sweep(tmp_path, keep=1)
    monkeypatch.undo()
    assert newest(tmp_path, []).step == 2
    assert len(names(tmp_path)) == (2 if way == "renamed" else 3)  # one of them is trash
    assert [path.name for path in commits(tmp_path)] == ["step_000000002"]
    sweep(tmp_path, keep=1)
    assert names(tmp_path) == ["step_000000002"]


def test_set_aside_loses_nothing_and_frees_the_step(tmp_path):
    one, two = write_steps(tmp_path, 1, 2)
    corrupt(two.path)
    content = {path.name: path.read_bytes() for path in two.path.iterdir()}
    aside = set_aside(two.path)
    assert aside.name.startswith("step_000000002.corrupt-")
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == content
    found = []
    assert newest(tmp_path, found) == one
    assert found == []
    assert write(tmp_path, 2, tensors(2), FIELDS) == two
    assert aside.is_dir()


def test_a_file_in_the_place_of_a_commit_is_an_error_of_the_disk(tmp_path):
    (tmp_path / "step_000000003").write_text("mine")
    with pytest.raises(UserError, match="ERROR 74: something else is in the place of the commit"):
        write(tmp_path, 3, tensors(), FIELDS)
    assert (tmp_path / "step_000000003").read_text() == "mine"


def test_a_commit_that_cannot_be_read_for_another_reason_is_not_called_damaged(
    tmp_path, monkeypatch
):
    write_steps(tmp_path, 1, 2)

    def out_of_files(path):
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    monkeypatch.setattr(commits_module, "sha256_of", out_of_files)
    with pytest.raises(UserError, match="ERROR 74: the commit cannot be read: Too many open"):
        checkpoint.newest(tmp_path, [])


def test_a_commit_that_does_not_read_back_is_an_error_of_the_disk(tmp_path, monkeypatch):
    write_steps(tmp_path, 1)

    def unreadable(path, known=None):
        raise ValueError("variables.index fails its checksum")

    monkeypatch.setattr(commits_module, "verify", unreadable)
    with pytest.raises(UserError, match="ERROR 74: step 2 does not read back as written"):
        write(tmp_path, 2, tensors(), FIELDS)
    monkeypatch.undo()
    assert verify(tmp_path / "step_000000001").step == 1


def test_going_back_takes_the_newest_before_a_step_and_frees_the_others(tmp_path, way):
    write_steps(tmp_path, 1, 2, 3)
    assert before(tmp_path, 3).step == 2
    left = {"renamed": ["3.trash"], "marked": ["3", "3.unfinished"]}[way]
    assert [name.split("-")[0] for name in names(tmp_path)] == [
        f"step_00000000{name}" for name in ("1", "2", *left)
    ]
    write(tmp_path, 3, tensors(seed=9), {})  # another state has room there


def test_going_back_stays_at_the_only_commit(tmp_path):
    write_steps(tmp_path, 3)
    assert before(tmp_path, 3).step == 3
    assert names(tmp_path) == ["step_000000003"]


def test_going_back_passes_over_damaged_commits(tmp_path):
    write_steps(tmp_path, 1, 2)
    (tmp_path / "step_000000002" / "manifest.json").write_text("{}")
    assert before(tmp_path, 5).step == 1
    (tmp_path / "step_000000001" / "manifest.json").write_text("{}")
    with pytest.raises(UserError, match="ERROR 78: there is no commit to go back to"):
        before(tmp_path, 5)


def test_what_is_unfinished_is_no_commit_and_nothing_is_said_of_it(tmp_path):
    """As a kill leaves it on a mounted object store: # fault H9"""
    one, two = write_steps(tmp_path, 1, 2)
    (tmp_path / "step_000000002.unfinished").touch()
    found = []
    assert newest(tmp_path, found) == one and found == []
    find_refused(two.path, 78, "it is not finished")
    assert write(tmp_path, 2, tensors(9), FIELDS).step == 2  # another state has room there
    assert names(tmp_path) == ["step_000000001", "step_000000002"]


@pytest.mark.parametrize(
    "kind, way",
    [
        ("ext4", True), ("nfs4", True), ("lustre", True), ("overlay", True), ("fuseblk", True),
        ("", True), ("fuse", False), ("fuse.gcsfuse", False), ("fuse.s3fs", False),
    ],
)  # fmt: skip
def test_which_file_systems_rename_at_once(tmp_path, monkeypatch, kind, way):
    monkeypatch.setattr(files, "file_system", lambda directory: kind)
    assert files.renames_at_once(tmp_path) is way


@pytest.mark.parametrize("kind", ["file", "link", "pipe"])
def test_variables_that_the_manifest_does_not_list(tmp_path, kind):
    """TensorFlow would open all that begins with the name. # fault S2"""
    (written,) = write_steps(tmp_path, 1)
    more = written.path / "variables.data-00001-of-00002"
    {"file": more.touch, "link": lambda: more.symlink_to("/etc/hostname"),
     "pipe": lambda: os.mkfifo(more)}[kind]()  # fmt: skip
    assert damaged(written.path) == "variables.data-00001-of-00002 is not in manifest.json"


@pytest.mark.parametrize("step", ["x", -5, 1.5, None, True])
def test_a_manifest_whose_step_is_none(tmp_path, step):
    (written,) = write_steps(tmp_path, 1)
    other = written.path.rename(tmp_path / "other")
    reseal(other, lambda manifest: manifest.update(step=step))
    assert damaged(other) == "manifest.json has no step"


def test_a_name_that_would_colour_a_terminal(tmp_path):
    """# fault S7"""
    (written,) = write_steps(tmp_path, 1)
    reseal(written.path, lambda manifest: manifest["files"].update({"\x1b[31m\nERROR 0": {}}))
    assert "\x1b" not in damaged(written.path) and "\n" not in damaged(written.path)


@pytest.mark.parametrize("name", ["step_0000000010", "step_٠٠٠٠٠٠٠١٠", "step_10"])
def test_a_name_that_no_commit_gets(tmp_path, name):
    (written,) = write_steps(tmp_path, 10)
    written.path.rename(tmp_path / name)
    assert commits(tmp_path) == []


def test_going_back_changes_nothing_unless_there_is_something_to_go_to(tmp_path):
    """The one sound commit stays, though it is not before the step."""
    write_steps(tmp_path, 10, 20)
    corrupt(tmp_path / "step_000000010")
    assert before(tmp_path, 20).step == 20
    assert len(commits(tmp_path)) == 1
    corrupt(tmp_path / "step_000000020")
    left = names(tmp_path)
    with pytest.raises(UserError, match="ERROR 78: there is no commit to go back to"):
        before(tmp_path, 20)
    assert names(tmp_path) == left


def test_find_says_what_it_passes_over(tmp_path, capsys):
    write_steps(tmp_path, 10, 20)
    corrupt(tmp_path / "step_000000020")
    for _ in range(2):
        assert find(tmp_path).step == 10
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith(f"{tmp_path}/step_000000020 is damaged (")
    assert said.endswith("; taking step_000000010\n")
