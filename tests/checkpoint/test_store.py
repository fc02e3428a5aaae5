"""Runs in a store that TensorFlow reaches by an address, here by its own file://."""

import json
import pathlib
import shutil
import threading
from concurrent import futures

import numpy as np
import pytest
import small_runs

from resnet_tf import checkpoint, evaluation
from resnet_tf.checkpoint import Mirror, mirror, store, store_lock
from resnet_tf.checkpoint.directory import before
from resnet_tf.errors import UserError
from resnet_tf.stopping import Stop
from resnet_tf.training import command, saving

import tensorflow as tf  # isort: skip

RUN = {"steps": 12, "save_every_steps": 2, "eval_every_steps": 4, "keep": 2}


@pytest.fixture
def data(tmp_path):
    return small_runs.data_set(tmp_path / "data")


@pytest.fixture(autouse=True)
def tiny(monkeypatch, two_replicas, tmp_path):
    small_runs.use_tiny(monkeypatch, two_replicas)
    monkeypatch.setattr(store_lock, "_SETTLED", 0.0)
    monkeypatch.setattr(store_lock, "_GONE", 0.1)
    monkeypatch.setenv("RESNET_TF_CACHE", str(tmp_path / "cache"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(mirror.tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.fixture
def there(tmp_path):
    return tmp_path / "store/run"


def address(there):
    return f"file://{there}"


def names(there):
    return sorted(path.name for path in (there / "checkpoints").iterdir())


def refused(code, message, function, *arguments, **told):
    with pytest.raises(UserError) as caught:
        function(*arguments, **told)
    assert caught.value.code == code and message in str(caught.value), str(caught.value)
    return caught.value


@pytest.mark.parametrize("path, is_one", [
    ("gs://b/run", True), ("file:///a", True), ("ram://a", True), ("s3://b", True),
    ("/a/b", False), ("runs/a", False), ("a:b", False), ("C:/a", False), (pathlib.Path("a"), False),
])  # fmt: skip
def test_addresses(path, is_one):
    assert checkpoint.is_address(path) is is_one


def test_a_run_in_a_store_is_the_run_on_a_disk(data, tmp_path, there):
    here = small_runs.train(data, tmp_path / "here", **RUN)
    done = small_runs.train(data, address(there), **RUN)
    assert done["digest"] == here["digest"]
    assert done["checkpoint"] == f"{address(there)}/checkpoints/step_000000012"
    assert names(there) == ["step_000000010", "step_000000012"]
    files = {path.name for path in there.iterdir()}
    assert files == {"checkpoints", "journal.jsonl", "steps.csv", "report.html"}
    events = small_runs.journal(there, "done")
    assert events[-1]["digest"] == done["digest"]
    for name in names(there):
        commit = checkpoint.find(there / "checkpoints" / name)  # verifies
        same = checkpoint.find(tmp_path / "here/checkpoints" / name)
        assert commit.manifest["digest"] == same.manifest["digest"]
    assert not list((tmp_path / "temporary").glob("resnet_tf-run-*"))
    again = small_runs.train(data, address(there), **RUN)
    assert again["digest"] == done["digest"] and names(there)[-1] == "step_000000012"


@pytest.mark.parametrize("told", [{}, {"async_save": True}], ids=["", "beside the steps"])
def test_a_machine_that_is_gone_costs_the_steps_since_the_last_commit(
    data, tmp_path, there, monkeypatch, told
):
    undisturbed = small_runs.train(data, tmp_path / "here", **RUN)

    class Killed(BaseException):
        pass

    def die(self):
        raise Killed

    real = saving.Saver.save_if_possible

    def save(self, step):
        real(self, step)
        self.finish()
        if step == 6:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(saving.Saver, "save_if_possible", save)
        patch.setattr(Mirror, "close", die)  # it has no time for anything
        small_runs.train(data, address(there), **RUN, **told)
    assert names(there)[-1] == "step_000000006" and (there / "lock").exists()
    (there / "checkpoints/step_000000008").mkdir()  # and of one that it had begun to send
    (there / "checkpoints/step_000000008/variables.index").write_text("a part")
    (there / "checkpoints/step_000000008.unfinished").touch()
    done = small_runs.train(data, address(there), **RUN, **told)
    assert done["digest"] == undisturbed["digest"]
    assert names(there) == ["step_000000010", "step_000000012"]
    steps = [event["step"] for event in small_runs.journal(there, "eval")]
    assert steps == [4, 8, 12]


def test_a_store_that_fails_for_a_while_costs_no_commit(data, tmp_path, there, monkeypatch, capsys):
    undisturbed = small_runs.train(data, tmp_path / "here", **RUN)
    left, real = [6, 5, 4], mirror.copy

    def copy(path, target):
        if left and "step_" in target:
            left.pop()
            raise tf.errors.UnavailableError(None, None, "503")
        real(path, target)

    monkeypatch.setattr(mirror, "copy", copy)
    done = small_runs.train(data, address(there), **RUN)
    assert done["digest"] == undisturbed["digest"] and names(there)[-1] == "step_000000012"
    failed = small_runs.journal(there, "save_failed")
    assert [event["step"] for event in failed] == [2, 4, 6]
    assert "the store cannot be written: 503" in failed[0]["error"]


def test_a_store_that_fails_at_the_end_leaves_all_on_this_machine(data, there, monkeypatch):
    def copy(path, target):
        raise tf.errors.UnavailableError(None, None, "503")

    monkeypatch.setattr(mirror, "copy", copy)
    error = refused(74, "the store cannot be written: 503", small_runs.train, data, address(there),
                    **RUN)  # fmt: skip
    place = pathlib.Path(error.remedy.split(" is in ")[1].split(";")[0])
    assert checkpoint.find(place).step == 12
    assert not (there / "lock").exists()


def test_asked_to_stop(data, there, monkeypatch):
    stop, real = Stop(), saving.Saver.save_if_possible

    def save(self, step):
        real(self, step)
        if step == 4:
            stop.ask("SIGTERM", 143)

    monkeypatch.setattr(saving.Saver, "save_if_possible", save)
    config = small_runs.config(data, address(there), **RUN)
    message = f"at step 4, which is committed | {address(there)}/checkpoints/step_000000004"
    refused(143, message, command.train, config, stop=stop)
    assert names(there) == ["step_000000002", "step_000000004"]


def test_a_damaged_commit_is_set_aside_there_too(data, tmp_path, there):
    undisturbed = small_runs.train(data, tmp_path / "here", **RUN)
    small_runs.train(data, address(there), **RUN | {"steps": 8, "eval_every_steps": 0})
    damaged = there / "checkpoints/step_000000008/variables.index"
    damaged.write_bytes(b"x" + damaged.read_bytes()[1:])
    done = small_runs.train(data, address(there), **RUN)
    assert done["digest"] == undisturbed["digest"]
    assert any(name.startswith("step_000000008.corrupt-") for name in names(there))


def test_a_damaged_commit_that_is_made_again_is_sent_again(data, there):
    """Its manifest is the same, and so is its name."""
    done = small_runs.train(data, address(there), **RUN | {"steps": 8, "eval_every_steps": 0})
    damaged = there / "checkpoints/step_000000008/variables.index"
    damaged.write_bytes(b"x" + damaged.read_bytes()[1:])
    again = small_runs.train(data, address(there), **RUN | {"steps": 8, "eval_every_steps": 0})
    assert again["digest"] == done["digest"]
    assert checkpoint.find(there / "checkpoints/step_000000008").step == 8  # verifies
    assert any(name.startswith("step_000000008.corrupt-") for name in names(there))


def save(directory, step, value):
    checkpoint.write(directory / "checkpoints", step, {"model/x": np.float32([value])}, {})


def test_steps_that_are_undone_and_made_again_are_sent_again(there):
    held = Mirror(address(there))
    held.open()
    for step in (1, 2, 3):
        save(held.directory, step, step)
    held.push()
    before(held.directory / "checkpoints", 2)
    held.let_go_after(1)
    save(held.directory, 2, 20)
    held.push()
    assert names(there) == ["step_000000001", "step_000000002"]
    here = checkpoint.find(held.directory / "checkpoints/step_000000002")
    assert checkpoint.find(there).manifest["digest"] == here.manifest["digest"]
    held.close()


@pytest.mark.parametrize("what", [
    "", "checkpoints", "checkpoints/step_000000001", "checkpoints/step_000000001/*", "*/*/*",
])  # fmt: skip
def test_what_is_gone_here_is_not_gone_there(there, what):
    """Who cleans a directory for temporary files gives up no commit."""
    held = Mirror(address(there))
    held.open()
    for step in (1, 2):
        save(held.directory, step, step)
    held.push()
    for path in held.directory.glob(what) if "*" in what else ():
        path.unlink()
    if "*" not in what:
        shutil.rmtree(held.directory / what)
    held.close()
    assert names(there) == ["step_000000001", "step_000000002"]
    assert checkpoint.find(there).step == 2


# --- readers


def test_readers_fetch_the_newest_and_fall_back(data, tmp_path, there):
    done = small_runs.train(data, address(there), **RUN)
    commit = checkpoint.find(address(there))
    assert commit.step == 12 and commit.manifest["digest"] == done["digest"]
    assert commit.path.is_relative_to(tmp_path / "cache")
    before = commit.path.stat().st_ino
    assert checkpoint.find(address(there)).path.stat().st_ino == before  # fetched once
    one = checkpoint.find(f"{address(there)}/checkpoints/step_000000010")
    assert one.step == 10
    assert checkpoint.read(address(there), checkpoint.shapes_of)["step"] == ()
    damaged = there / "checkpoints/step_000000012/manifest.json"
    damaged.write_text("{}")
    assert checkpoint.find(address(there)).step == 10
    (there / "checkpoints/step_000000010/manifest.json").write_text("{}")
    refused(78, "none of the 2 commits can be used", checkpoint.find, address(there))


def test_an_address_may_have_a_folder_of_the_same_name(data, tmp_path):
    run = f"file://{tmp_path}/checkpoints/run"
    small_runs.train(data, run, **RUN)
    assert checkpoint.find(run).step == 12
    assert checkpoint.find(f"{run}/checkpoints/step_000000010").step == 10


def test_damage_in_the_cache_is_none_in_the_store(data, there):
    small_runs.train(data, address(there), **RUN)
    cached = checkpoint.find(address(there)).path / "variables.data-00000-of-00001"
    cached.write_bytes(b"")
    assert checkpoint.find(address(there)).step == 12
    assert cached.stat().st_size > 0


def test_readers_of_one_machine_at_the_same_time(data, there):
    small_runs.train(data, address(there), **RUN)
    with futures.ThreadPoolExecutor(6) as readers:
        found = list(readers.map(checkpoint.find, [address(there)] * 12))
    assert [commit.step for commit in found] == [12] * 12


def test_there_is_nothing(there):
    refused(66, "there is no commit", checkpoint.find, address(there))
    refused(66, "there is no such commit", checkpoint.find,
            f"{address(there)}/checkpoints/step_000000010")  # fmt: skip
    refused(64, "TensorFlow has no way to this store", checkpoint.find, "nosuch://a/b")


def test_new_commits_of_a_run_in_a_store(data, there):
    done = small_runs.train(data, address(there), **RUN)
    found = list(evaluation.new_commits(address(there), sleep=lambda seconds: 1 / 0))
    assert [commit.manifest["digest"] for commit in found] == [done["digest"]]


# --- one writer


def test_a_holder_that_shows_itself_is_not_disturbed(there, monkeypatch):
    monkeypatch.setattr(store_lock, "_BEAT", 0.01)
    held, said = Mirror(address(there)), []
    held.open()
    other = Mirror(address(there), say=said.append, sleep=lambda s: threading_wait(there))
    refused(77, "the model directory is locked by host ", other.open)
    assert len(said) == 1 and "has this run, or had" in said[0]
    held.close()
    assert not (there / "lock").exists()


def threading_wait(there):
    """Until the number in the file has risen."""
    begin = (there / "lock").read_text()
    while (there / "lock").read_text() in (begin, ""):
        pass


def test_a_stale_one_is_taken_over(there):
    first = Mirror(address(there))
    first.open()
    second = Mirror(address(there), sleep=lambda seconds: None)
    second.open()  # the first shows nothing meanwhile: its thread waits for half a minute
    holder = json.loads((there / "lock").read_text())
    refused(77, "locked by host", first.close)  # which takes nothing from the second
    assert json.loads((there / "lock").read_text()) == holder
    second.close()
    assert not (there / "lock").exists()


def test_of_two_at_once_one_has_it(there):
    def other_takes_it(seconds):
        (there / "lock").write_text(
            json.dumps({"id": "other", "host": "h", "pid": 1, "since": "s"})
        )

    first = Mirror(address(there), sleep=other_takes_it)
    refused(77, "locked by host h, pid 1, since s", first.open)


def test_a_run_that_loses_its_lock_stops(there, monkeypatch):
    monkeypatch.setattr(store_lock, "_BEAT", 0.01)
    lost = threading.Event()
    held = Mirror(address(there), lost.set)
    held.open()
    (there / "lock").write_text(json.dumps({"id": "other"}))
    assert lost.wait(60)
    refused(77, "locked by host", held.close)
    assert json.loads((there / "lock").read_text()) == {"id": "other"}


def test_what_another_process_has_taken_is_not_touched(data, there):
    """A holder that was silent for too long comes back: its commits are not in the other's run."""
    small_runs.train(data, address(there), **RUN | {"steps": 4, "eval_every_steps": 0})
    first = Mirror(address(there))
    first.open()
    (there / "lock").write_text(json.dumps({"id": "other", "host": "h", "pid": 1, "since": "s"}))
    before = {path: path.read_bytes() for path in there.rglob("*") if path.is_file()}
    shutil.rmtree(first.directory / "checkpoints/step_000000004")
    (first.directory / "journal.jsonl").write_text("{}")
    refused(77, "locked by host h, pid 1, since s", first.push)
    error = refused(77, "locked by host h", first.close)
    assert str(first.directory) in error.remedy and first.directory.is_dir()
    assert {path: path.read_bytes() for path in there.rglob("*") if path.is_file()} == before


def test_a_commit_that_was_sent_in_part_is_removed(there):
    part = there / "checkpoints/step_000000003"
    part.mkdir(parents=True)
    (part / "variables.index").write_text("a part")
    (there / "checkpoints/step_000000003.unfinished").touch()
    held = Mirror(address(there))
    held.open()
    held.close()
    assert names(there) == []


def test_names_in_a_store_lead_nowhere_else(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "secret").write_text("mine")
    real = tf.io.gfile.listdir
    monkeypatch.setattr(store.tf.io.gfile, "listdir", lambda p: [*real(p), "..", "../secret"])
    store.download(f"file://{tmp_path}/a", tmp_path / "copy/b")
    assert not (tmp_path / "copy/secret").exists()


def test_a_directory_of_this_machine_is_called_by_its_address(data, there, capsys):
    done = small_runs.train(data, address(there), **RUN)
    again = small_runs.train(data, address(there), **RUN)
    assert again["checkpoint"] == done["checkpoint"]
    assert done["checkpoint"].startswith(f"{address(there)}/checkpoints/step_")
    said = capsys.readouterr().err
    assert f"report: {address(there)}/report.html" in said
    assert f"already complete at step {done['step']}: {done['checkpoint']}" in said
    error = refused(78, "--seed=0 and not 5", small_runs.train, data, address(there),
                    **RUN | {"seed": 5})  # fmt: skip
    assert str(error.where).startswith(f"{address(there)}/checkpoints/")
