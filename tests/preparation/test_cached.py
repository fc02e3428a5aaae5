"""`--data_dir=tfds:NAME`: prepared once, whole or not at all, by any number of processes."""

import os
import pathlib
import shutil
import threading

import pytest
from preparation import tiny_tfds

from resnet_tf.config import Config
from resnet_tf.distribution import DeviceRequest
from resnet_tf.errors import UserError
from resnet_tf.evaluation import evaluate_checkpoint
from resnet_tf.input import Manifest
from resnet_tf.preparation import cached
from resnet_tf.training import command


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_TF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))


@pytest.fixture
def prepared(tmp_path):
    """A prepared TFDS directory."""
    return tiny_tfds.prepare(tmp_path / "tfds", tiny_tfds.usual_features, tiny_tfds.usual_splits())


@pytest.fixture
def written(monkeypatch):
    """The listings that are written, in place of writing records."""
    listings = []

    def write(output, listing, *, seed):
        assert seed == 0
        pathlib.Path(output).mkdir()
        (pathlib.Path(output) / "dataset.json").write_text(str(len(listings)))
        listings.append(listing)

    monkeypatch.setattr(cached, "write_dataset", write)
    return listings


def silent(_):
    pass


def never(_):
    raise AssertionError("nothing is to be said")


@pytest.mark.parametrize("data_dir", ["data/digits", "/data/tfds", "", "tfds"])
def test_other_directories_come_back_as_they_are(data_dir, tmp_path):
    assert cached.directory_of(data_dir, say=never) == data_dir
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "directory"), [("made", "made"), ("made:1.0.0", "made-1.0.0")])
def test_named_set_is_prepared_once(tmp_path, prepared, written, name, directory):
    lines = []
    found = cached.directory_of(f"tfds:{name}", say=lines.append)
    assert found == str(tmp_path / "cache" / "datasets" / directory)
    assert os.listdir(found) == ["dataset.json"]
    assert lines == [f"tfds:{name}: preparing it once, into {found}"]
    shutil.rmtree(prepared)  # what is in the cache needs nothing else
    assert cached.directory_of(f"tfds:{name}", say=never) == found
    assert [listing.name for listing in written] == ["made/1.0.0"]


def test_prepared_directory_by_its_path(prepared, written):
    first = cached.directory_of(f"tfds:{prepared}", say=silent)
    assert pathlib.Path(first).name.startswith("made-")
    assert cached.directory_of(f"tfds:{prepared}/", say=never) == first
    with open(next(prepared.glob("made-train*")), "ab"):
        pass
    os.utime(next(prepared.glob("made-train*")), (1, 1))  # made anew
    second = cached.directory_of(f"tfds:{prepared}", say=silent)
    assert second != first
    assert len(written) == 2


def test_the_first_of_two_processes_is_taken_by_both(prepared, written, monkeypatch):
    together, write = threading.Barrier(2, timeout=60), cached.write_dataset

    def slow(output, listing, *, seed):
        write(output, listing, seed=seed)
        together.wait()  # both have written before either renames

    monkeypatch.setattr(cached, "write_dataset", slow)
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.append(cached.directory_of(f"tfds:{prepared}", say=silent))
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 2
    assert found[0] == found[1]
    assert [p.name for p in pathlib.Path(found[0]).iterdir()] == ["dataset.json"]
    assert [str(p) for p in pathlib.Path(found[0]).parent.iterdir()] == [found[0]]


@pytest.mark.parametrize("failure", [UserError(65, "bad", "x", "mend it"), KeyboardInterrupt()])
def test_failure_leaves_nothing(tmp_path, prepared, monkeypatch, failure):
    def write(output, listing, *, seed):
        pathlib.Path(output).mkdir()
        raise failure

    monkeypatch.setattr(cached, "write_dataset", write)
    with pytest.raises(type(failure)):
        cached.directory_of(f"tfds:{prepared}", say=silent)
    assert list((tmp_path / "cache" / "datasets").iterdir()) == []


@pytest.mark.parametrize("source", ["/none/made/1.0.0", "../none"])
def test_directory_that_is_not_there(tmp_path, written, source):
    with pytest.raises(UserError) as caught:
        cached.directory_of(f"tfds:{source}", say=silent)
    assert caught.value.code == 66
    assert "no such directory" in str(caught.value)
    assert list((tmp_path / "cache" / "datasets").iterdir()) == []


def test_cache_that_cannot_be_written(tmp_path, prepared, written):
    (tmp_path / "cache").touch()
    with pytest.raises(UserError) as caught:
        cached.directory_of(f"tfds:{prepared}", say=silent)
    assert caught.value.code == 73
    assert "cannot write the cache: Not a directory" in str(caught.value)
    assert "RESNET_TF_CACHE" in str(caught.value)


def test_failing_rename(tmp_path, prepared, written, monkeypatch):
    def rename(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cached.os, "rename", rename)
    with pytest.raises(UserError) as caught:
        cached.directory_of(f"tfds:{prepared}", say=silent)
    assert caught.value.code == 73
    assert "cannot write the cache: No space left on device" in str(caught.value)
    assert list((tmp_path / "cache" / "datasets").iterdir()) == []


def test_records_can_be_read(prepared):
    manifest = Manifest.load(cached.directory_of(f"tfds:{prepared}", say=silent))
    assert (manifest.records("train"), manifest.records("validation")) == (7, 3)
    assert manifest.classes == ("cat", "dog", "newt")
    assert (manifest.height, manifest.width, manifest.channels) == (6, 5, 3)


def test_trained_on_and_evaluated_by_its_name(tmp_path):
    examples = [{"image": tiny_tfds.pixels(i, (8, 8, 3)), "label": i % 2} for i in range(12)]
    found = tiny_tfds.prepare(
        tmp_path / "tfds",
        lambda f: {"image": f.Image(shape=(8, 8, 3)), "label": f.ClassLabel(names=["cat", "dog"])},
        {"train": examples[:8], "test": examples[8:]},
    )
    config = Config(
        model="cifar_resnet", model_options={"depth": 8, "width_multiplier": 0.25}, steps=2,
        batch_size=4, data_dir=f"tfds:{found}", model_dir=str(tmp_path / "run"), devices="cpu",
    )  # fmt: skip
    done = command.train(config)
    assert (done["examples_seen"], done["eval"]["examples"]) == (8, 4)
    shutil.rmtree(found)  # what was prepared is enough from here on
    again = evaluate_checkpoint(config.model_dir, DeviceRequest.parse("cpu"))
    assert again["loss"] == pytest.approx(done["eval"]["loss"], rel=1e-6)


def test_no_name_after_the_prefix():
    with pytest.raises(UserError, match="ERROR 64: data_dir must name a set after tfds: "):
        cached.directory_of("tfds:", say=silent)
