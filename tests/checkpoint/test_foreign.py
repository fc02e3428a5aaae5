"""Weights of other frameworks: what is read and refused, and under what name each tensor goes."""

import io
import json
import os
import pathlib
import pickle
import shutil
import warnings
import zipfile

import numpy as np
import pytest

from resnet_tf.checkpoint import foreign
from resnet_tf.errors import UserError

import tensorflow as tf  # isort: skip
from tensorflow.core.protobuf import saver_pb2  # isort: skip

WEIGHT = (np.arange(24, dtype=np.float32) - 12).reshape(2, 3, 4) / 8  # exact in every format
KERNEL = "EX6_NET/Conv2d_1a_3x3/weights"
OF_TF1 = {KERNEL: np.arange(18, dtype=np.float32).reshape(3, 3, 1, 2), "global_step": np.int64(7)}


def refused(code, message, call, *arguments):
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert caught.value.code == code
    assert str(caught.value).startswith(f"ERROR {code}: ") and message in str(caught.value)
    return caught.value


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(np.asarray(found[name], np.float64), array)


def save_tf1(prefix, version=saver_pb2.SaverDef.V2, **options):
    prefix.parent.mkdir(exist_ok=True, parents=True)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in OF_TF1.items():
            tf.compat.v1.get_variable(name, initializer=value)
        session.run(tf.compat.v1.global_variables_initializer())
        saver = tf.compat.v1.train.Saver(write_version=version, save_relative_paths=True)
        saver.save(session, str(prefix), **options)
    return prefix


def save_tf2(prefix, tensors):
    names = sorted(tensors)
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names),
        tensors=[tensors[name] for name in names],
    )  # fmt: skip
    return prefix


def save_safetensors(path, tensors):
    """By the format's own description: length of the header, header, bytes."""
    kinds = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
    header, content = {}, b""
    for name, array in tensors.items():
        start, content = len(content), content + array.tobytes()
        kind = kinds.get(array.dtype.name, "F8_E4M3")
        offsets = [start, len(content)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)
    return path


# --- reading


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_safetensors(tmp_path, dtype):
    array = WEIGHT.astype(tf.as_dtype(dtype).as_numpy_dtype)
    path = save_safetensors(tmp_path / "w.safetensors", {"fc.weight": array, "x": array[0]})
    found = foreign.read(path)
    same(found, {"fc.weight": WEIGHT, "x": WEIGHT[0]})
    assert found["fc.weight"].dtype == array.dtype
    translated = foreign.translate({"fc.weight": found["fc.weight"][0]}, path).tensors
    assert translated["head/kernel"].dtype == np.float32
    np.testing.assert_array_equal(translated["head/kernel"], WEIGHT[0].T)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    arrays = {"stem/kernel": WEIGHT, "fc.weight": WEIGHT.astype(np.float64), "n": np.int64(3)}
    save(tmp_path / "w.npz", **arrays)
    same(foreign.read(str(tmp_path / "w.npz")), arrays)


def test_checkpoint_of_tf2(tmp_path):
    tensors = {"model/stem/kernel": WEIGHT, "step": np.int64(3)}
    same(foreign.read(save_tf2(tmp_path / "variables", tensors)), tensors)
    same(foreign.read(tmp_path / "variables.index"), tensors)


def test_checkpoint_of_a_tf2_module(tmp_path):
    path = tf.train.Checkpoint(kernel=tf.Variable(WEIGHT)).save(str(tmp_path / "ckpt"))
    found = foreign.read(path)
    np.testing.assert_array_equal(found["kernel/.ATTRIBUTES/VARIABLE_VALUE"], WEIGHT)


# Brackets: TensorFlow's own reader takes a path for a pattern.
@pytest.mark.parametrize("folder", ["plain", "a folder [1] é"])
@pytest.mark.parametrize("given", ["prefix", "index", "directory"])
def test_checkpoint_of_tf1(tmp_path, folder, given):
    save_tf1(tmp_path / "made" / "model.ckpt", global_step=7)
    (tmp_path / "made").rename(tmp_path / folder)
    directory = tmp_path / folder
    names = {"prefix": "model.ckpt-7", "index": "model.ckpt-7.index", "directory": ""}
    same(foreign.read(directory / names[given]), OF_TF1)


@pytest.mark.parametrize("folder", ["plain", "a folder [1] é"])
@pytest.mark.parametrize("given", ["model.ckpt-7", ""])
def test_checkpoint_of_the_first_format(tmp_path, folder, given):
    save_tf1(tmp_path / "made" / "model.ckpt", saver_pb2.SaverDef.V1, global_step=7)
    (tmp_path / "made").rename(tmp_path / folder)
    assert not list((tmp_path / folder).glob("*.index"))
    same(foreign.read(tmp_path / folder / given), OF_TF1)


def test_of_a_directory_the_newest_checkpoint_is_read(tmp_path):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variable = tf.compat.v1.get_variable("v", initializer=1.0)
        session.run(variable.initializer)
        saver = tf.compat.v1.train.Saver(save_relative_paths=True)
        saver.save(session, str(tmp_path / "model.ckpt"), global_step=1)
        session.run(variable.assign(2.0))
        saver.save(session, str(tmp_path / "model.ckpt"), global_step=2)
    same(foreign.read(tmp_path), {"v": 2.0})


def test_a_relative_path_is_read(tmp_path, monkeypatch):
    save_tf2(tmp_path / "variables", {"a": WEIGHT})
    monkeypatch.chdir(tmp_path)
    same(foreign.read("variables"), {"a": WEIGHT})
    same(foreign.read("variables.index"), {"a": WEIGHT})


# --- what is refused


@pytest.mark.parametrize("name", ["w.safetensors", "w.npz", "w.pth", "model.ckpt", "a/b/c"])
def test_missing(tmp_path, name):
    error = refused(66, "there is no such file or checkpoint", foreign.read, tmp_path / name)
    assert str(tmp_path / name) in str(error)


def test_a_directory_without_a_checkpoint(tmp_path):
    (tmp_path / "w.npz").write_bytes(b"")
    refused(66, "holds no TensorFlow checkpoint", foreign.read, tmp_path)


@pytest.mark.parametrize("state", [b"junk{", b"\xff\xfe\x00", b'model_checkpoint_path: "gone"'])
def test_a_directory_whose_state_file_is_of_no_use(tmp_path, state):
    (tmp_path / "checkpoint").write_bytes(state)
    with pytest.raises(UserError) as caught:
        foreign.read(tmp_path)
    assert caught.value.code in (65, 66)


class Bomb:
    """A pickle of it makes a file when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".pkl", ".pickle", ".tar", "", ".ckpt"])
@pytest.mark.parametrize("form", ["bare", "zipped"])
def test_a_pickle_is_never_opened(tmp_path, suffix, form):
    """# fault S1"""
    bomb = pickle.dumps({"conv1.weight": Bomb(tmp_path / "exploded")}, protocol=2)
    path = tmp_path / f"weights{suffix}"
    if form == "bare":
        path.write_bytes(bomb)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", bomb)
    error = refused(65, "a pickle is never opened", foreign.read, path)
    assert "safetensors" in str(error) and str(path) in str(error)
    assert not (tmp_path / "exploded").exists()
    pickle.loads(bomb)
    assert (tmp_path / "exploded").exists()  # the bomb works


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".pkl", ".pickle", ".tar"])
def test_a_pickle_is_known_by_its_suffix(tmp_path, suffix):
    (tmp_path / f"w{suffix}").write_bytes(b"anything")
    refused(65, "a pickle is never opened", foreign.read, tmp_path / f"w{suffix}")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_pickle_under_the_name_of_another_format_is_not_opened_either(tmp_path, suffix):
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"), protocol=2)
    (tmp_path / f"w{suffix}").write_bytes(bomb)
    refused(65, "cannot be read", foreign.read, tmp_path / f"w{suffix}")
    assert not (tmp_path / "exploded").exists()


def test_an_array_of_objects_is_not_opened(tmp_path):
    array = np.empty(1, object)
    array[0] = Bomb(tmp_path / "exploded")
    np.savez(tmp_path / "w.npz", **{"stem/kernel": WEIGHT, "stem/bias": array})
    refused(65, "cannot be read", foreign.read, tmp_path / "w.npz")
    assert not (tmp_path / "exploded").exists()
    np.load(tmp_path / "w.npz", allow_pickle=True)["stem/bias"]
    assert (tmp_path / "exploded").exists()  # the bomb works


def test_hdf5(tmp_path):
    (tmp_path / "w.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    refused(65, "HDF5 is not read", foreign.read, tmp_path / "w.h5")
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "real.weights", "w") as file:
        file["a"] = WEIGHT
    refused(65, "HDF5 is not read", foreign.read, tmp_path / "real.weights")


@pytest.mark.parametrize("content", [b"", b"short", bytes(4096), b"# weights\n" * 50])
@pytest.mark.parametrize("suffix", ["", ".txt", ".npz", ".safetensors", ".index"])
def test_junk(tmp_path, content, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    error = refused(65, "the weights cannot be read: ", foreign.read, path)
    assert str(path) in str(error) and "\n" not in str(error)


def test_an_npz_that_is_a_plain_array(tmp_path):
    content = io.BytesIO()
    np.save(content, WEIGHT)
    (tmp_path / "w.npz").write_bytes(content.getvalue())
    refused(65, "not an archive of arrays", foreign.read, tmp_path / "w.npz")


def test_safetensors_of_a_type_that_numpy_does_not_have(tmp_path):
    path = save_safetensors(tmp_path / "w.safetensors", {"fc.weight": np.zeros((2, 2), np.uint8)})
    with pytest.raises(UserError) as caught:
        foreign.translate(foreign.read(path), path)
    assert caught.value.code == 65


def make(kind, directory):
    """A file of weights, which of its files to damage, and what it holds."""
    arrays = {"a": np.arange(300, dtype=np.float32).reshape(3, 100), "b": np.ones(3, np.float32)}
    if kind == "safetensors":
        path = save_safetensors(directory / "w.safetensors", arrays)
        return path, path
    if kind in ("npz", "compressed npz"):
        save = np.savez if kind == "npz" else np.savez_compressed
        save(directory / "w.npz", **arrays)
        return directory / "w.npz", directory / "w.npz"
    if kind == "TF1 checkpoint":
        path = save_tf1(directory / "model.ckpt", saver_pb2.SaverDef.V1)
        return path, path
    path = save_tf2(directory / "variables", arrays)
    suffix = ".index" if kind == "index" else ".data-00000-of-00001"
    return path, path.with_name(path.name + suffix)


KINDS = ["safetensors", "npz", "compressed npz", "TF1 checkpoint", "index", "data"]


@pytest.mark.parametrize("kind", KINDS)
def test_cut_short_anywhere(tmp_path, kind):
    path, file = make(kind, tmp_path)
    content = file.read_bytes()
    foreign.read(path)
    for length in np.linspace(0, len(content) - 1, 25).astype(int).tolist():
        file.write_bytes(content[:length])
        error = refused(65, "the weights cannot be read: ", foreign.read, path)
        assert str(path) in str(error)


# fault S1
@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_byte_never_shows_a_traceback(tmp_path, kind):
    """Where the format has a checksum it is refused; everywhere, nothing else happens."""
    path, file = make(kind, tmp_path)
    content, refusals = file.read_bytes(), 0
    places = range(0, len(content), 2 if "npz" in kind else 7)
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 0x55
        file.write_bytes(changed)
        try:
            foreign.read(path)
        except UserError as error:
            assert error.code == 65
            refusals += 1
    assert refusals > len(places) / (10 if kind == "safetensors" else 2)


def test_a_checkpoint_without_its_data(tmp_path):
    path = save_tf2(tmp_path / "variables", {"a": WEIGHT})
    (tmp_path / "variables.data-00000-of-00001").unlink()
    refused(65, "the weights cannot be read: ", foreign.read, path)


def test_what_is_not_weights_of_a_checkpoint_is_refused(tmp_path):
    path = save_tf1(tmp_path / "model.ckpt")
    for suffix in (".meta", ".data-00000-of-00001"):
        refused(65, "cannot be read", foreign.read, path.with_name(path.name + suffix))


def test_the_file_is_left_as_it_was(tmp_path):
    for kind in KINDS:
        directory = tmp_path / kind
        directory.mkdir()
        path, _ = make(kind, directory)
        before = {p: p.read_bytes() for p in directory.iterdir()}
        foreign.read(path)
        assert {p: p.read_bytes() for p in directory.iterdir()} == before


# --- names

STATISTICS = {"running_mean": "moving_mean", "running_var": "moving_variance"}
CONV_OF_TORCH = {"weight": "kernel"}
NORM_OF_TORCH = {"weight": "scale", "bias": "offset", **STATISTICS}
DENSE_OF_TORCH = {"weight": "kernel", "bias": "bias"}

# Of a file: the name there, what it is, and our name.
CONVS = {
    "torchvision": {
        "conv1": "stem",
        "layer1.0.conv1": "stage1/0/conv1",
        "layer1.0.conv2": "stage1/0/conv2",
        "layer3.22.conv3": "stage3/22/conv3",
        "layer2.0.downsample.0": "stage2/0/shortcut/conv",
        "layer4.0.downsample.0": "stage4/0/shortcut/conv",
    },
    "timm, deep stem, D": {
        "conv1.0": "stem/conv1",
        "conv1.3": "stem/conv2",
        "conv1.6": "stem/conv3",
        "layer2.0.downsample.1": "stage2/0/shortcut/conv",
        "layer4.2.conv3": "stage4/2/conv3",
    },
    "CIFAR of PyTorch": {
        "conv1": "stem",
        "layer1.2.conv2": "stage1/2/conv2",
        "layer2.0.shortcut.0": "stage2/0/shortcut/conv",
    },
    "transformers": {
        "resnet.embedder.embedder.convolution": "stem",
        "resnet.encoder.stages.0.layers.0.shortcut.convolution": "stage1/0/shortcut/conv",
        "resnet.encoder.stages.0.layers.0.layer.0.convolution": "stage1/0/conv1",
        "resnet.encoder.stages.2.layers.5.layer.1.convolution": "stage3/5/conv2",
        "resnet.encoder.stages.3.layers.2.layer.2.convolution": "stage4/2/conv3",
    },
    "transformers, bare": {
        "embedder.embedder.convolution": "stem",
        "encoder.stages.1.layers.0.layer.0.convolution": "stage2/0/conv1",
        "encoder.stages.1.layers.0.shortcut.convolution": "stage2/0/shortcut/conv",
    },
}
NORMS = {
    "torchvision": {
        "bn1": "stem_norm",
        "layer1.0.bn1": "stage1/0/norm1",
        "layer1.0.bn2": "stage1/0/norm2",
        "layer3.22.bn3": "stage3/22/norm3",
        "layer2.0.downsample.1": "stage2/0/shortcut/norm",
    },
    "timm, deep stem, D": {
        "conv1.1": "stem/norm1",
        "conv1.4": "stem/norm2",
        "bn1": "stem_norm",
        "layer2.0.downsample.2": "stage2/0/shortcut/norm",
    },
    "CIFAR of PyTorch": {
        "bn1": "stem_norm",
        "layer1.2.bn2": "stage1/2/norm2",
        "layer2.0.shortcut.1": "stage2/0/shortcut/norm",
    },
    "transformers": {
        "resnet.embedder.embedder.normalization": "stem_norm",
        "resnet.encoder.stages.0.layers.0.shortcut.normalization": "stage1/0/shortcut/norm",
        "resnet.encoder.stages.0.layers.0.layer.0.normalization": "stage1/0/norm1",
        "resnet.encoder.stages.3.layers.2.layer.2.normalization": "stage4/2/norm3",
    },
    "transformers, bare": {
        "embedder.embedder.normalization": "stem_norm",
        "encoder.stages.1.layers.0.layer.1.normalization": "stage2/0/norm2",
    },
}
HEADS = {
    "torchvision": "fc",
    "timm, deep stem, D": "last_linear",
    "CIFAR of PyTorch": "linear",
    "transformers": "classifier.1",
    "transformers, bare": "classifier",
}


def torch_file(kind):
    """A file's tensors, each with numbers of its own, and what they must become."""
    random, file, expected = np.random.default_rng(0), {}, {}

    def put(name, ours, shape, turned):
        file[name] = random.normal(size=shape).astype(np.float32)
        expected[ours] = turned(file[name])

    def conv(a):
        return np.moveaxis(a, (0, 1), (3, 2))

    for theirs, ours in CONVS[kind].items():
        put(f"{theirs}.weight", f"{ours}/kernel", (4, 3, 2, 5), conv)
    for theirs, ours in NORMS[kind].items():
        for leaf, name in NORM_OF_TORCH.items():
            put(f"{theirs}.{leaf}", f"{ours}/{name}", (4,), np.copy)
    put(f"{HEADS[kind]}.weight", "head/kernel", (7, 4), np.transpose)
    put(f"{HEADS[kind]}.bias", "head/bias", (7,), np.copy)
    return file, expected


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("kind", CONVS)
def test_names_and_layouts_of_pytorch(kind, prefix):
    file, expected = torch_file(kind)
    file = {prefix + name: array for name, array in file.items()}
    found = foreign.translate(file, "w")
    same(found.tensors, expected)
    assert (found.unknown, found.left_out) == ({}, [])
    assert set(found.origin) == set(expected) and set(found.origin.values()) == set(file)
    for ours, theirs in found.origin.items():  # kernels are turned, so sizes tell them apart
        assert sorted(found.tensors[ours].shape) == sorted(file[theirs].shape)


@pytest.mark.parametrize("module", ["se", "se_module"])
def test_names_of_squeeze_and_excitation(module):
    tensors = {
        f"layer2.0.{module}.fc1.weight": np.ones((2, 8, 1, 1), np.float32),
        f"layer2.0.{module}.fc1.bias": np.ones(2, np.float32),
        f"layer2.0.{module}.fc2.weight": np.ones((8, 2, 1, 1), np.float32),
        f"layer2.0.{module}.fc2.bias": np.ones(8, np.float32),
    }
    found = foreign.translate(tensors, "w").tensors
    assert {name: array.shape for name, array in found.items()} == {
        "stage2/0/excitation/squeeze/kernel": (1, 1, 8, 2),
        "stage2/0/excitation/squeeze/bias": (2,),
        "stage2/0/excitation/excite/kernel": (1, 1, 2, 8),
        "stage2/0/excitation/excite/bias": (8,),
    }


def test_a_convolution_with_a_bias_is_no_norm():
    found = foreign.translate({"conv1.bias": np.ones(2), "conv1.weight": np.ones((2, 3, 1, 1))}, "")
    assert set(found.tensors) == {"stem/kernel", "stem/bias"}


def test_element_by_element_of_kernels():
    conv = np.arange(2 * 3 * 5 * 7, dtype=np.float32).reshape(2, 3, 5, 7)
    grouped = np.arange(6 * 1 * 3 * 3, dtype=np.float32).reshape(6, 1, 3, 3)
    dense = np.arange(12, dtype=np.float32).reshape(3, 4)
    file = {"conv1.weight": conv, "layer1.0.conv2.weight": grouped, "fc.weight": dense}
    found = foreign.translate(file, "w").tensors
    assert found["stem/kernel"].shape == (5, 7, 3, 2)
    assert found["stem/kernel"][4, 6, 1, 0] == conv[0, 1, 4, 6] == 69
    assert found["stage1/0/conv2/kernel"].shape == (3, 3, 1, 6)  # groups stay as they are
    assert found["stage1/0/conv2/kernel"][2, 1, 0, 5] == grouped[5, 0, 2, 1]
    assert found["head/kernel"].shape == (4, 3)
    assert found["head/kernel"][3, 1] == dense[1, 3] == 7


SCOPES = {
    "Conv2d_1a_3x3": "conv1a",
    "Conv2d_2a_3x3": "conv2a",
    "Conv2d_2b_3x3": "conv2b",
    "Concat_3a/Branch_1/Conv2d_0a_3x3": "concat3a/branch1/conv0a",
    "Concat_4a/Branch_0/Conv2d_0a_1x1": "concat4a/branch0/conv0a",
    "Concat_4a/Branch_0/Conv2d_1a_3x3": "concat4a/branch0/conv1a",
    "Concat_4a/Branch_1/Conv2d_0a_1x1": "concat4a/branch1/conv0a",
    "Concat_4a/Branch_1/Conv2d_0b_1x7": "concat4a/branch1/conv0b",
    "Concat_4a/Branch_1/Conv2d_0c_7x1": "concat4a/branch1/conv0c",
    "Concat_4a/Branch_1/Conv2d_1a_3x3": "concat4a/branch1/conv1a",
    "Concat_5a/Branch_0/Conv2d_1a_3x3": "concat5a/branch0/conv1a",
    "Concat_5b/Branch_0/Conv2d_0a_1x1": "concat5b/branch0/conv0a",
    "Concat_5b/Branch_1/Conv2d_0a_1x1": "concat5b/branch1/conv0a",
    "Concat_5b/Branch_1/Conv2d_0b_3x3": "concat5b/branch1/conv0b",
    "Concat_5b/Branch_2/Conv2d_0a_1x1": "concat5b/branch2/conv0a",
    "Concat_5b/Branch_2/Conv2d_0b_3x3": "concat5b/branch2/conv0b",
    "Concat_5b/Branch_2/Conv2d_0c_3x3": "concat5b/branch2/conv0c",
    "Concat_5b/Branch_3/Conv2d_0b_1x1": "concat5b/branch3/conv0b",
    "Concat_5c/Branch_0/Conv2d_0a_1x1": "concat5c/branch0/conv0a",
    "Concat_5c/Branch_1/Conv2d_0a_1x1": "concat5c/branch1/conv0a",
    "Concat_5c/Branch_1/Conv2d_0b_3x3": "concat5c/branch1/conv0b",
    "Concat_5c/Branch_2/Conv2d_0a_1x1": "concat5c/branch2/conv0a",
    "Concat_5c/Branch_2/Conv2d_0b_3x3": "concat5c/branch2/conv0b",
    "Concat_5c/Branch_2/Conv2d_0c_3x3": "concat5c/branch2/conv0c",
    "Concat_5c/Branch_3/Conv2d_0b_1x1": "concat5c/branch3/conv0b",
    "Concat_6a/Branch_0/Conv2d_1a_3x3": "concat6a/branch0/conv1a",
    "Concat_6a/Branch_1/Conv2d_0a_1x1": "concat6a/branch1/conv0a",
    "Concat_6a/Branch_1/Conv2d_0b_3x3": "concat6a/branch1/conv0b",
    "Concat_6a/Branch_1/Conv2d_1a_3x3": "concat6a/branch1/conv1a",
    "Conv2d_3a_3x3": "conv3a",
    "Conv2d_4a_3x3": "conv4a",
}


@pytest.mark.parametrize("theirs, ours", SCOPES.items())
def test_names_of_ex6_net(theirs, ours):
    kernel = np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2)
    file = {
        f"EX6_NET/{theirs}/weights": kernel,
        f"EX6_NET/{theirs}/BatchNorm/beta": np.float32([1, 2]),
        f"EX6_NET/{theirs}/BatchNorm/gamma": np.float32([3, 4]),
        f"EX6_NET/{theirs}/BatchNorm/moving_mean": np.float32([5, 6]),
        f"EX6_NET/{theirs}/BatchNorm/moving_variance": np.float32([7, 8]),
    }
    found = foreign.translate(file, "w")
    expected = {
        f"{ours}/conv/kernel": kernel,  # as it is: TF1's layout is ours
        f"{ours}/norm/offset": [1, 2],
        f"{ours}/norm/scale": [3, 4],
        f"{ours}/norm/moving_mean": [5, 6],
        f"{ours}/norm/moving_variance": [7, 8],
    }
    same(found.tensors, expected)
    assert found.unknown == {}


def test_names_of_the_head_of_ex6_net():
    file = {
        "EX6_NET/Logits/Logits/weights": np.arange(6, dtype=np.float32).reshape(3, 2),
        "EX6_NET/Logits/Logits/biases": np.float32([1, 2]),
        "EX6_NET/Conv2d_1a_3x3/biases": np.float32([3]),
    }
    expected = {
        "head/kernel": [[0, 1], [2, 3], [4, 5]],
        "head/bias": [1, 2],
        "conv1a/conv/bias": [3],
    }
    same(foreign.translate(file, "w").tensors, expected)


@pytest.mark.parametrize("prefix", ["", "model/", "module.", "module.model/"])
def test_our_own_names(prefix):
    names = [
        "stem/kernel", "stem_norm/scale", "stem_norm/offset", "stem_norm/moving_mean",
        "stem_norm/moving_variance", "stage2/10/shortcut/conv/kernel", "head/kernel", "head/bias",
        "stage1/0/excitation/squeeze/bias", "concat4a/branch1/conv0b/conv/kernel",
    ]  # fmt: skip
    file = {prefix + name: np.full((2, 3), i, np.float32) for i, name in enumerate(names)}
    found = foreign.translate(file, "w")
    assert found.unknown == {}
    if prefix.startswith("module."):
        assert set(found.tensors) == set(names)
    else:
        same(found.tensors, {name: np.full((2, 3), i) for i, name in enumerate(names)})


LEFT_OUT = [
    # PyTorch
    "bn1.num_batches_tracked", "layer1.0.bn1.num_batches_tracked",
    "module.layer1.0.downsample.1.num_batches_tracked", "num_batches_tracked",
    # TF1
    "global_step", "train/global_step", "beta1_power", "beta2_power", "beta1_power_1",
    "train/beta2_power", "EX6_NET/Conv2d_1a_3x3/weights/Adam",
    "EX6_NET/Conv2d_1a_3x3/weights/Adam_1", "EX6_NET/Conv2d_1a_3x3/weights/RMSProp",
    "EX6_NET/Conv2d_1a_3x3/weights/RMSProp_1", "EX6_NET/Logits/Logits/biases/Momentum",
    "EX6_NET/Conv2d_1a_3x3/BatchNorm/moving_mean/ExponentialMovingAverage",
    # ours
    "step", "optimizer/momentum/stem/kernel", "optimizer/adam_first/head/bias",
    "optimizer/adam_updates",
]  # fmt: skip


def test_what_only_training_needs_is_left_out_and_told():
    # Integers and NaN do no harm in them.
    file = {name: np.int64(3) for name in LEFT_OUT[:-1]} | {LEFT_OUT[-1]: np.float32("nan")}
    file["head/bias"] = np.ones(2, np.float32)
    found = foreign.translate(file, "w")
    assert found.left_out == sorted(LEFT_OUT)
    assert (set(found.tensors), found.unknown) == ({"head/bias"}, {})


UNKNOWN = [
    "conv2.weight", "conv1.2.weight", "layer1.conv1.weight", "layer1.0.conv1", "fc.weight_g",
    "layer1.0.se.fc3.weight", "EX6_NET/Conv2d_1a_3x3", "EX6_NET/Conv2d_1a_3x3/gamma",
    "NOT_NET/Conv2d_1a_3x3/weights", "Logits/weights", "_CHECKPOINTABLE_OBJECT_GRAPH",
    "kernel", "weights", "", "optimizer", "steps", "my_step",
]  # fmt: skip


def test_unknown_names_are_kept_with_their_shapes():
    file = {name: np.zeros((1, i + 1), np.int32) for i, name in enumerate(UNKNOWN)}
    found = foreign.translate(file, "w")
    assert found.unknown == {name: (1, i + 1) for i, name in enumerate(UNKNOWN)}
    assert (found.tensors, found.left_out) == ({}, [])


@pytest.mark.parametrize("names", [
    ("fc.weight", "classifier.weight"),
    ("module.fc.weight", "fc.weight"),
    ("model/head/kernel", "head/kernel"),
    ("EX6_NET/Logits/Logits/weights", "fc.weight"),
])  # fmt: skip
def test_two_tensors_for_one_variable(names):
    file = {name: np.ones((2, 2), np.float32) for name in names}
    one, two = sorted(names)
    message = f"{two} and {one} are both head/kernel | some file | "
    refused(65, message, foreign.translate, file, "some file")


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8, bool, np.complex64])
def test_values_that_are_no_floating_point(dtype):
    file = {"fc.weight": np.ones((2, 2), dtype)}
    message = f"fc.weight is of type {np.dtype(dtype).name}, no floating point | f | "
    refused(65, message, foreign.translate, file, "f")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_values_that_are_not_finite(value, dtype):
    array = np.ones((2, 2))
    array[1, 0] = value
    file = {"fc.weight": array.astype(tf.as_dtype(dtype).as_numpy_dtype)}
    message = "fc.weight holds values that are not finite in float32 | f | "
    refused(65, message, foreign.translate, file, "f")


def test_float64_beyond_float32_is_refused_without_a_warning():
    file = {"fc.weight": np.full((2, 2), -1e39)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(65, "not finite in float32", foreign.translate, file, "f")
    assert foreign.translate({"fc.bias": np.array([3e38])}, "f").tensors["head/bias"] == [
        np.float32(3e38)
    ]


def test_the_tensors_are_contiguous_and_of_their_own():
    file, _ = torch_file("torchvision")
    for array in foreign.translate(file, "w").tensors.values():
        assert array.flags.c_contiguous and array.dtype == np.float32


# --- what the network wants


def translation(tensors, unknown=()):
    file = {name: np.zeros(shape, np.float32) for name, shape in tensors.items()}
    return foreign.translate({**file, **dict(unknown)}, "w")


def table_of(code_78):
    assert code_78.code == 78
    return [line.split("  ") for line in code_78.details.splitlines()]


def cells(error):
    return [[cell.strip() for cell in line if cell.strip()] for line in table_of(error)]


def test_everything_that_fits_is_returned():
    found = translation({"fc.weight": (2, 3), "fc.bias": (2,)})
    same(
        foreign.match(found, {"head/kernel": (3, 2), "head/bias": (2,)}, "w"),
        {"head/kernel": np.zeros((3, 2)), "head/bias": np.zeros(2)},
    )


def test_the_table_of_what_does_not_fit():
    found = translation(
        {
            "fc.weight": (2, 3),
            "fc.bias": (2,),
            "conv1.weight": (4, 3, 7, 7),
            "layer1.0.bn1.bias": (2,),
        },
        {"mystery": np.zeros((5, 6), np.int8)},
    )
    wanted = {
        "head/kernel": (3, 2),
        "head/bias": (10,),
        "stem/kernel": (7, 7, 3, 4),
        "stage1/0/conv1/kernel": (3, 3, 16, 16),
    }
    counts = "2 tensors too many, 1 variables without one, 1 of another shape | w | "
    error = refused(78, counts, foreign.match, found, wanted, "w")
    assert "give the --model and --model_options that the weights are of" in str(error)
    assert cells(error) == [
        ["variable", "in the file", "its shape, turned", "in the network"],
        ["head/bias", "fc.bias", "[2]", "[10]"],
        ["-", "mystery", "[5, 6]", "-"],
        # without a running mean beside it, it is the bias of something else
        ["stage1/0/norm1/bias", "layer1.0.bn1.bias", "[2]", "-"],
        ["stage1/0/conv1/kernel", "-", "-", "[3, 3, 16, 16]"],
    ]


def test_nothing_of_the_network_is_in_the_file():
    error = refused(78, "0 tensors too many, 1 variables without one, 0 of", foreign.match,
                    translation({}), {"head/bias": (2,)}, "w")  # fmt: skip
    assert cells(error)[1:] == [["head/bias", "-", "-", "[2]"]]


def test_only_unknown_tensors_are_left_over():
    found = translation({"fc.bias": (2,)}, {"b": np.zeros(()), "a": np.zeros(3)})
    error = refused(78, "2 tensors too many, 0 variables without one, 0 of", foreign.match,
                    found, {"head/bias": (2,)}, "w")  # fmt: skip
    assert cells(error)[1:] == [["-", "a", "[3]", "-"], ["-", "b", "[]", "-"]]


def test_a_long_table_shows_some_of_each_kind_and_counts_the_rest():
    wanted = {f"stage1/{i}/conv1/kernel": (1,) for i in range(200)}
    found = translation({}, {f"mystery{i}": np.zeros(3) for i in range(100)})
    error = refused(78, "100 tensors too many, 200 variables", foreign.match, found, wanted, "w")
    lines = error.details.splitlines()
    assert sum("mystery" in line for line in lines) == 25
    assert sum("stage1/" in line for line in lines) == 25
    assert [line.strip() for line in lines if "…" in line] == ["… and 75 more", "… and 175 more"]


def test_the_columns_line_up():
    wanted = {"head/bias": (2,), "stage1/0/shortcut/norm/moving_variance": (3, 4)}
    error = refused(78, "", foreign.match, translation({}), wanted, "w")
    head, *lines = error.details.splitlines()
    assert {line.index("[") for line in lines} == {head.index("in the network")}


def test_a_whole_network_of_pytorch_by_way_of_a_file(tmp_path):
    """Reading, names and the network's own list agree: nothing is missing either way."""
    from resnet_tf import models
    from resnet_tf.layers import named_variables

    shapes = {
        name: tuple(variable.shape)
        for name, variable in named_variables(models.create("resnet18", num_classes=5)).items()
    }
    stages = [(1, 64, 64), (2, 64, 128), (3, 128, 256), (4, 256, 512)]
    layers = {"conv1": (64, 3, 7, 7), "bn1": 64, "fc": (5, 512)}
    for stage, before, after in stages:
        for block in (0, 1):
            of = f"layer{stage}.{block}"
            layers[f"{of}.conv1"] = (after, after if block else before, 3, 3)
            layers[f"{of}.conv2"] = (after, after, 3, 3)
            layers[f"{of}.bn1"] = layers[f"{of}.bn2"] = after
        if stage > 1:
            layers[f"layer{stage}.0.downsample.0"] = (after, before, 1, 1)
            layers[f"layer{stage}.0.downsample.1"] = after
    file = {"fc.bias": np.zeros(5, np.float32)}
    for name, shape in layers.items():
        if isinstance(shape, int):
            leaves = ("weight", "bias", "running_mean", "running_var")
            file |= {f"{name}.{leaf}": np.zeros(shape, np.float32) for leaf in leaves}
            continue
        file[f"{name}.weight"] = np.zeros(shape, np.float32)
    path = save_safetensors(tmp_path / "resnet18.safetensors", file)
    assert len(file) == 102  # torchvision's 122 without 20 batch counters
    found = foreign.translate(foreign.read(path), path)
    assert foreign.match(found, shapes, path).keys() == shapes.keys()
    shutil.rmtree(tmp_path)
    assert not pathlib.Path(path).exists()  # the tensors do not depend on the file
    assert np.isfinite(found.tensors["head/kernel"]).all()


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod."])
def test_what_wrappers_put_in_front_is_dropped(prefix):
    found = translation({f"{prefix}fc.bias": (2,)})
    assert found.tensors.keys() == {"head/bias"}
    assert found.origin == {"head/bias": f"{prefix}fc.bias"}
