"""Killed, interrupted, in one another's way, on a full disk: what survives, and what is said."""

import collections
import dataclasses
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest
from made_pictures import Heard, pictures, raw, refused, turned_jpeg

from resnet_tf.errors import UserError
from resnet_tf.preparation import Listing, Progress, plan, write_dataset
from resnet_tf.preparation import staging as staging_module


@pytest.fixture(autouse=True)
def _five_small_shards(monkeypatch):
    """Of 20 pictures of train."""
    monkeypatch.setattr(plan, "SHARD_BYTES", sum(p.size for p in pictures(20)) / 5)


def listing():
    return Listing("made", "CC0", ("a", "b", "c"), {"train": pictures(20), "test": pictures(4, 90)})


def staging(tmp_path, output="out"):
    (found,) = (path for path in tmp_path.iterdir() if path.name.startswith(f"{output}.tmp-"))
    return found


def content(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def undisturbed(tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    write_dataset(output, listing())
    return content(output)


class Interrupting(Progress):
    """Raises at the picture of this number, counted from 1, and at all later ones."""

    def __init__(self, number):
        self._left = number

    def advance(self, size):
        self._left -= 1
        if self._left <= 0:
            raise KeyboardInterrupt


def interrupt(output, number=10, workers=1):
    with pytest.raises(KeyboardInterrupt):
        write_dataset(output, listing(), workers=workers, progress=Interrupting(number))


@pytest.mark.parametrize("workers", [1, 2, 3, 50])
def test_number_of_workers_changes_nothing(tmp_path, undisturbed, workers):
    write_dataset(tmp_path / "out", listing(), workers=workers)
    assert content(tmp_path / "out") == undisturbed
    assert len([name for name in undisturbed if name.startswith("train")]) == 5


KILLED = """
    import dataclasses, os, pathlib, signal, sys
    from made_pictures import pictures
    from resnet_tf.preparation import plan, write_dataset
    from preparation.test_restart import listing

    def killed():
        os.kill(os.getpid(), signal.SIGKILL)

    plan.SHARD_BYTES = float(sys.argv[2])
    made = listing()
    # The last picture of the fourth shard, so that three are finished by one worker.
    last = plan.make(made, 0, None, False).shards[3].pictures[-1].filename
    train = [dataclasses.replace(p, read=killed) if p.filename == last else p
             for p in made.splits["train"]]
    write_dataset(
        sys.argv[1], dataclasses.replace(made, splits=made.splits | {"train": train}), workers=1
    )
"""


def test_a_start_after_a_kill_makes_the_same_bytes(tmp_path, undisturbed):
    """# fault C18"""
    output = tmp_path / "out"
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(output), str(plan.SHARD_BYTES)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([".", "tests"])},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not output.exists()
    assert len(list((staging(tmp_path) / "data").iterdir())) == 4  # the last is not whole
    heard, read = Heard(), collections.Counter()

    def counted(picture):
        def reading():
            read[picture.filename] += 1
            return picture.read()

        return dataclasses.replace(picture, read=reading)

    made = listing()
    splits = {split: [counted(p) for p in found] for split, found in made.splits.items()}
    write_dataset(output, dataclasses.replace(made, splits=splits), progress=heard)
    assert heard.lines[0] == "going on: 3 of 6 shards are there"
    assert content(output) == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert sum(read.values()) == 12  # two shards of train, and test: 4 + 4 + 4


@pytest.mark.parametrize("workers", [1, 2])
def test_interrupted_it_goes_on(tmp_path, undisturbed, workers):
    interrupt(tmp_path / "out", 17, workers)
    assert staging(tmp_path).is_dir()
    write_dataset(tmp_path / "out", listing())
    assert content(tmp_path / "out") == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_was_said_of_finished_shards_is_said_again(tmp_path):
    made, heard = listing(), Heard()
    splits = {
        "train": [*made.splits["train"], *(raw(b"hello", f"bad{i}.jpg") for i in range(5))],
        "test": [raw(turned_jpeg(), "odd.jpg")],
    }
    made = dataclasses.replace(made, splits=splits)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "out", made, skip_bad=True, workers=1, progress=Interrupting(26))
    write_dataset(tmp_path / "out", made, skip_bad=True, progress=heard)
    assert heard.lines[0] == "going on: 5 of 6 shards are there"
    assert "left out: 5 of 26 pictures" in heard.lines
    assert all(f"bad{i}.jpg" in "".join(heard.lines) for i in range(5))
    assert "1 picture is turned by EXIF, which is ignored: odd.jpg" in heard.lines


def test_an_interruption_says_what_stays(tmp_path):
    class Heeding(Interrupting, Heard):
        def __init__(self):
            Heard.__init__(self)
            Interrupting.__init__(self, 10)

    heard = Heeding()
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "out", listing(), workers=1, progress=heard)
    assert heard.lines == [f"the same command goes on from what is in {staging(tmp_path)}"]


def test_interrupted_before_a_shard_is_whole_nothing_stays(tmp_path):
    interrupt(tmp_path / "deep" / "out", 3)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_later_leaves_the_finished_shards(tmp_path, undisturbed, monkeypatch):
    synced = []

    def full(path):
        synced.append(path)
        if len(synced) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("resnet_tf.preparation.shard.sync", full)
    heard = Heard()
    with pytest.raises(UserError, match="ERROR 74: writing failed"):
        write_dataset(tmp_path / "out", listing(), workers=1, progress=heard)
    assert heard.lines == [f"the same command goes on from what is in {staging(tmp_path)}"]
    write_dataset(tmp_path / "out", listing(), progress=heard)
    assert heard.lines[1] == "going on: 2 of 6 shards are there"
    assert content(tmp_path / "out") == undisturbed


def test_a_note_that_was_cut_short_is_passed_over(tmp_path, undisturbed):
    interrupt(tmp_path / "out")
    notes = staging(tmp_path) / "finished.jsonl"
    notes.write_bytes(notes.read_bytes()[:-20])
    heard = Heard()
    write_dataset(tmp_path / "out", listing(), progress=heard)
    assert heard.lines[0] == "going on: 1 of 6 shards are there"
    assert content(tmp_path / "out") == undisturbed


def test_a_shard_that_changed_meanwhile_is_made_again(tmp_path, undisturbed):
    interrupt(tmp_path / "out")
    path = staging(tmp_path) / "data" / "train-00000-of-00005.tfrecord"
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    heard = Heard()
    write_dataset(tmp_path / "out", listing(), progress=heard)
    assert heard.lines[0] == "going on: 1 of 6 shards are there"
    assert content(tmp_path / "out") == undisturbed


@pytest.mark.parametrize(
    "change",
    [
        lambda p: dataclasses.replace(p, size=p.size + 1),
        lambda p: dataclasses.replace(p, changed=1),
        lambda p: dataclasses.replace(p, label=(p.label + 1) % 3),
        lambda p: dataclasses.replace(p, filename=p.filename + "x"),
    ],
)
def test_other_pictures_do_not_go_on_from_there(tmp_path, change):
    interrupt(tmp_path / "out")
    made, heard = listing(), Heard()
    train = [change(made.splits["train"][0]), *made.splits["train"][1:]]
    left = staging(tmp_path)
    other = dataclasses.replace(made, splits=made.splits | {"train": train})
    write_dataset(tmp_path / "out", other, progress=heard)
    assert heard.lines[0].startswith(f"{left} is of another command")
    assert not any("going on" in line for line in heard.lines)
    assert left.is_dir()


def test_other_options_do_not_go_on_from_there(tmp_path):
    interrupt(tmp_path / "out")
    heard = Heard()
    write_dataset(tmp_path / "out", listing(), seed=1, progress=heard)
    assert not any("going on" in line for line in heard.lines)


def test_two_processes_do_not_work_in_one_place(tmp_path):
    interrupt(tmp_path / "out")
    before = content(staging(tmp_path) / "data")
    with open(staging(tmp_path) / "lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        splits = listing().splits
        text = "another process is preparing this"
        error = refused(73, tmp_path / "out", text, str(staging(tmp_path)), splits=splits)
    assert "wait for it to end" in str(error)
    assert content(staging(tmp_path) / "data") == before


def test_a_lock_file_that_was_taken_away_is_no_lock(tmp_path, monkeypatch):
    real = fcntl.flock

    def taken_away(descriptor, operation):
        real(descriptor, operation)
        os.unlink(staging(tmp_path) / "lock")

    monkeypatch.setattr(staging_module.fcntl, "flock", taken_away)
    refused(73, tmp_path / "out", "another process is preparing this")


def test_an_output_made_meanwhile_is_kept(tmp_path):
    class Meanwhile(Progress):
        def start(self, pictures, size):
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "dataset.json").touch()

    refused(73, tmp_path / "out", "the output exists", progress=Meanwhile())
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert content(tmp_path / "out") == {"dataset.json": b""}


def disk_with(free):
    return lambda _: collections.namedtuple("Usage", "free")(free)


def test_free_space_is_checked_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", disk_with(1000))
    heard = Heard()
    size = sum(p.size + 250 for found in listing().splits.values() for p in found)
    refused(
        74,
        tmp_path / "deep" / "out",
        f"needs {size * 1.05 / 1e9:.3g} GB, 1e-06 GB are free | {tmp_path} | free some space",
        splits=listing().splits,
        progress=heard,
    )
    assert list(tmp_path.iterdir()) == []


def test_five_per_cent_are_left_free(tmp_path, monkeypatch):
    size = sum(p.size + 250 for found in listing().splits.values() for p in found)
    monkeypatch.setattr(shutil, "disk_usage", disk_with(size * 1.05 - 1))
    refused(74, tmp_path / "out", "GB are free", splits=listing().splits)
    monkeypatch.setattr(shutil, "disk_usage", disk_with(size * 1.05 + 1))
    write_dataset(tmp_path / "out", listing())


def test_the_estimate_is_no_less_than_what_is_written(undisturbed):
    written = sum(len(data) for name, data in undisturbed.items() if name != "dataset.json")
    assert written <= plan.make(listing(), 0, None, False).size_on_disk() <= 1.05 * written + 6000


def test_space_that_is_taken_already_is_not_asked_for_twice(tmp_path, monkeypatch):
    interrupt(tmp_path / "out", 17)
    there = sum(path.stat().st_size for path in (staging(tmp_path) / "data").iterdir())
    size = sum(p.size + 250 for found in listing().splits.values() for p in found)
    monkeypatch.setattr(shutil, "disk_usage", disk_with((size - there) * 1.05 + 1))
    write_dataset(tmp_path / "out", listing())


def test_a_shard_that_is_not_what_was_written_is_found(tmp_path, monkeypatch):
    def losing(path, *_):
        data = bytearray(path.read_bytes())
        data[40] ^= 1
        path.write_bytes(data)

    monkeypatch.setattr("resnet_tf.preparation.shard.sync", losing)
    refused(74, tmp_path / "out", "read back damage", splits=listing().splits)
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_was_lost_is_found(tmp_path, monkeypatch):
    """# fault C18"""

    def losing(path, *_):
        os.truncate(path, 0)

    monkeypatch.setattr("resnet_tf.preparation.shard.sync", losing)
    refused(74, tmp_path / "out", "wrote 4 records and read back 0", splits=listing().splits)


def test_interrupted_before_the_last_name_is_given_all_shards_stay(tmp_path, undisturbed):
    def interrupted(*_):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:  # everything is written, but for the rename
        patch.setattr(staging_module.Staging, "publish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_dataset(tmp_path / "out", listing())
    assert not (tmp_path / "out").exists()
    heard = Heard()
    write_dataset(tmp_path / "out", listing(), progress=heard)
    assert heard.lines[0] == "going on: 6 of 6 shards are there"
    assert content(tmp_path / "out") == undisturbed
