"""A record that cannot be used: the run stops at a whole step, or goes on without it."""

import csv
import re
import types

import made
import numpy as np
import pytest
import small_runs

from resnet_tf import checkpoint, input
from resnet_tf.errors import UserError
from resnet_tf.input import Manifest, index
from resnet_tf.training import bad_batches
from resnet_tf.training.saving import Saver

import tensorflow as tf  # isort: skip

SIZES = (5, 4, 6)
N, BATCH = sum(SIZES), 4


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, two_replicas):
    small_runs.use_tiny(monkeypatch, two_replicas)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sound")
    write(directory, small_runs.payloads(N))
    return directory


def write(directory, payloads):
    splits = {"train": made.split_up(payloads, SIZES), "test": [small_runs.payloads(4)]}
    return made.data_set(directory, splits, classes=small_runs.CLASSES, size=8)


def damaged(directory, **faults):
    """The sound set with faults, by record: "crc", "cut" or "label"."""
    payloads = small_runs.payloads(N)
    for name, fault in faults.items():
        record = int(name[1:])
        if fault == "cut":
            payloads[record] = made.record(made.jpeg(made.pixels(record))[:-30], 0)
        elif fault == "label":
            payloads[record] = made.record(made.png(made.pixels(record)), 4)
    directory.mkdir(exist_ok=True)
    manifest = write(directory, payloads)
    for name, fault in faults.items():
        if fault == "crc":
            shard, payload, _ = index.build(manifest, "train")[int(name[1:])]
            path = manifest.paths("train")[shard]
            data = bytearray(path.read_bytes())
            data[payload + 20] ^= 1
            path.write_bytes(data)
    return directory


def first_step(record, window=0):
    """At which a run asks for a record first."""
    order = input.Order(SIZES, 0, window)
    ids = order.at(tf.range(N, dtype=tf.int64))[0].numpy()
    return int(np.flatnonzero(ids == record)[0]) // BATCH


def first_of_window(record, window):
    """The first position of the window that holds a record in the first epoch."""
    order = input.Order(SIZES, 0, window)
    position = np.flatnonzero(order.at(tf.range(N, dtype=tf.int64))[0].numpy() == record)[0]
    return int(order.shards_of_window(order.window_of(tf.constant(position, tf.int64)))[1])


LATE = max(range(N), key=first_step)  # asked for at step 3 of the first four
WHERE = {"crc": "the record fails its checksum", "cut": "the picture cannot be decoded: it is cut",
         "label": "label 4 is not in 0..3"}  # fmt: skip


@pytest.mark.parametrize("fault, told", [
    ("crc", {}), ("cut", {"crop_scale": (0.5, 1.0)}), ("label", {"devices": "cpu:2"}),
    ("crc", {"reader": "windowed", "shuffle_window": 1}),
])  # fmt: skip
def test_fail_names_it_and_commits_all_steps_before_it(sound, tmp_path, fault, told):
    """# fault C1, D13"""
    record, step = LATE, first_step(LATE)
    if told.get("shuffle_window") == 1:  # a window is read as a whole
        record = max(range(N), key=lambda record: first_of_window(record, 1))
        step = first_of_window(record, 1) // BATCH
    assert step > 0
    data = damaged(tmp_path / "data", **{f"r{record}": fault})
    with pytest.raises(UserError) as caught:
        small_runs.train(data, tmp_path / "run", steps_per_call=10, **told)
    manifest = input.Manifest.load(data)
    shard, payload, _ = index.build(manifest, "train")[record]
    number = record - sum(SIZES[:shard])
    assert caught.value.code == 65 and WHERE[fault] in str(caught.value)
    where = f"(record {number} at byte {payload - 12}) | {manifest.paths('train')[shard]} | "
    assert where in str(caught.value)
    assert f"step {step} is committed; --bad_records=skip goes on without it" in str(caught.value)
    commit = checkpoint.find(tmp_path / "run")
    assert commit.step == step
    undisturbed = small_runs.train(sound, tmp_path / "other", steps=step, **told)
    assert commit.manifest["digest"] == undisturbed["digest"]


def test_fail_at_the_first_step_commits_nothing(tmp_path):
    record = min(range(N), key=first_step)
    data = damaged(tmp_path / "data", **{f"r{record}": "cut"})
    with pytest.raises(UserError, match="no step was made; --bad_records=skip goes on"):
        small_runs.train(data, tmp_path / "run")
    assert not (tmp_path / "run/checkpoints").exists()


def test_in_memory_it_is_found_before_anything_is_made(tmp_path):
    data = damaged(tmp_path / "data", **{f"r{LATE}": "crc"})
    with pytest.raises(UserError, match="ERROR 65: the record fails its checksum"):
        small_runs.train(data, tmp_path / "run", reader="memory")
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def three_bad(tmp_path_factory):
    faults = {f"r{LATE}": "crc", "r6": "label", "r7": "cut"}
    assert LATE not in (6, 7)
    return damaged(tmp_path_factory.mktemp("bad"), **faults)


@pytest.fixture
def skipped(three_bad, tmp_path):
    """Trains on the bad set, leaving records out."""

    def run(name="run", **told):
        limit = {"bad_records": "skip", "bad_records_limit": 3}
        return small_runs.train(three_bad, tmp_path / name, **limit | told)

    return run


def left_out(model_dir):
    return {e["record"] for e in small_runs.journal(model_dir, "bad_record")}


def test_skip_goes_on_and_counts_the_same_by_all_readers(skipped, tmp_path, capsys):
    done = skipped()
    assert done["step"] == 6
    events = small_runs.journal(tmp_path / "run", "bad_record")
    assert sorted(e["record"] for e in events) == sorted({6, 7, LATE})
    assert [e["left_out"] for e in events] == [1, 2, 3]
    assert [e["step"] for e in events if e["record"] == LATE] == [first_step(LATE)]
    assert all(e["error"].startswith("ERROR 65: ") for e in events)
    assert f"left out from step {first_step(LATE)} on: ERROR 65" in capsys.readouterr().err
    lost = small_runs.journal(tmp_path / "run", "rows_lost")
    gaps = {step for event in lost for step in range(event["first"], event["last"] + 1)}
    with open(tmp_path / "run/steps.csv") as file:
        told = {int(row["step"]) for row in csv.DictReader(file)}
    assert lost and told == set(range(1, 7)) - gaps
    in_memory = skipped("memory", reader="memory")
    events = small_runs.journal(tmp_path / "memory", "bad_record")
    assert [(e["step"], e["record"]) for e in events] == [
        (0, record) for record in [*sorted({6, LATE}), 7]
    ]
    assert in_memory["digest"] == done["digest"]


def test_in_windows_and_after_a_break_the_digest_is_the_same(skipped, tmp_path, monkeypatch):
    told = {"shuffle_window": 2, "save_every_steps": 2}
    kinds = ("memory", "windowed")
    digests = {skipped(kind, reader=kind, **told)["digest"] for kind in kinds}
    assert len(digests) == 1
    assert all(left_out(tmp_path / kind) == {6, 7, LATE} for kind in kinds)
    save = Saver.save

    def stop(self, step):
        saved = save(self, step)
        if step == 4:
            raise KeyboardInterrupt
        return saved

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Saver, "save", stop)
        skipped("broken", reader="windowed", **told)
    assert {skipped("broken", reader="windowed", **told)["digest"]} == digests


def test_two_devices_leave_out_the_same_records(skipped, tmp_path):
    assert skipped(devices="cpu:2")["step"] == 6
    events = small_runs.journal(tmp_path / "run", "bad_record")
    found = {e["record"]: e["step"] for e in events}
    assert found.keys() == {6, 7, LATE} and found[LATE] == first_step(LATE)


@pytest.mark.parametrize("reader", ["indexed", "memory"])
def test_beyond_the_limit_it_fails(skipped, tmp_path, reader):
    with pytest.raises(UserError) as caught:
        skipped(bad_records_limit=1, reader=reader)
    assert caught.value.code == 65 and "record " in str(caught.value)
    if reader == "indexed":  # which has begun by then
        end = "1 records are left out, of --bad_records_limit=1"
        assert re.search(f"(step [1-5] is committed|no step was made); {end}$", str(caught.value))


def test_a_shard_without_a_sound_record_stops_the_run(tmp_path):
    data = damaged(tmp_path / "data", **{f"r{record}": "cut" for record in range(5, 9)})
    with pytest.raises(UserError, match="4 records are left out, of --bad_records_limit=100"):
        small_runs.train(data, tmp_path / "run", bad_records="skip", steps=9)


def test_a_shard_that_vanishes_is_66_and_what_was_done_is_committed(sound, tmp_path, monkeypatch):
    """# fault C13"""
    data = damaged(tmp_path / "data")
    save, manifest = Saver.save, Manifest.load(data)

    def vanish(self, step):
        for path in manifest.paths("train"):
            path.unlink()
        monkeypatch.setattr(Saver, "save", save)
        return save(self, step)

    monkeypatch.setattr(Saver, "save", vanish)
    with pytest.raises(UserError) as caught:
        small_runs.train(data, tmp_path / "run", steps=400, save_every_steps=2)
    assert caught.value.code == 66 and "cannot read a shard: No such file" in str(caught.value)
    commit = checkpoint.find(tmp_path / "run")
    assert str(caught.value).endswith(f"; step {commit.step} is committed")
    undisturbed = small_runs.train(sound, tmp_path / "other", steps=commit.step)
    assert commit.manifest["digest"] == undisturbed["digest"]


@pytest.mark.parametrize("writes, kept", [
    (True, "step 3 is committed"), (False, "what process 0 has committed stays"),
])  # fmt: skip
def test_only_who_commits_says_what_is_committed(writes, kept):
    def find(step):
        raise UserError(65, "the record fails", "a shard", "see it")

    feed = types.SimpleNamespace(bad=types.SimpleNamespace(found={}), skip_bad=find)
    config = types.SimpleNamespace(bad_records="fail")
    run = types.SimpleNamespace(step=tf.constant(3), feed=feed, config=config)
    saver = types.SimpleNamespace(last=types.SimpleNamespace(step=3), writes=writes)
    error = tf.errors.InvalidArgumentError(None, None, "bad")
    with pytest.raises(UserError) as caught:
        bad_batches.leave_out(run, 0, error, saver, None, None)
    assert f"; {kept}; --bad_records=skip goes on without it" in str(caught.value)
