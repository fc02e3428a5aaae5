"""Predictions on picture files: which are found, what is said of each, where the network looks."""

import os
import time

import numpy as np
import pytest
import small_commits
import tensorflow as tf
from PIL import Image

from resnet_tf.errors import UserError
from resnet_tf.evaluation import Explainer, listed_pictures, load, picture_files, predict
from resnet_tf.evaluation.explain import grad_cam, overlay
from resnet_tf.preprocessing import Preprocessing

PICTURES = Preprocessing(12, 12, 3, mean=(120.0,) * 3, std=(60.0,) * 3)
CLASSES = ["cat", "dog", "n01440764", "bird"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    told = {"depth": 8, "width_multiplier": 0.5}
    return load(small_commits.commit(folder, CLASSES, PICTURES, **told))


def picture(path, seed=0, size=(12, 12)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """cat/{1,2,10}.png, dog/a.JPG and a hidden one; the working directory is theirs."""
    monkeypatch.chdir(tmp_path)
    names = ["cat/10.png", "cat/2.png", "cat/1.png", "dog/a.JPG", "dog/.hidden.png"]
    for seed, name in enumerate(names):
        picture(tmp_path / name, seed)
    (tmp_path / "dog/notes.txt").write_text("no picture")
    return tmp_path


IN_ORDER = ["cat/1.png", "cat/2.png", "cat/10.png", "dog/a.JPG"]


def test_files_folders_patterns_and_lists(photos):
    assert listed_pictures(["cat"]) == IN_ORDER[:3]
    assert listed_pictures([str(photos)]) == [str(photos / name) for name in IN_ORDER]
    assert listed_pictures(["*/*[0-9].png"]) == IN_ORDER[:3]
    assert listed_pictures(["**/*.JPG", "cat/2.png"]) == ["dog/a.JPG", "cat/2.png"]
    lines = ["cat/2.png\n", "\n", "none.png\r\n", "dog/a.JPG"]
    assert listed_pictures(["-", "cat/1.png"], lines) == [
        "cat/2.png", "none.png", "dog/a.JPG", "cat/1.png",
    ]  # fmt: skip


def test_names_that_are_no_text(loaded, photos):
    """Bytes of a file system, on a list as it comes; one of them is of no file."""
    name = os.fsdecode(b"caf\xe9.png")
    picture(photos / name)
    listed = listed_pictures(["-"], [b"caf\xe9.png\n", b"\xff.png\r\n", b"cat/1.png"])
    assert listed == [name, "\udcff.png", "cat/1.png"]
    rows = list(predict(loaded, listed))
    assert [row["file"] for row in rows] == listed
    assert ["error" in row for row in rows] == [False, True, False]
    assert "No such file" in rows[1]["error"]


def test_names_that_look_like_patterns(photos):
    picture(photos / "[1].png")
    assert listed_pictures(["[1].png"]) == ["[1].png"]


@pytest.mark.parametrize("sources", [["none*.png"], ["empty"], ["-"]])
def test_nothing_to_look_at(photos, sources):
    (photos / "empty").mkdir()
    with pytest.raises(UserError) as caught:
        listed_pictures(sources, [])
    assert caught.value.code == 66


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_scores_are_those_of_the_network(loaded, photos, batch_size):
    rows = list(predict(loaded, IN_ORDER, batch_size=batch_size))
    pixels = np.stack([np.asarray(Image.open(name).convert("RGB")) for name in IN_ORDER[:3]])
    inputs = (pixels.astype(np.float32) - 120) / 60
    expected = tf.nn.softmax(loaded.model(inputs, training=False)).numpy()
    assert [row["file"] for row in rows] == IN_ORDER
    assert [row["true"] for row in rows] == ["cat"] * 3 + ["dog"]
    for row, shares in zip(rows, expected):
        assert [e["class"] for e in row["top"]] == [CLASSES[c] for c in np.argsort(-shares)]
        np.testing.assert_allclose(
            [e["score"] for e in row["top"]], np.sort(shares)[::-1], rtol=1e-4
        )


def test_top_temperature_and_a_folder_that_is_no_class(loaded, photos):
    picture(photos / "other/x.png", 2, size=(30, 17))
    [plain] = predict(loaded, ["other/x.png"], top=2)
    assert len(plain["top"]) == 2 and "true" not in plain
    [hot] = predict(loaded, ["other/x.png"], temperature=1e6)
    np.testing.assert_allclose([entry["score"] for entry in hot["top"]], 0.25, rtol=1e-3)


def test_a_folder_called_after_a_synset(loaded, photos):
    synsets = {"n00000001": "bird", "n00000002": "fish"}
    for folder in ("n00000001", "n00000002", "cat"):
        picture(photos / folder / "x.png")
        [row] = predict(loaded, [f"{folder}/x.png"], synsets=synsets)
        # No class of the network is called fish.
        assert row.get("true") == {"n00000001": "bird", "cat": "cat"}.get(folder)


def test_bad_pictures_are_a_line_each_in_their_place(loaded, photos):
    (photos / "text.jpg").write_text("this is no picture at all, only a text")
    (photos / "cut.png").write_bytes((photos / "cat/1.png").read_bytes()[:200])
    (photos / "empty.jpg").touch()
    (photos / "folder.png").mkdir()
    paths = [
        "text.jpg",
        *IN_ORDER[:2],
        "none.jpg",
        "cut.png",
        IN_ORDER[2],
        "empty.jpg",
        "folder.png",
    ]
    for batch_size in (1, 2, 8):
        rows = list(predict(loaded, paths, batch_size=batch_size))
        assert [row["file"] for row in rows] == paths
        assert ["error" in row for row in rows] == [
            True,
            False,
            False,
            True,
            True,
            False,
            True,
            True,
        ]
        assert "No such file" in rows[3]["error"] and "decoded" in rows[4]["error"]
    only_bad = list(predict(loaded, ["none.jpg", "a\0b"]))
    assert ["error" in row for row in only_bad] == [True, True]


def test_read_gives_the_networks_input(loaded, photos):
    images = loaded.read([photos / "cat/1.png", "cat/2.png"])
    expected = np.stack([np.asarray(Image.open(name)) for name in ("cat/1.png", "cat/2.png")])
    np.testing.assert_allclose(images.numpy(), (expected.astype(np.float32) - 120) / 60, rtol=1e-5)
    with pytest.raises(tf.errors.OpError):
        loaded.read(["none.png"])


def test_grad_cam_is_the_gradient_in_the_last_maps(loaded):
    """By its definition, with a tape, in place of the closed form."""
    images = tf.constant(np.random.default_rng(0).normal(size=(3, 32, 32, 3)).astype(np.float32))
    classes = tf.constant([2, 0, 3])
    maps = loaded.model.features(images, training=False)["final"]
    with tf.GradientTape() as tape:
        tape.watch(maps)
        logits = loaded.model.head(tf.reduce_mean(maps, axis=(1, 2)))
        chosen = tf.gather(logits, classes, axis=1, batch_dims=1)
    weights = tf.reduce_mean(tape.gradient(chosen, maps), axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1))
    expected = tf.image.resize(heat[..., None], [32, 32])[..., 0].numpy()
    expected /= np.maximum(expected.max(axis=(1, 2), keepdims=True), 1e-30)
    found = grad_cam(loaded, images, classes).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_overlay_leaves_what_is_cold():
    pixels = np.full((1, 3, 3), 200, np.uint8)
    found = overlay(pixels, np.array([[0.0, 0.5, 1.0]]))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[0, 0], [200, 200, 200])
    np.testing.assert_array_equal(found[0, 2], np.round(0.4 * 200 + 0.6 * np.array([253, 231, 37])))
    middle = 0.7 * 200 + 0.3 * np.array([33, 145, 140])
    np.testing.assert_array_equal(found[0, 1], np.round(middle))


def test_explained_pictures(loaded, photos):
    explainer = Explainer(loaded, photos / "out/deep")
    rows = list(predict(loaded, ["cat/1.png", "none.png", "dog/a.JPG"], explainer=explainer))
    files = [row.get("explained") for row in rows]
    assert [file and os.path.basename(file) for file in files] == [
        "00000_1.png",
        None,
        "00002_a.png",
    ]
    assert all(Image.open(file).size == (12, 12) for file in files if file)


@pytest.mark.parametrize("stem", ["a" * 251, "a" + "é" * 125, "\udcff" * 251])
def test_a_picture_with_the_longest_name(loaded, photos, stem):
    """The name of its explanation is as long as one may be, and no character is halved."""
    picture(photos / f"{stem}.png")
    [row] = predict(loaded, [f"{stem}.png"], explainer=Explainer(loaded, "out"))
    (file,) = os.listdir("out")
    assert row["explained"] == os.path.join("out", file) and Image.open(photos / "out" / file)
    assert file.startswith("00000_") and file.endswith(".png") and len(os.fsencode(file)) <= 255
    assert stem.startswith(file[6:-4])


def test_threads_that_wait_for_a_trace_are_no_retracing(loaded, photos, monkeypatch, caplog):
    """TensorFlow takes each of them for one that traces, and would warn of it."""
    real = picture_files.decode_and_fit

    def slow(encoded, pictures):
        time.sleep(0.2)
        return real(encoded, pictures)

    monkeypatch.setattr(picture_files, "decode_and_fit", slow)
    assert len(list(predict(loaded, IN_ORDER * 5))) == 20
    told = [record.getMessage() for record in caplog.records]
    assert not [text for text in told if "retracing" in text and "decode" in text]


def test_a_folder_that_cannot_be_made(loaded, photos):
    with pytest.raises(UserError) as caught:
        Explainer(loaded, photos / "dog/notes.txt/out")
    assert caught.value.code == 73
