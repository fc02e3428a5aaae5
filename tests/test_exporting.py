"""Exports: each form, run again by what others would use, and proved before it gets its name."""

import dataclasses
import io
import pathlib
import sys
import types

import numpy as np
import pytest
import small_commits
import tensorflow as tf
from PIL import Image

from resnet_tf import exporting, models
from resnet_tf.errors import UserError
from resnet_tf.evaluation import import_weights, load
from resnet_tf.exporting import exports, torch_names
from resnet_tf.layers import named_variables
from resnet_tf.preprocessing import Preprocessing

PICTURES = Preprocessing(32, 32, 3, mean=(120.0, 121.0, 122.0), std=(60.0, 61.0, 62.0))
NAMES = ["cat", "dog", "bird"]


def network(folder, model="cifar_resnet", pictures=PICTURES, **options):
    """A commit of a network whose batch norms do something, loaded."""
    rng = np.random.default_rng(0)

    def change(name, variable):
        if "norm" in name:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))

    if model == "cifar_resnet":
        options = options or {"depth": 8, "width_multiplier": 0.5}
    return load(small_commits.commit(folder, NAMES, pictures, model, change, **options))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return network(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def pixels():
    """Soft blobs, as pictures are."""
    rng = np.random.default_rng(1)
    small = rng.uniform(0, 255, (40, 4, 4, 3)).astype(np.float32)
    return tf.cast(tf.image.resize(small, (32, 32)), tf.uint8).numpy()


def probabilities(loaded, pixels):
    return tf.nn.softmax(loaded.model(loaded.preprocess(pixels), training=False)).numpy()


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_saved_model_and_its_signatures(loaded, pixels, tmp_path):
    made = exporting.export(loaded, tmp_path / "served", "saved_model", pixels)
    assert (made.pictures, made.agreement) == (40, 1) and made.largest_difference < 1e-5
    assert made.megabytes > 0 and left(tmp_path) == ["served"]
    signatures = tf.saved_model.load(str(tmp_path / "served")).signatures
    expected = probabilities(loaded, pixels[:3])
    encoded = []
    for picture in pixels[:3]:
        Image.fromarray(picture).save(file := io.BytesIO(), "PNG")
        encoded.append(file.getvalue())
    examples = [
        tf.train.Example(features=tf.train.Features(feature={
            "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))
        })).SerializeToString() for data in encoded
    ]  # fmt: skip
    for name, told in {
        "tensors": {"images": tf.constant(pixels[:3])},
        "encoded": {"encoded": tf.constant(encoded)},
        "serving_default": {"encoded": tf.constant(encoded)},
        "examples": {"examples": tf.constant(examples)},
    }.items():
        answer = signatures[name](**told)
        np.testing.assert_allclose(answer["probabilities"].numpy(), expected, atol=1e-5)
        shares = tf.nn.softmax(answer["logits"]).numpy()
        np.testing.assert_allclose(shares, expected, atol=1e-5)
        assert answer["classes"].numpy().tolist() == [[name.encode() for name in NAMES]] * 3


@pytest.mark.parametrize(("kind", "within"), [("float32", 1e-5), ("float16", 0.02), ("int8", 0.2)])
def test_tflite(loaded, pixels, tmp_path, kind, within):
    labels = probabilities(loaded, pixels).argmax(axis=1)
    labels[:4] = (labels[:4] + 1) % 3
    learned = pixels[::-1] if kind == "int8" else None
    made = exporting.export(
        loaded, tmp_path / "a.tflite", "tflite", pixels, kind, labels=labels, calibration=learned
    )
    assert made.checkpoint_top1 == 0.9 and abs(made.top1 - 0.9) <= 1 - made.agreement
    assert 0 < made.mean_difference <= made.largest_difference * 3 / 2
    assert made.largest_difference <= within and made.agreement >= 0.8
    interpreter = tf.lite.Interpreter(model_path=str(tmp_path / "a.tflite"))
    (taken,) = interpreter.get_input_details()
    assert taken["dtype"] == (np.uint8 if kind == "int8" else np.float32)
    assert left(tmp_path) == ["a.tflite"]


FORMS = (
    ("saved_model", "float32"), ("onnx", "float32"), ("tflite", "float32"), ("tflite", "float16"),
    ("tflite", "int8"),
)  # fmt: skip
POOLING = [
    (model, *form)
    for model in ("resnet18", "resnet18_v2", "resnet18_d", "se_resnet50", "ex6_net")
    for form in FORMS
]
IN_CI = [("resnet18", "onnx", "float32"), ("resnet18_v2", "tflite", "int8")]


@pytest.mark.parametrize(
    ("model", "form", "kind"),
    [pytest.param(*row, marks=[] if row in IN_CI else pytest.mark.slow) for row in POOLING],
)
def test_a_network_that_pools(pixels, tmp_path, model, form, kind):
    """Its padding is one that the converters, and 8 bits, can hold."""
    if form == "onnx":
        pytest.importorskip("tf2onnx")
        pytest.importorskip("onnxruntime")
    large = tf.image.resize(pixels, (139, 139)) if model == "ex6_net" else pixels
    pixels = tf.cast(large, tf.uint8).numpy()
    pictures = dataclasses.replace(PICTURES, height=pixels.shape[1], width=pixels.shape[2])
    made = exporting.export(
        network(tmp_path / "run", model, pictures), tmp_path / "export", form, pixels, kind,
        calibration=pixels if kind == "int8" else None,
    )  # fmt: skip
    within = {"float32": 1e-5, "float16": 0.02, "int8": 0.3}[kind]
    assert made.largest_difference <= within and made.agreement >= 0.7


def test_onnx_agrees_and_takes_any_number_of_pictures(loaded, pixels, tmp_path):
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    made = exporting.export(loaded, tmp_path / "a.onnx", "onnx", pixels)
    assert made.agreement == 1 and made.largest_difference < 1e-5 and left(tmp_path) == ["a.onnx"]
    session = runtime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    ((taken,), (given,)) = session.get_inputs(), session.get_outputs()
    assert (taken.name, given.name) == ("images", "probabilities")
    for count in (1, 7):
        (answer,) = session.run(None, {"images": pixels[:count].astype(np.float32)})
        np.testing.assert_allclose(answer, probabilities(loaded, pixels[:count]), atol=1e-5)


@pytest.mark.parametrize("name", ["tf2onnx", "onnxruntime"])
def test_onnx_without_its_packages(name, monkeypatch):
    for package in ("tf2onnx", "onnxruntime"):
        missing = None if package == name else types.ModuleType(package)
        monkeypatch.setitem(sys.modules, package, missing)
    message = f"the package {name} is not installed | --format=onnx | pip install"
    refused(66, message, exporting.refuse, "a.onnx", "onnx", "float32")


FAMILIES = [
    ("cifar_resnet", {"depth": 8, "width_multiplier": 0.5}),
    ("cifar_resnet", {"depth": 8, "shortcut": "B"}),
    ("cifar_resnet18", {"width_multiplier": 0.125}),
    ("resnet18", {"width_multiplier": 0.125}),
    ("resnet50", {"width_multiplier": 0.125}),
    ("resnet50_d", {"width_multiplier": 0.125}),
    ("se_resnet50", {"width_multiplier": 0.125}),
]


@pytest.mark.parametrize("form", ["safetensors", "npz"])
@pytest.mark.parametrize(("model", "options"), FAMILIES[:1] + FAMILIES[4:5])
def test_weights_come_back_through_the_importer(pixels, tmp_path, form, model, options):
    """# fault S10"""
    loaded = network(tmp_path / "run", model, **options)
    file = tmp_path / f"weights.{form}"
    made = exporting.export(loaded, file, form, pixels)
    assert (made.largest_difference, made.agreement) == (0, 1)
    commit, translation = import_weights(model, file, tmp_path / "again", options=options)
    assert not translation.left_out
    again = named_variables(load(commit).model)
    for name, variable in named_variables(loaded.model).items():
        np.testing.assert_array_equal(again[name].numpy(), variable.numpy())


def test_names_of_torchvision(tmp_path):
    loaded = network(tmp_path, "resnet50", width_multiplier=0.125)
    variables = {name: v.numpy() for name, v in named_variables(loaded.model).items()}
    found = torch_names.renamed(variables)
    # Of torchvision's resnet50, without its counters.
    for name in ("conv1.weight", "bn1.running_var", "layer1.0.conv3.weight", "layer3.5.bn2.bias",
                 "layer4.0.downsample.0.weight", "layer4.0.downsample.1.running_mean",
                 "fc.weight", "fc.bias"):  # fmt: skip
        assert name in found
    assert len(found) == len(variables) == 267
    assert found["conv1.weight"].shape == (8, 3, 7, 7) and found["fc.weight"].shape == (3, 256)
    np.testing.assert_array_equal(found["conv1.weight"][2, 1], variables["stem/kernel"][:, :, 1, 2])


@pytest.mark.parametrize(("model", "options"), FAMILIES[1:4] + FAMILIES[5:])
def test_names_of_every_family_come_back(tmp_path, model, options):
    from resnet_tf.checkpoint import foreign

    made = models.create(model, num_classes=3, **options)
    variables = {name: v.numpy() for name, v in named_variables(made).items()}
    renamed = torch_names.renamed(variables)
    assert not renamed.keys() & variables.keys()
    back = foreign.translate(renamed, "here")
    assert not back.unknown and back.tensors.keys() == variables.keys()
    for name, array in variables.items():
        np.testing.assert_array_equal(back.tensors[name], array)


def test_a_network_without_names_of_torchvision_keeps_its_own():
    variables = {"stem/kernel": np.zeros((1, 1, 2, 3)), "elsewhere/kernel": np.zeros((1, 1, 2, 3))}
    assert torch_names.renamed(variables) == variables


def refused(code, message, function, *arguments):
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert caught.value.code == code and message in str(caught.value)


def test_what_is_refused_leaves_nothing(loaded, pixels, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("")
    for code, message, *told in [
        (64, "format must be saved_model, tflite, onnx, safetensors, npz", "a", "pb", pixels),
        (
            64,
            "kind must be float32, or of tflite float32, float16, int8",
            "a",
            "tflite",
            pixels,
            "x",
        ),
        (64, "kind must be float32, or of tflite", "a", "npz", pixels, "int8"),
        (73, "the output exists", "there", "tflite", pixels),
        (
            73,
            "cannot make the output: [Errno 20] Not a directory",
            "file/below/a.npz",
            "npz",
            pixels,
        ),
        (
            73,
            "cannot make the output: [Errno 20] Not a directory",
            "file/below/a",
            "saved_model",
            pixels,
        ),
        (73, "cannot make the output: [Errno 36] File name too long", "a" * 300, "tflite", pixels),
        (64, "output must end in .npz, by which it is known", "a.bin", "npz", pixels),
        (64, "output must end in .safetensors", "a", "safetensors", pixels),
    ]:
        output, *rest = told
        refused(code, message, exporting.export, loaded, tmp_path / output, *rest)
    for form in ("saved_model", "tflite"):
        refused(73, "cannot make the output: ", exporting.export, loaded, "/proc/a", form, pixels)
    assert left(tmp_path) == ["file", "there"] and not left(tmp_path / "there")


@pytest.mark.parametrize(
    "raised",
    [OSError(28, "No space left on device"), tf.errors.ResourceExhaustedError(*[None] * 2, "full")],
)
def test_a_disk_that_fails_leaves_nothing(loaded, pixels, tmp_path, monkeypatch, raised):
    def fail(*_):
        raise raised

    monkeypatch.setattr(exports.serving, "write", fail)
    message = "cannot make the output: " + ("No space" if isinstance(raised, OSError) else "full")
    refused(73, message, exporting.export, loaded, tmp_path / "new/a", "saved_model", pixels)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "form, name", [("saved_model", "m/1"), ("npz", "m/1.npz"), ("tflite", "m/1")]
)
def test_folders_above_an_output_are_made(loaded, pixels, tmp_path, form, name):
    made = exporting.export(loaded, tmp_path / "new" / name, form, pixels)
    assert pathlib.Path(made.path) == tmp_path / "new" / name and left(tmp_path) == ["new"]
    assert left(tmp_path / "new/m") == [pathlib.Path(name).name]


@pytest.mark.parametrize(
    "top1, loses", [(0.895, False), (0.89, True), (0.91, False), (None, False)]
)
def test_a_loss_of_a_point_is_notable(top1, loses):
    assert exporting.Export("a", 9, 0.1, 0.1, 1.0, top1, 0.9, 1.0).loses() == loses


def test_8_bits_that_are_far_from_the_checkpoint_are_not_kept(loaded, pixels, tmp_path):
    black = np.zeros_like(pixels[:2])  # ranges that no picture keeps to
    message = "on average"
    refused(
        70, message, lambda: exporting.export(
            loaded, tmp_path / "a.tflite", "tflite", pixels, "int8", calibration=black
        )
    )  # fmt: skip
    assert left(tmp_path) == []


def test_an_export_that_differs_is_not_kept(loaded, pixels, tmp_path, monkeypatch):
    real = exports._written

    def wrong(*arguments):
        answer = real(*arguments)
        return lambda pixels: answer(pixels)[:, ::-1]

    monkeypatch.setattr(exports, "_written", wrong)
    message = "what was exported differs from the checkpoint by"
    refused(70, message, exporting.export, loaded, tmp_path / "a.npz", "npz", pixels)
    assert left(tmp_path) == [] and pathlib.Path(tmp_path).is_dir()
