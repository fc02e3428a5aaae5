"""Sizes, copies and soft labels of training pictures, as a run feeds them."""

import dataclasses

import made
import numpy as np
import pytest
import small_runs

from resnet_tf import input
from resnet_tf.errors import UserError
from resnet_tf.training import feed as feeding
from resnet_tf.training.saving import Saver

import tensorflow as tf  # isort: skip

ONE = tf.distribute.get_strategy()
N, BATCH = 10, 4


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    splits = {"train": [small_runs.payloads(N)], "test": [small_runs.payloads(4)]}
    made.data_set(directory, splits, classes=small_runs.CLASSES, size=8)
    return directory


def feed(data, manifest=None, **told):
    config = small_runs.config(data, "unused", **told)
    manifest = manifest or input.Manifest.load(data)
    pictures, _ = feeding.pictures_of(config, manifest)
    return feeding.Feed(config, ONE, manifest, pictures)


SIZES = {"image_size": 8, "resolutions": (4.0, 6.0, 8.0), "resolution_boundaries": ("2", "5")}


def test_pictures_have_the_size_of_their_step(data):
    made_by = feed(data, steps=7, **SIZES)
    assert made_by.resizes == (2, 5)
    for step, side in ((1, 4), (2, 6), (4, 6), (5, 8)):
        images, labels, marks = next(iter(made_by.batches(step)))
        ids = marks[:, 0]
        assert images.shape == (BATCH, side, side, 3) and images.dtype == tf.uint8
        expected = made_by._order.at(tf.range(step * BATCH, (step + 1) * BATCH, dtype=tf.int64))[0]
        np.testing.assert_array_equal(ids.numpy(), expected.numpy())
        np.testing.assert_array_equal(labels.numpy(), ids.numpy() % small_runs.CLASSES)


def test_boundaries_in_epochs_and_percent(data):
    told = {"image_size": 8, "resolutions": (4.0, 6.0, 8.0), "steps": 20}
    made_by = feed(data, resolution_boundaries=("2epochs", "50%"), **told)
    assert made_by.resizes == (5, 10)  # 20 of 4 examples a step


@pytest.mark.parametrize("boundaries, found", [
    (("5", "2"), "[5, 2]"), (("2", "2"), "[2, 2]"), (("0", "3"), "[0, 3]"),
    (("1examples", "3"), "[0, 3]"),
])  # fmt: skip
def test_boundaries_that_do_not_ascend_are_refused(data, boundaries, found):
    with pytest.raises(UserError) as caught:
        feed(data, **SIZES | {"resolution_boundaries": boundaries})
    message = "ERROR 64: resolution_boundaries must be above 0 and ascend, got "
    assert str(caught.value).startswith(message + found)


def test_a_run_of_growing_pictures_ends_the_same_after_a_break(
    data, tmp_path, monkeypatch, two_replicas
):
    small_runs.use_tiny(monkeypatch, two_replicas)
    told = {**SIZES, "steps": 7, "steps_per_call": 10, "save_every_steps": 3}
    undisturbed = small_runs.train(data, tmp_path / "undisturbed", **told)
    save = Saver.save

    def stop(self, step):
        saved = save(self, step)
        if step == 3:  # in the middle of the second size
            raise KeyboardInterrupt
        return saved

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Saver, "save", stop)
        small_runs.train(data, tmp_path / "run", **told)
    assert small_runs.train(data, tmp_path / "run", **told)["digest"] == undisturbed["digest"]
    whole = small_runs.train(data, tmp_path / "whole", steps=7)
    assert whole["digest"] != undisturbed["digest"]


@pytest.mark.parametrize("name", ["resolutions", "eval_image_size", "image_size"])
def test_pictures_must_not_become_too_small_for_the_network(
    data, tmp_path, monkeypatch, two_replicas, name
):
    told = {"resolutions": SIZES, "eval_image_size": {"eval_image_size": 4}, "image_size": {}}
    smallest = 99 if name == "image_size" else 5
    small_runs.use_tiny(monkeypatch, two_replicas)
    monkeypatch.setattr(small_runs.Tiny, "smallest_image", smallest)
    message = f"ERROR 64: {name} must be {smallest} or more for cifar_resnet"
    with pytest.raises(UserError, match=message):
        small_runs.train(data, tmp_path / "run", **told[name])
    assert not (tmp_path / "run").exists()


def test_pad_must_be_below_the_smallest_size(data):
    with pytest.raises(UserError, match="pad must be below the pictures' size, 4, got 4"):
        feed(data, pad=4, **SIZES)


@pytest.mark.parametrize("repeats", [1, 2, 3])
def test_each_picture_comes_as_often_as_it_is_repeated(data, repeats):
    made_by = feed(data, repeats=repeats, batch_size=5, flip=True, pad=1, reader="memory")
    iterator = iter(made_by.batches(0))
    parts = [next(iterator) for _ in range(2 * repeats)]  # an epoch of N · repeats positions
    ids = np.concatenate([part[2][:, 0].numpy() for part in parts])
    assert np.bincount(ids, minlength=N).tolist() == [repeats] * N
    assert (ids.reshape(N, repeats) == ids.reshape(N, repeats)[:, :1]).all()
    images = np.concatenate([part[0].numpy() for part in parts]).reshape(N, repeats, -1)
    if repeats > 1:  # with noise of its own
        assert (images[:, 0] != images[:, 1]).any(axis=1).mean() > 0.5


@pytest.mark.parametrize("told, group", [
    ({"mixup": 0.2}, 2), ({"cutmix": 1.0, "repeats": 2}, 4), ({"mixup": 0.2, "repeats": 3}, 6),
])  # fmt: skip
def test_a_batch_that_cannot_be_mixed_is_refused(data, told, group):
    message = f"batch_size must be a multiple of {group} for each of 1 devices, to mix pictures"
    with pytest.raises(UserError, match=f"ERROR 64: {message}, got 9"):
        feed(data, batch_size=9, **told)
    images, labels, _ = next(iter(feed(data, batch_size=12, **told).batches(0)))
    assert labels.shape == (12, small_runs.CLASSES) and labels.dtype == tf.float32
    assert images.shape == (12, 8, 8, 3)


@pytest.mark.parametrize("name", ["saturation", "hue", "grey", "lighting"])
def test_colours_of_grey_pictures_are_refused(data, name):
    manifest = input.Manifest.load(data)
    grey = dataclasses.replace(manifest, channels=1, mean=(1.0,), std=(1.0,))
    with pytest.raises(UserError, match=f"ERROR 64: {name} is for pictures in colour, and these"):
        feed(data, grey, **{name: 0.1})
    feed(data, grey, brightness=0.1, contrast=0.1)


@pytest.mark.parametrize("told, fixed", [
    ({}, True), ({"pad": 1, "flip": True, "policy": "augmix"}, True), ({"brightness": 0.1}, True),
    ({"brightness": 0.1, "image_size": 6}, False), ({"pad": 1, "image_size": 6}, True),
    ({"crop_scale": (0.5, 1.0)}, False), (SIZES, False),
])  # fmt: skip
def test_pixels_are_kept_where_a_record_has_the_same_ones_every_time(data, told, fixed):
    made_by = feed(data, reader="memory", **told)
    assert isinstance(made_by._reader, input.ArrayReader) is fixed


def test_mean_of_the_run_fills_what_is_erased(data):
    """Erased with certainty and filled by the mean; the pictures themselves are near it nowhere."""
    made_by = feed(data, erasing=1.0, erasing_fill="mean", mean=(1.0, 2.0, 3.0), std=(9.0,) * 3)
    images = next(iter(made_by.batches(0)))[0].numpy()
    assert (images == (1, 2, 3)).all(axis=-1).any(axis=(1, 2)).all()


def test_a_run_with_everything_on_trains(data, tmp_path, monkeypatch, two_replicas):
    small_runs.use_tiny(monkeypatch, two_replicas)
    done = small_runs.train(
        data, tmp_path / "run", steps=2, crop_scale=(0.3, 1.0), flip=True, policy="trivialaugment",
        brightness=0.2, hue=0.1, erasing=0.5, mixup=0.2, cutmix=1.0, repeats=2,
        label_smoothing=0.1, devices="cpu:2", batch_size=8,
    )  # fmt: skip
    assert done["step"] == 2 and np.isfinite(done["train_loss"])


def test_a_batch_larger_than_the_data_runs_on_across_epochs(data, tmp_path, monkeypatch):
    """# fault C17"""
    monkeypatch.setattr("resnet_tf.models.create_as_told", lambda *_, **__: small_runs.Tiny())
    done = small_runs.train(data, tmp_path / "run", batch_size=3 * N, steps=2)
    assert (done["step"], done["examples_seen"], done["epoch"]) == (2, 6 * N, 6.0)
