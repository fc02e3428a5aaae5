"""What the pages of docs/ tell a new user to do, done: on patches of two photographs.

Each command is run as it stands on its page, in the order of the pages, with flags behind it that
make it small.
"""

import io
import pathlib
import re
import shlex
import tarfile

import forked
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ("own-images", "evaluate", "export", "fine-tuning", "recipes")
# Behind a command that begins so, to make it small.
SMALLER = {
    "python train.py --recipe=cifar10": ["--epochs=0", "--steps=2", "--batch_size=8"],
    "python train.py": [
        "--epochs=0",
        "--steps=4",
        "--batch_size=8",
        "--model_options=width_multiplier=0.25",
    ],
    "python tools/export.py": ["--pictures=8"],
}
NOT_EXECUTED = {"urllib": "a server", "torchvision": "another library"}


def blocks(page):
    """Indented blocks of a page."""
    text = (ROOT / "docs" / f"{page}.md").read_text()
    found = re.findall(r"(?:^    .*\n(?:^\n(?=    ))?)+", text, re.MULTILINE)
    return [re.sub("^    ", "", block, flags=re.MULTILINE) for block in found]


def commands():
    for page in PAGES:
        for block in blocks(page):
            lines = block.replace("\\\n", " ").splitlines()
            yield from (line for line in lines if line.startswith("python "))


def programs():
    for page in PAGES:
        for number, block in enumerate(blocks(page)):
            known = any(word in block for word in NOT_EXECUTED)
            if re.search("^(import|from) ", block, re.MULTILINE) and not known:
                yield f"{page}-{number}", block


def smaller(command):
    return next((more for start, more in SMALLER.items() if command.startswith(start)), [])


def patches(picture, count):
    rng = np.random.default_rng(0)
    for _ in range(count):
        top, left = (rng.integers(0, side - 80) for side in picture.shape[:2])
        yield picture[top : top + 80, left : left + 80]


def cifar_archive(path, pictures):
    """The binary version, with pictures cut to its size."""
    small = [picture[:32, :32].transpose(2, 0, 1).tobytes() for picture in pictures]
    rows = [bytes([number % 10]) + planes for number, planes in enumerate(small)]
    names = [f"data_batch_{n}.bin" for n in range(1, 6)] + ["test_batch.bin"]
    files = {name: b"".join(rows[n::6]) for n, name in enumerate(names)}
    files["batches.meta.txt"] = "".join(f"class_{n}\n" for n in range(10)).encode()
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A place like a clone of the project, with the pictures that the pages speak of."""
    images = pytest.importorskip("sklearn.datasets").load_sample_images().images
    place = tmp_path_factory.mktemp("clone")
    for name in ("train.py", "eval.py", "tools"):
        (place / name).symlink_to(ROOT / name)
    (place / "data").mkdir()
    for name in ("prepare.py", "check.py", "digits"):
        (place / "data" / name).symlink_to(ROOT / "data" / name)
    for folder in ("photos", "birds"):
        for name, image in zip(("daisy", "rose"), images):
            (place / folder / name).mkdir(parents=True)
            for number, patch in enumerate(patches(image, 15), start=1):
                encoded = tf.io.encode_jpeg(patch).numpy()
                (place / folder / name / f"{number:03d}.jpg").write_bytes(encoded)
    cifar_archive(place / "cifar-10-binary.tar.gz", list(patches(images[0], 60)))
    return place


@pytest.fixture(scope="module")
def done(clone, tmp_path_factory):
    """(command, exit code, stdout, stderr) of each."""
    listed = list(commands())
    calls = [[*shlex.split(command)[1:], *smaller(command)] for command in listed]
    found = forked.run_all(calls, tmp_path_factory.mktemp("output"), clone)
    return [(command, *rest) for command, rest in zip(listed, found)]


def test_every_command_succeeds(done):
    failed = [(command, stderr) for command, code, _, stderr in done if code]
    assert not failed, failed[0]
    assert len(done) > 20


def test_what_the_pages_speak_of_is_there(done, clone):
    made = (
        "photos.html", "batch.png", "both.html", "rows.csv", "confusion.csv", "classes.csv",
        "changes.csv", "heat", "served/photos/1/saved_model.pb", "photos.tflite",
        "photos.onnx", "photos.safetensors", "photos.npz", "photos-resnet18.safetensors",
        "runs/photos/report.html", "runs/photos/journal.jsonl",
        "runs/photos/steps.csv", "runs/photos/tensorboard", "runs/photos/temperatures.json",
        "runs/birds/report.html", "runs/cifar10_resnet20/report.html",
    )  # fmt: skip
    assert [name for name in made if not (clone / name).exists()] == []


def test_programs_run(done, clone, tmp_path_factory):
    written = dict(programs())
    for name, text in written.items():
        (clone / f"{name}.py").write_text(text)
    output = tmp_path_factory.mktemp("programs")
    found = forked.run_all([[f"{name}.py"] for name in written], output, clone)
    assert [(name, *rest) for name, rest in zip(written, found) if rest[0]] == []
    assert len(written) == 5


def layers_of_resnet18(width):
    """Shapes by name in torchvision's state_dict for two classes, without the batch counters."""

    def norm(name, channels):
        return {f"{name}.{leaf}": (channels,)
                for leaf in ("weight", "bias", "running_mean", "running_var")}  # fmt: skip

    shapes = {"conv1.weight": (width, 3, 7, 7), **norm("bn1", width)}
    before = width
    for stage, channels in enumerate((width, 2 * width, 4 * width, 8 * width), start=1):
        for block in (f"layer{stage}.0", f"layer{stage}.1"):
            shapes[f"{block}.conv1.weight"] = (channels, before, 3, 3)
            shapes[f"{block}.conv2.weight"] = (channels, channels, 3, 3)
            shapes |= norm(f"{block}.bn1", channels) | norm(f"{block}.bn2", channels)
            if before != channels:
                shapes[f"{block}.downsample.0.weight"] = (channels, before, 1, 1)
                shapes |= norm(f"{block}.downsample.1", channels)
            before = channels
    return shapes | {"fc.weight": (2, before), "fc.bias": (2,)}


def test_the_weights_for_pytorch_have_the_names_of_its_network(done, clone):
    """All of those of the network that the page makes in PyTorch, at the width of `SMALLER`."""
    (text,) = (block for block in blocks("export") if "torchvision" in block)
    file, network = re.search(r'load_file\("(.*)"\)', text), re.search("import (resnet.*)", text)
    assert network.group(1) == "resnet18" and "resnet18(num_classes=2)" in text
    found = load_file(clone / file.group(1))
    shapes = {name: array.shape for name, array in found.items()}
    assert shapes == layers_of_resnet18(64 // 4)


def test_a_network_and_a_recipe_of_my_own(monkeypatch):
    from resnet_tf import layers, models, recipes
    from resnet_tf.config import Config
    from resnet_tf.models import registry

    fenced = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (network,) = (text for text in fenced if "class " in text)
    (recipe,) = (text for text in fenced if "Recipe(" in text)
    table = dict(registry._REGISTRY)
    monkeypatch.setattr(registry, "_REGISTRY", table)
    names = {name: getattr(layers, name) for name in layers.__all__}
    names |= {"tf": tf, "Classifier": models.Classifier}
    exec(network, names | {"_REGISTRY": table, "_cifar": registry._cifar})
    model = models.create("two_layers", num_classes=3)
    assert model(tf.zeros([2, 8, 8, 3]), training=True).shape == (2, 3)
    made = eval(recipe, {"Recipe": recipes.Recipe, "Config": Config})
    assert made.config.model == "two_layers" and made.config.schedule == "cosine"
