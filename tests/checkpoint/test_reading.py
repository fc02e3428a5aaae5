"""`checkpoint.read`: readers beside a run that sweeps, none of which loses what it reads."""

import threading

import numpy as np
import pytest

from resnet_tf import checkpoint
from resnet_tf.checkpoint import commit as commits
from resnet_tf.checkpoint.directory import sweep
from resnet_tf.checkpoint.restore import open_reader
from resnet_tf.errors import UserError

SIZE = 20_000


def save(directory, step):
    tensors = {"model/x": np.full(SIZE, step, np.float32)}
    checkpoint.write(directory / "checkpoints", step, tensors, {})
    sweep(directory / "checkpoints", keep=1)


def step_and_values(commit):
    with open_reader(commit.path / "variables") as reader:
        return commit.step, set(reader.get_tensor("model/x").tolist())


def test_readers_beside_a_run_that_keeps_one_commit(tmp_path):  # fault G11, P6
    save(tmp_path, 1)
    done, last, failures, read = threading.Event(), [1], [], [0] * 10

    def write():
        while not done.is_set():
            last[0] += 1
            save(tmp_path, last[0])

    def look(reader):
        try:
            while read[reader] < 20:
                before = last[0]
                step, values = checkpoint.read(tmp_path, step_and_values)
                assert values == {step} and before - 1 <= step
                read[reader] += 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=look, args=(number,)) for number in range(10)]
    writer = threading.Thread(target=write)
    for thread in (writer, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    writer.join()
    assert not failures and read == [20] * 10


def test_a_commit_that_goes_while_it_is_read(tmp_path):
    save(tmp_path, 1)
    seen = []

    def slow(commit):
        seen.append(commit.step)
        if commit.step < 4:
            save(tmp_path, commit.step + 1)  # which sweeps the one that is read
        return step_and_values(commit)

    assert checkpoint.read(tmp_path, slow) == (4, {4.0}) and seen == [1, 2, 3, 4]


def test_a_commit_that_goes_once_its_manifest_is_read(tmp_path, monkeypatch):
    save(tmp_path, 1)
    real, seen = commits.read_manifest, []

    def slow(path):
        text = real(path)
        seen.append(path.name)
        if len(seen) == 1:
            save(tmp_path, 2)
        return text

    monkeypatch.setattr(commits, "read_manifest", slow)
    assert checkpoint.read(tmp_path, step_and_values) == (2, {2.0})
    assert seen[0] == "step_000000001" and seen[-1] == "step_000000002"


@pytest.mark.parametrize("error", [UserError(78, "other", "a", "b"), OSError(5, "bad disk")])
def test_what_a_commit_that_is_there_raises_is_raised(tmp_path, error):
    save(tmp_path, 1)
    calls = []

    def fail(commit):
        calls.append(commit)
        raise error

    with pytest.raises(type(error)) as caught:
        checkpoint.read(tmp_path, fail)
    assert caught.value is error and len(calls) == 1


def test_one_commit_that_goes_is_not_another(tmp_path):
    save(tmp_path, 1)
    named = tmp_path / "checkpoints/step_000000001"

    def slow(commit):
        save(tmp_path, 2)
        return step_and_values(commit)

    with pytest.raises(OSError):
        checkpoint.read(named, slow)
    with pytest.raises(UserError) as caught:
        checkpoint.read(named, step_and_values)
    assert caught.value.code == 66
