"""Weights of elsewhere made into a model directory: what is written, loaded, evaluated, refused."""

import hashlib
import json
import pathlib
import resource
import shutil

import numpy as np
import pytest

from resnet_tf import checkpoint, input, models
from resnet_tf.distribution import DeviceRequest
from resnet_tf.errors import UserError
from resnet_tf.evaluation import evaluate_checkpoint, import_weights, load
from resnet_tf.evaluation.imported import read_classes
from resnet_tf.layers import named_variables
from resnet_tf.preprocessing import Preprocessing

import tensorflow as tf  # isort: skip

DIGITS = pathlib.Path(__file__).resolve().parents[2] / "data" / "digits"
CPU = DeviceRequest.parse("cpu")
CIFAR = {"depth": 8, "width_multiplier": 0.25}


def build(name, **options):
    """A network none of whose variables has the value that it starts with."""
    model = models.create(name, **options)
    random = np.random.default_rng(1)
    for key, variable in named_variables(model).items():
        if key.endswith(("scale", "moving_variance")):
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
        elif not key.endswith("kernel"):
            variable.assign(random.normal(0, 0.2, variable.shape))
    return model


def values(model):
    return {name: variable.numpy() for name, variable in named_variables(model).items()}


def as_torch(name, array):
    """Our name and layout in torchvision's."""
    *path, leaf = name.split("/")
    if path[0].startswith("stage"):
        layer = f"layer{path[0][5:]}.{path[1]}."
        if path[2] == "shortcut":
            layer += "downsample.0" if path[3] == "conv" else "downsample.1"
        else:
            layer += path[2].replace("norm", "bn")
    else:
        layer = {"stem": "conv1", "stem_norm": "bn1", "head": "fc"}[path[0]]
    leaf = {
        "kernel": "weight", "scale": "weight", "offset": "bias", "bias": "bias",
        "moving_mean": "running_mean", "moving_variance": "running_var",
    }[leaf]  # fmt: skip
    if array.ndim == 4:
        array = np.einsum("hwio->oihw", array)
    return f"{layer}.{leaf}", array.T if array.ndim == 2 else array


def save_torch(model, path):
    file = dict(as_torch(name, array) for name, array in values(model).items())
    counters = {name.replace("running_mean", "num_batches_tracked"): np.int64(9)
                for name in file if "running_mean" in name}  # fmt: skip
    np.savez(path, **file, **counters)
    return path


def save_tf1(model, path):
    """As TF1 saves EX6_NET: its scopes, with a slot for each variable and a step."""
    tensors = {"global_step": np.int64(1234), "beta1_power": np.float32(0.5)}
    for name, array in values(model).items():
        if name.startswith("head/"):
            leaf = {"kernel": "weights", "bias": "biases"}[name[5:]]
            tensors[f"EX6_NET/Logits/Logits/{leaf}"] = array
            continue
        *scopes, conv, _, leaf = name.split("/")
        theirs = "".join(
            s.replace("concat", "Concat_").replace("branch", "Branch_") + "/" for s in scopes
        )
        # The sizes in the names, from the kernel's own.
        height, width = named_variables(model)["/".join([*scopes, conv, "conv", "kernel"])].shape[
            :2
        ]
        theirs += f"Conv2d_{conv[4:]}_{height}x{width}"
        leaf = {"kernel": "weights", "offset": "BatchNorm/beta"}.get(leaf, f"BatchNorm/{leaf}")
        tensors[f"EX6_NET/{theirs}/{leaf}"] = array
        if not leaf.startswith("BatchNorm/moving"):
            tensors[f"EX6_NET/{theirs}/{leaf}/Adam"] = array * 0 + 3
            tensors[f"EX6_NET/{theirs}/{leaf}/Adam_1"] = array * 0 + 4
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, array in tensors.items():
            tf.compat.v1.get_variable(name, initializer=array)
        session.run(tf.compat.v1.global_variables_initializer())
        return tf.compat.v1.train.Saver().save(session, str(path), global_step=1234)


def logits(model, size, channels=3):
    images = np.random.default_rng(2).normal(size=(2, size, size, channels)).astype(np.float32)
    found = model(tf.constant(images), training=False).numpy()
    assert np.abs(found[0] - found[1]).max() > 1e-3  # it looks at its input
    return found


def refused(code, message, call, *arguments, **options):
    with pytest.raises(UserError) as caught:
        call(*arguments, **options)
    assert caught.value.code == code
    assert str(caught.value).startswith(f"ERROR {code}: ") and message in str(caught.value)
    return caught.value


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    """A small network for ten classes, and a file of its weights."""
    model = build("cifar_resnet", **CIFAR)
    return model, save_torch(model, tmp_path_factory.mktemp("weights") / "cifar.npz")


# --- from a file to the same logits


def test_cifar_resnet(cifar, tmp_path):
    model, path = cifar
    commit, translation = import_weights("cifar_resnet", path, tmp_path / "run", options=CIFAR)
    assert commit.path == tmp_path / "run" / "checkpoints" / "step_000000000" and commit.step == 0
    assert checkpoint.find(tmp_path / "run").path == commit.path
    assert len(translation.left_out) == 7  # a counter for each batch norm
    assert {p.name for p in (tmp_path / "run").rglob("*")} == {
        "checkpoints", "step_000000000", "manifest.json", "variables.index",
        "variables.data-00000-of-00001",
    }  # fmt: skip
    saved = load(commit)
    np.testing.assert_array_equal(logits(saved.model, 32), logits(model, 32))
    assert saved.classes is None
    # CIFAR-10's
    assert saved.pictures == Preprocessing(
        32, 32, 3, (125.307, 122.95, 113.865), (62.9932, 62.0887, 66.7048)
    )
    pixels = np.full((1, 2, 2, 3), 100, np.uint8)
    np.testing.assert_allclose(
        saved.preprocess(tf.constant(pixels)).numpy()[0, 0, 0],
        [(100 - 125.307) / 62.9932, (100 - 122.95) / 62.0887, (100 - 113.865) / 66.7048],
        rtol=1e-5,
    )


def test_resnet18(tmp_path):
    options = {"width_multiplier": 0.125}
    model = build("resnet18", num_classes=7, **options)
    path = save_torch(model, tmp_path / "w.npz")
    commit, _ = import_weights("resnet18", path, tmp_path / "run", options=options)
    saved = load(commit)
    np.testing.assert_array_equal(logits(saved.model, 64), logits(model, 64))
    assert commit.manifest["architecture"] == {
        "model": "resnet18", "options": options, "num_classes": 7,
    }  # fmt: skip
    # 255 times 0.485, 0.456, 0.406 and 0.229, 0.224, 0.225; 224 of the 256 of the shorter side
    assert commit.manifest["preprocessing"] == {
        "height": 224, "width": 224, "channels": 3, "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375], "shorter_side": 256, "central_fraction": None,
        "antialias": True,
    }  # fmt: skip


def test_ex6_net(tmp_path):
    options = {"width_multiplier": 0.125}
    model = build("ex6_net", num_classes=20, **options)
    prefix = save_tf1(model, tmp_path / "tf1" / "model.ckpt")
    commit, translation = import_weights("ex6_net", prefix, tmp_path / "run", options=options)
    assert commit.manifest["architecture"]["num_classes"] == 20
    # 31 kernels and shifts with two slots each, the step and the power
    assert len(translation.left_out) == 31 * 2 * 2 + 2
    saved = load(commit)
    np.testing.assert_array_equal(logits(saved.model, 139), logits(model, 139))
    # to [-1, 1], of the central 87.5 %
    assert saved.pictures == Preprocessing(
        299, 299, 3, (127.5,) * 3, (127.5,) * 3, central_fraction=0.875
    )
    assert saved.preprocess(tf.constant([[[[0, 255, 255]]]], tf.uint8)).numpy().tolist() == [
        [[[-1, 1, 1]]]
    ]


def test_our_own_commit_can_be_imported(cifar, tmp_path):
    first, _ = import_weights("cifar_resnet", cifar[1], tmp_path / "one", options=CIFAR)
    second, _ = import_weights("cifar_resnet", first.variables, tmp_path / "two", options=CIFAR)
    assert second.manifest["digest"] == first.manifest["digest"]


def test_a_grey_network(tmp_path):
    options = CIFAR | {"channels": 1}
    model = build("cifar_resnet", **options)
    path = save_torch(model, tmp_path / "w.npz")
    commit, _ = import_weights(
        "cifar_resnet", path, tmp_path / "run", options=options, mean=(77.0,), std=(95.0,)
    )
    saved = load(commit)
    assert (saved.pictures.channels, saved.pictures.mean, saved.pictures.std) == (1, (77,), (95,))
    np.testing.assert_array_equal(logits(saved.model, 8, 1), logits(model, 8, 1))


def test_by_relative_paths(cifar, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(cifar[1], "w.npz")
    commit, _ = import_weights("cifar_resnet", "w.npz", "runs/mine", options=CIFAR)
    assert str(commit.path) == "runs/mine/checkpoints/step_000000000"
    saved = load(checkpoint.find("runs/mine"))
    np.testing.assert_array_equal(logits(saved.model, 16), logits(cifar[0], 16))


def test_the_number_of_classes_may_be_told_too(cifar, tmp_path):
    options = CIFAR | {"num_classes": 10}
    commit, _ = import_weights("cifar_resnet", cifar[1], tmp_path / "run", options=options)
    np.testing.assert_array_equal(logits(load(commit).model, 16), logits(cifar[0], 16))


def test_the_manifest_says_where_the_weights_come_from(cifar, tmp_path):
    commit, _ = import_weights("cifar_resnet", cifar[1], tmp_path / "run", options=CIFAR)
    digest = hashlib.sha256(cifar[1].read_bytes()).hexdigest()
    assert commit.manifest["source"] == {"file": "cifar.npz", "sha256": digest}
    assert commit.manifest["config"] is None and commit.manifest["data"] is None


def test_from_the_directory_one_is_in(tmp_path, monkeypatch):
    options = {"width_multiplier": 0.125}
    model = build("ex6_net", num_classes=20, **options)
    save_tf1(model, tmp_path / "tf1" / "model.ckpt")
    monkeypatch.chdir(tmp_path / "tf1")
    commit, _ = import_weights("ex6_net", ".", tmp_path / "run", options=options)
    assert commit.path.is_dir()


def test_an_output_that_is_an_empty_directory(cifar, tmp_path):
    (tmp_path / "run").mkdir()
    import_weights("cifar_resnet", cifar[1], tmp_path / "run", options=CIFAR)
    assert checkpoint.find(tmp_path / "run").step == 0


def test_what_is_told_of_the_pictures(cifar, tmp_path):
    commit, _ = import_weights(
        "cifar_resnet", cifar[1], tmp_path / "run", options=CIFAR,
        mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 255.0), input_size=24,
    )  # fmt: skip
    assert load(commit).pictures == Preprocessing(24, 24, 3, (1, 2, 3), (4, 5, 255))


def test_the_shorter_side_keeps_its_ratio(tmp_path):
    options = {"width_multiplier": 0.125}
    path = save_torch(build("resnet18", num_classes=3, **options), tmp_path / "w.npz")
    commit, _ = import_weights("resnet18", path, tmp_path / "run", options=options, input_size=112)
    pictures = load(commit).pictures
    assert (pictures.height, pictures.width, pictures.shorter_side) == (112, 112, 128)


def test_another_shorter_side_and_a_deviation_of_one(tmp_path):
    options = {"width_multiplier": 0.125}
    path = save_torch(build("resnet18", num_classes=3, **options), tmp_path / "w.npz")
    told = {"shorter_side": 232, "mean": (103.9, 116.8, 123.7), "std": (1.0, 1.0, 1.0)}
    commit, _ = import_weights("resnet18", path, tmp_path / "run", options=options, **told)
    pictures = load(commit).pictures
    assert (pictures.height, pictures.shorter_side, pictures.std) == (224, 232, (1, 1, 1))


# --- what is refused leaves nothing


REFUSED = [
    ({"model": "cifar_resne"}, 64, "there are cifar_resnet, "),
    ({"options": {}}, 64, "cifar_resnet needs the option 'depth'"),
    ({"options": {"depth": 9}}, 64, "depth must be 6n + 2"),
    ({"options": CIFAR | {"dept": 3}}, 64, "cifar_resnet has no option 'dept'"),
    (
        {"options": {"depth": 14, "width_multiplier": 0.25}},
        78,
        "variables without one, 0 of another shape",
    ),
    ({"options": {"depth": 8}}, 78, "0 variables without one, 36 of another shape"),
    ({"options": CIFAR | {"num_classes": 5}}, 78, "0 variables without one, 2 of another shape"),
    ({"weights": "missing.npz"}, 66, "there is no such file or checkpoint"),
    ({"weights": "pickle.pth"}, 65, "a pickle is never opened"),
    ({"weights": "headless.npz"}, 78, "0 tensors too many, 2 variables without one"),
    ({"weights": "nan.npz"}, 65, "not finite"),
    ({"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}, 64, "must be in pixel units"),
    ({"std": (0.229, 0.224, 0.225)}, 64, "std must be in pixel units, 255 times"),
    ({"mean": (100.0,)}, 64, "mean must have 3 values, got 1"),
    ({"std": (1.0, 2.0)}, 64, "std must have 3 values, got 2"),
    ({"mean": (1.0, 2.0, 256.0)}, 64, "mean must be in pixel units, 0 to 255"),
    ({"mean": (-1.0, 2.0, 3.0)}, 64, "mean must be in pixel units, 0 to 255"),
    ({"mean": (float("nan"), 2.0, 3.0)}, 64, "mean must be in pixel units, 0 to 255"),
    ({"std": (0.0, 2.0, 3.0)}, 64, "std must be in pixel units, above 0 to 255"),
    ({"std": (2.0, 2.0, 256.0)}, 64, "std must be in pixel units, above 0 to 255"),
    ({"std": (float("nan"),) * 3}, 64, "std must be in pixel units"),
    ({"input_size": -1}, 64, "input_size must be in 1..4096, got -1"),
    ({"input_size": 10**12}, 64, "input_size must be in 1..4096, got 1000000000000"),
    ({"shorter_side": 31}, 64, "shorter_side must be 32 or more, got 31"),
    ({"options": CIFAR | {"norm_epsilon": "abc"}}, 64, "norm_epsilon must be a number, got 'abc'"),
    ({"options": CIFAR | {"zero_last_scale": "no"}}, 64, "zero_last_scale must be True or False"),
    ({"classes": "missing.txt"}, 66, "cannot read the class names"),
    ({"classes": "nine.txt"}, 78, "9 class names for a network of 10 classes"),
    ({"classes": "broken.json"}, 65, "the class names cannot be read"),
]


@pytest.mark.parametrize("told, code, message", REFUSED, ids=lambda value: str(value)[:50])
@pytest.mark.parametrize("output", ["new", "empty directory"])
def test_a_refused_import_leaves_nothing(cifar, tmp_path, told, code, message, output):
    weights = np.load(cifar[1])
    (tmp_path / "pickle.pth").write_bytes(b"\x80\x02.")
    (tmp_path / "nine.txt").write_text("\n".join("abcdefghi"))
    (tmp_path / "broken.json").write_text("[")
    headless = {name: weights[name] for name in weights.files if not name.startswith("fc.")}
    np.savez(tmp_path / "headless.npz", **headless)
    bad = {name: weights[name].copy() for name in weights.files}
    bad["conv1.weight"][0, 0, 0, 0] = np.nan
    np.savez(tmp_path / "nan.npz", **bad)
    if output != "new":
        (tmp_path / "run").mkdir()
    before = sorted(tmp_path.rglob("*"))
    arguments = {"model": "cifar_resnet", "weights": cifar[1], "options": CIFAR} | told
    for name in {"weights", "classes"} & told.keys():
        arguments[name] = tmp_path / told[name]
    refused(code, message, import_weights, output=tmp_path / "run", **arguments)
    assert sorted(tmp_path.rglob("*")) == before


def test_too_small_for_the_network(tmp_path):
    options = {"width_multiplier": 0.125}
    model = build("ex6_net", num_classes=20, **options)
    np.savez(tmp_path / "w.npz", **values(model))
    arguments = ("ex6_net", tmp_path / "w.npz", tmp_path / "run")
    message = "input_size must be in 139..4096, got 138 | --input_size"
    refused(64, message, import_weights, *arguments, options=options, input_size=138)
    assert not (tmp_path / "run").exists()
    import_weights(*arguments, options=options, input_size=139)


def test_means_in_fractions_are_refused_even_alone(cifar, tmp_path):
    """Beside deviations in pixel units they can only be a mistake."""
    refused(64, "mean", import_weights, "cifar_resnet", cifar[1], tmp_path / "run",
            options=CIFAR, mean=(0.485, 0.456, 0.406))  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_a_grey_network_needs_a_mean_of_one_value(tmp_path):
    options = CIFAR | {"channels": 1}
    path = save_torch(build("cifar_resnet", **options), tmp_path / "w.npz")
    refused(64, "mean must have 1 values, got 3", import_weights, "cifar_resnet", path,
            tmp_path / "run", options=options)  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_the_table_says_what_does_not_fit(cifar, tmp_path):
    options = CIFAR | {"num_classes": 5}
    error = refused(78, "", import_weights, "cifar_resnet", cifar[1], tmp_path / "run",
                    options=options)  # fmt: skip
    assert [line.split() for line in error.details.splitlines()[1:]] == [
        ["head/bias", "fc.bias", "[10]", "[5]"],
        ["head/kernel", "fc.weight", "[16,", "10]", "[16,", "5]"],
    ]


@pytest.mark.parametrize("kind", ["file", "directory", "an earlier import"])
def test_an_output_that_exists_is_left_as_it_is(cifar, tmp_path, kind):
    output = tmp_path / "run"
    if kind == "file":
        output.write_text("mine")
    elif kind == "directory":
        output.mkdir()
        (output / "mine").write_text("mine")
    else:
        import_weights("cifar_resnet", cifar[1], output, options=CIFAR)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    refused(73, f"the output exists | {output} | ", import_weights, "cifar_resnet", cifar[1],
            output, options=CIFAR)  # fmt: skip
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("output", ["file/run", "link", "a\0b", "x" * 300])
def test_an_output_in_an_impossible_place(cifar, tmp_path, output):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    before = sorted(path.name for path in tmp_path.iterdir())
    refused(73, "choose another name", import_weights, "cifar_resnet", cifar[1],
            tmp_path / output, options=CIFAR)  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_the_output_cannot_be_made(cifar, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError) as caught:
        import_weights("cifar_resnet", cifar[1], tmp_path / "file" / "run", options=CIFAR)
    assert caught.value.code in (73, 74)
    assert (tmp_path / "file").read_text() == "mine"


def test_after_a_full_disk_the_same_command_works(cifar, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        error = refused(74, "saving step 0 failed", import_weights, "cifar_resnet", cifar[1],
                        tmp_path / "run", options=CIFAR)  # fmt: skip
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "the same command goes on" in str(error)
    commit, _ = import_weights("cifar_resnet", cifar[1], tmp_path / "run", options=CIFAR)
    np.testing.assert_array_equal(logits(load(commit).model, 16), logits(cifar[0], 16))


# --- class names


@pytest.mark.parametrize("name, content, expected", [
    ("plain.txt", "cat\ndog", ["cat", "dog"]),
    ("end.txt", "cat\ndog\n", ["cat", "dog"]),
    ("blank end.txt", "cat\ndog\n\n  \n", ["cat", "dog"]),
    ("windows.txt", "\ufeffcat\r\nlarge dog\r\n", ["cat", "large dog"]),
    ("spaces.txt", " cat \n  large dog", ["cat", "large dog"]),
    ("synsets.txt", "n02123045\ttabby, tabby cat\nn02084071\t dog \n", ["tabby, tabby cat", "dog"]),
    ("no name.txt", "n02123045\t\nn02084071\tdog", ["n02123045", "dog"]),
    ("letters.txt", "café\n犬", ["café", "犬"]),
    ("list.json", '["cat", "dog"]', ["cat", "dog"]),
    ("bom.json", '\ufeff["cat", "dog"]', ["cat", "dog"]),
    ("synsets.json", '["n02123045\\ttabby", "dog"]', ["tabby", "dog"]),
    ("dataset.json", '{"format_version": 1, "classes": ["cat", "dog"]}', ["cat", "dog"]),
])  # fmt: skip
def test_class_names(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    assert read_classes(tmp_path / name, 2) == expected


def test_class_names_of_a_data_set():
    assert read_classes(str(DIGITS / "dataset.json"), 10) == list("0123456789")


@pytest.mark.parametrize("name, content, code, message", [
    ("inside.txt", b"cat\n\ndog", 65, "line 2 is empty"),
    ("front.txt", b"\ncat", 65, "line 1 is empty"),
    ("spaces.txt", b"cat\n \ndog", 65, "line 2 is empty"),
    ("tab.txt", b"cat\n\t\ndog", 65, "line 2 is empty"),
    ("few.txt", b"cat", 78, "1 class names for a network of 2 classes"),
    ("many.txt", b"cat\ndog\nfox", 78, "3 class names for a network of 2 classes"),
    ("empty.txt", b"", 78, "0 class names"),
    ("latin.txt", "café\ndog".encode("latin-1"), 65, "cannot be read"),
    ("utf-16.txt", "cat\ndog".encode("utf-16"), 65, "cannot be read"),
    ("broken.json", b'["cat", ', 65, "cannot be read"),
    ("empty.json", b"", 65, "cannot be read"),
    ("string.json", b'"cat"', 65, "not a list of names"),
    ("numbers.json", b"[1, 2]", 65, "not a list of names"),
    ("none.json", b"null", 65, "not a list of names"),
    ("other.json", b'{"names": ["cat", "dog"]}', 65, "not a list of names"),
    ("nested.json", b'{"classes": {"cat": 0, "dog": 1}}', 65, "not a list of names"),
    ("blank.json", b'["cat", ""]', 65, "2 is empty"),
    ("deep.json", b"[" * 100_000, 65, "cannot be read"),
])  # fmt: skip
def test_class_names_that_are_refused(tmp_path, name, content, code, message):
    (tmp_path / name).write_bytes(content)
    error = refused(code, message, read_classes, tmp_path / name, 2)
    assert str(tmp_path / name) in str(error) and "\n" not in str(error)


def test_class_names_that_are_missing(tmp_path):
    refused(66, "No such file or directory", read_classes, tmp_path / "none.txt", 2)
    refused(66, "Is a directory", read_classes, tmp_path, 2)


def test_class_names_are_saved(cifar, tmp_path):
    (tmp_path / "names.txt").write_text("".join(f"n{i:08}\tclass {i}\n" for i in range(10)))
    commit, _ = import_weights("cifar_resnet", cifar[1], tmp_path / "run", options=CIFAR,
                               classes=tmp_path / "names.txt")  # fmt: skip
    assert load(commit).classes == tuple(f"class {i}" for i in range(10))


# --- evaluation


def data_set(directory, **changes):
    """The embedded digits with another manifest."""
    shutil.copytree(DIGITS, directory)
    fields = json.loads((DIGITS / "dataset.json").read_text()) | changes
    (directory / "dataset.json").write_text(json.dumps(fields))
    return str(directory)


@pytest.fixture(scope="module")
def imported(cifar, tmp_path_factory):
    """Without class names and with those of the digits; pictures of 8x8."""
    directory = tmp_path_factory.mktemp("imported")
    for name, classes in (("nameless", None), ("named", DIGITS / "dataset.json")):
        import_weights("cifar_resnet", cifar[1], directory / name, options=CIFAR,
                       classes=classes, input_size=8)  # fmt: skip
    return directory


def counts(model, pictures, split):
    """What evaluation must find, by NumPy on the logits of the network as it was."""
    images, labels = input.MemoryReader(input.Manifest.load(DIGITS), split, pictures).gather(
        tf.range({"test": 360, "train": 1437}[split], dtype=tf.int64)
    )
    pixels = (np.asarray(images, np.float32) - pictures.mean) / np.float32(pictures.std)
    order = np.argsort(-model(tf.constant(pixels, tf.float32), training=False).numpy(), axis=1)
    hits = order == np.asarray(labels)[:, None]
    return {
        "examples": len(pixels),
        "correct_top1": hits[:, 0].sum(),
        "correct_top5": hits[:, :5].sum(),
    }


def test_a_grey_network_is_evaluated_on_every_digit(tmp_path):
    options = CIFAR | {"channels": 1}
    model = build("cifar_resnet", **options)
    path = save_torch(model, tmp_path / "w.npz")
    import_weights("cifar_resnet", path, tmp_path / "run", options=options, mean=(77.8856,),
                   std=(95.8691,), input_size=8)  # fmt: skip
    found = evaluate_checkpoint(tmp_path / "run", CPU, data_dir=str(DIGITS), batch_size=77)
    pictures = Preprocessing(8, 8, 1, (77.8856,), (95.8691,))
    assert (found["step"], found["split"], found["examples"]) == (0, "test", 360)
    assert found.items() >= counts(model, pictures, "test").items()


def test_a_colour_network_is_evaluated_on_every_digit(cifar, imported):
    pictures = load(checkpoint.find(imported / "nameless")).pictures
    for split, examples in (("test", 360), ("train", 1437)):
        found = evaluate_checkpoint(imported / "nameless", CPU, data_dir=str(DIGITS), split=split)
        assert (found["split"], found["examples"]) == (split, examples)
        assert found.items() >= counts(cifar[0], pictures, split).items()


def test_without_data_there_is_nothing_to_evaluate_on(imported):
    message = "imported weights do not know what data they are for"
    error = refused(64, message, evaluate_checkpoint, imported / "nameless", CPU)
    assert "give --data_dir" in str(error)
    refused(64, message, evaluate_checkpoint, imported / "nameless", CPU, split="test")


@pytest.mark.parametrize("names, chosen", [
    (("test", "validation"), "test"), (("validation", "test"), "test"),
    (("train", "validation"), "validation"), (("val", "validation"), "validation"),
    (("train", "val"), "val"),
])  # fmt: skip
def test_the_split_that_is_evaluated_on(imported, tmp_path, names, chosen):
    (shard,) = json.loads((DIGITS / "dataset.json").read_text())["splits"]["test"]
    data = data_set(tmp_path / "data", splits={name: [shard] for name in names})
    found = evaluate_checkpoint(imported / "nameless", CPU, data_dir=data, batch_size=360)
    assert (found["split"], found["examples"]) == (chosen, 360)


def test_a_split_must_be_named_where_none_is_for_evaluation(imported, tmp_path):
    (shard,) = json.loads((DIGITS / "dataset.json").read_text())["splits"]["test"]
    data = data_set(tmp_path / "data", splits={"train": [shard], "holdout": [shard]})
    error = refused(64, "which split to evaluate on is not clear; there are ",
                    evaluate_checkpoint, imported / "nameless", CPU, data_dir=data)  # fmt: skip
    assert "holdout" in str(error) and "train" in str(error) and "give --split" in str(error)
    found = evaluate_checkpoint(imported / "nameless", CPU, data_dir=data, split="holdout")
    assert found["split"] == "holdout"
    refused(64, "no split is called 'test'", evaluate_checkpoint, imported / "nameless", CPU,
            data_dir=data, split="test")  # fmt: skip


def test_class_names_are_compared_where_they_are_known(imported, tmp_path):
    other = data_set(tmp_path / "other", classes=[f"digit {i}" for i in range(10)])
    turned = data_set(tmp_path / "turned", classes=list("1023456789"))
    fewer = data_set(tmp_path / "fewer", classes=[*"0123456789", "ten"])
    for data in (other, turned, fewer):
        error = refused(78, "classes (", evaluate_checkpoint, imported / "named", CPU,
                        data_dir=data)  # fmt: skip
        assert data in str(error) and "(0, 1, 2, …)" in str(error)
    found = evaluate_checkpoint(imported / "named", CPU, data_dir=str(DIGITS), batch_size=360)
    assert found["examples"] == 360


def test_class_names_are_only_counted_where_they_are_unknown(imported, tmp_path):
    other = data_set(tmp_path / "other", classes=[f"digit {i}" for i in range(10)])
    found = evaluate_checkpoint(imported / "nameless", CPU, data_dir=other, batch_size=360)
    assert found["examples"] == 360
    more = data_set(tmp_path / "more", classes=[*"0123456789", "ten"])
    message = "the data has 11 classes (0, 1, 2, …), the network 10"
    refused(78, message, evaluate_checkpoint, imported / "nameless", CPU, data_dir=more)


def test_training_does_not_go_on_from_imported_weights(imported, script, tmp_path):
    model_dir = shutil.copytree(imported / "named", tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    process = script("train.py", f"--model_dir={model_dir}",
                     "--model_options=depth=8,width_multiplier=0.25")  # fmt: skip
    assert process.returncode == 78 and process.stdout == ""
    assert process.stderr.startswith("ERROR 78: the directory holds weights, not a run | ")
    assert process.stderr.count("\n") == 1
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
