"""import_weights.py and summary.py as their users run them, and what a summary says."""

import json
import math
import pathlib
import re

import forked
import numpy as np
import pytest

from resnet_tf import models
from resnet_tf.layers import Conv2D, Dense, named_variables, ones
from resnet_tf.models.classifier import Classifier
from resnet_tf.models.summary import summarize

ROOT = pathlib.Path(__file__).resolve().parents[2]


def events(process):
    """stdout must be JSON lines and nothing else."""
    return [json.loads(line) for line in process.stdout.splitlines()]


# --- what a summary says

# GMAC of the papers and of others' tables, at 224: He et al. 2015 (Table 1) counts 1.8, 3.6, 3.8,
# 7.6 and 11.3 for its own strides; these are those with the stride in the 3x3.
PUBLISHED = {"resnet18": 1.8, "resnet34": 3.7, "resnet50": 4.1, "resnet101": 7.8, "resnet152": 11.5}


@pytest.mark.parametrize("name, gmac", [
    pytest.param(*item, marks=[pytest.mark.slow] if item[0] in ("resnet101", "resnet152") else [])
    for item in PUBLISHED.items()
])  # fmt: skip
def test_published_multiply_accumulates(name, gmac):
    layers = summarize(models.create(name), 224, 224)
    assert sum(layer.macs for layer in layers) == pytest.approx(gmac * 1e9, rel=0.02)


def test_the_first_resnet50_has_the_cost_of_its_paper():
    layers = summarize(models.create("resnet50_v1"), 224, 224)
    assert sum(layer.macs for layer in layers) == pytest.approx(3.8e9, rel=0.02)


def test_every_layer_of_a_small_network_by_hand():
    """Depth 8: three blocks, of 16, 32 and 64 channels, on 8x8, 4x4 and 2x2 pixels."""
    found = [
        (layer.name, layer.output, layer.parameters, layer.macs)
        for layer in summarize(models.create("cifar_resnet", depth=8), 8, 8)
    ]
    assert found == [
        ("stem", (8, 8, 16), 432, 64 * 432),  # 3·3·3·16 weights, each used on 64 pixels
        ("stem_norm", (8, 8, 16), 64, 0),
        ("stage1/0/conv1", (8, 8, 16), 2304, 64 * 2304),
        ("stage1/0/norm1", (8, 8, 16), 64, 0),
        ("stage1/0/conv2", (8, 8, 16), 2304, 64 * 2304),
        ("stage1/0/norm2", (8, 8, 16), 64, 0),
        ("stage2/0/conv1", (4, 4, 32), 4608, 16 * 4608),
        ("stage2/0/norm1", (4, 4, 32), 128, 0),
        ("stage2/0/conv2", (4, 4, 32), 9216, 16 * 9216),
        ("stage2/0/norm2", (4, 4, 32), 128, 0),
        ("stage3/0/conv1", (2, 2, 64), 18432, 4 * 18432),
        ("stage3/0/norm1", (2, 2, 64), 256, 0),
        ("stage3/0/conv2", (2, 2, 64), 36864, 4 * 36864),
        ("stage3/0/norm2", (2, 2, 64), 256, 0),
        ("mean over positions", (64,), 0, 0),
        ("head", (10,), 650, 640),
    ]
    assert sum(parameters for _, _, parameters, _ in found) == 75_770
    assert sum(macs for _, _, _, macs in found) == 765_568


class Convolutions(Classifier):
    """Grouped, dilated, strided, not square, with and without a bias."""

    def __init__(self, options):
        super().__init__(options)
        self.grouped = Conv2D(8, 12, 3, init=ones, groups=4, padding="same")
        self.dilated = Conv2D(12, 6, 3, init=ones, dilation=2, padding="valid", use_bias=True)
        self.depthwise = Conv2D(6, 6, (1, 5), init=ones, groups=6, stride=2, padding="same")
        self.head = Dense(6, 10, init=ones)

    def features(self, images, training):
        return {"final": self.depthwise(self.dilated(self.grouped(images)))}


def test_grouped_and_dilated_convolutions_by_hand():
    model = Convolutions(Convolutions.Options(channels=8))
    grouped, dilated, depthwise, mean, head = summarize(model, 10, 13)
    # 12 channels, each from 8 / 4 = 2 of the input: 3·3·2·12 weights on 10·13 pixels
    assert (grouped.output, grouped.parameters) == ((10, 13, 12), 216)
    assert grouped.macs == 130 * 216
    assert grouped.variables == {"kernel": (3, 3, 2, 12)}
    # a window of 5 with 9 taps: 6·9 pixels are left; the bias is a parameter and no product
    assert (dilated.output, dilated.parameters) == ((6, 9, 6), 3 * 3 * 12 * 6 + 6)
    assert dilated.macs == 54 * 648
    # 1·5·1·6 weights on 3·5 pixels
    assert (depthwise.output, depthwise.parameters, depthwise.macs) == ((3, 5, 6), 30, 15 * 30)
    assert (mean.output, mean.macs) == ((6,), 0)
    assert (head.parameters, head.macs) == (70, 60)


def test_a_dilated_network_costs_what_its_larger_maps_do():
    """At output stride 16 only the last stage sees four times the pixels."""
    plain, dilated = (
        summarize(models.create("resnet18", width_multiplier=0.125, output_stride=stride), 64, 64)
        for stride in (32, 16)
    )
    for before, after in zip(plain, dilated, strict=True):
        in_last = before.name.startswith("stage4")
        assert after.name == before.name and after.variables == before.variables
        assert after.macs == before.macs * (4 if in_last else 1)


def test_convolutions_of_a_grouped_network():
    """32 groups of 4 channels: 128 channels in stage 1, each from 4."""
    layers = {layer.name: layer for layer in summarize(models.create("resnext50_32x4d"), 224, 224)}
    conv = layers["stage1/0/conv2"]
    assert conv.variables == {"kernel": (3, 3, 4, 128)}
    assert (conv.parameters, conv.macs) == (4608, 56 * 56 * 4608)


SETTINGS = {
    "cifar_resnet": {"depth": 8},
    "cifar_resnet_ordering": {"depth": 8, "ordering": "e"},
}
# One of each kind of layer; the others are deeper, or the same layers in another order.
QUICK = [
    "cifar_resnet", "cifar_resnet_ordering", "cifar_resnet18", "cifar_resnet20", "cifar_resnet50",
    "ex6_net", "plain_resnet100", "resnet18", "resnet18_d", "resnet18_v1", "resnet18_v2",
    "resnext50_32x4d", "se_resnet50",
]  # fmt: skip


def test_small_layers_have_their_names_too():
    names = [layer.name for layer in summarize(models.create("ex6_net"), 299, 299)]
    assert names.count("max pool") == 3 and names.count("average pool") == 2
    names = [layer.name for layer in summarize(models.create("plain_resnet100"), 224, 224)]
    assert names.count("max pool") == 5 and names[-2] == "mean over positions"


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in models.names()],
)
def test_every_network_is_summarized_whole(name):
    """Each variable is in one layer, and only in one; every layer gives something."""
    model = models.create(name, width_multiplier=0.25, num_classes=7, **SETTINGS.get(name, {}))
    usual = models.usual_preprocessing(name)
    layers = summarize(model, usual.height, usual.width)
    found = [
        (f"{layer.name}/{leaf}", shape)
        for layer in layers
        for leaf, shape in layer.variables.items()
    ]
    wanted = {key: tuple(variable.shape) for key, variable in named_variables(model).items()}
    assert len(found) == len(wanted) and dict(found) == wanted
    total, _ = models.count_parameters(model)
    assert sum(layer.parameters for layer in layers) == total
    assert layers[-1].name == "head" and layers[-1].output == (7,)
    for layer in layers:
        assert all(isinstance(size, int) and size > 0 for size in layer.output), layer
        kernel = layer.variables.get("kernel")
        assert layer.macs == (math.prod(layer.output) * math.prod(kernel[:-1]) if kernel else 0)


@pytest.mark.parametrize("height, width", [(138, 299), (299, 138)])
def test_images_that_are_too_small(height, width):
    model = models.create("ex6_net", width_multiplier=0.125)
    with pytest.raises(ValueError, match=f"must be 139 or more a side, got {height}x{width}"):
        summarize(model, height, width)
    assert summarize(model, 139, 139)


# --- summary.py


def test_summary_as_a_user_types_it(script, tmp_path):
    process = script(
        "tools/summary.py", "cifar_resnet", "--model_options=depth=8", "--input_size=8x12",
        "--num_classes=1000", "--layers", cwd=tmp_path,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    *layers, total = events(process)
    # 64 inputs for each of 990 further classes, and 990 biases; 96 pixels for every 64
    assert total == {
        "event": "summary", "model": "cifar_resnet", "height": 8, "width": 12,
        "parameters": 75_770 + 990 * 65, "trainable": 75_290 + 990 * 65,
        "macs": (765_568 - 640) * 12 // 8 + 64_000,
    }  # fmt: skip
    assert len(layers) == 16
    assert layers[0] == {
        "event": "layer", "name": "stem", "output": [8, 12, 16],
        "variables": {"kernel": [3, 3, 3, 16]}, "parameters": 432, "macs": 96 * 432,
    }  # fmt: skip
    assert sum(layer["macs"] for layer in layers) == total["macs"]
    assert sum(layer["parameters"] for layer in layers) == total["parameters"]
    head, rule, *rows, empty, last = process.stderr.splitlines()
    assert head.split("  ")[0] == "layer" and "M MAC" in head and "parameters" in head
    assert set(rule) == {"-"} and empty == ""
    assert len(rule) == max(map(len, [head, *rows])) <= 120
    assert last == (
        "cifar_resnet at 8x12: 140,120 parameters, 139,640 of them trainable; 0.001 GMAC"
    )
    cells = [re.split(r"  +", row) for row in rows]
    assert cells[0] == ["stem", "8x12x16", "kernel 3x3x3x16", "432", "0.041"]
    assert cells[1] == [
        "stem_norm", "8x12x16", "moving_mean moving_variance offset scale 16", "64",
    ]  # fmt: skip
    assert cells[-2] == ["mean over positions", "64"]
    assert cells[-1] == ["head", "1000", "bias 1000, kernel 64x1000", "65,000", "0.064"]
    assert [row[0] for row in cells] == [layer["name"] for layer in layers]
    # Names start and numbers end in one column each.
    assert not any(row != row.rstrip() for row in rows)
    assert {row.index(cell[1]) for row, cell in zip(rows, cells)} == {head.index("output")}
    ends = {row.index(cell[3]) + len(cell[3]) for row, cell in zip(rows, cells) if len(cell) > 3}
    assert ends == {head.index("parameters") + len("parameters")}


# --- mistakes

SMALL = "--model_options=width_multiplier=0.125"
SUMMARY_MISTAKES = [
    ([], "one network must be named, got 0 | summary.py | such as: tools/summary.py resnet50"),
    (["resnet18", "resnet50"], "one network must be named, got 2"),
    (["resnet51"], "no network is called 'resnet51'; there are "),
    (["cifar_resnet"], "cifar_resnet needs the option 'depth' | --model, --model_options | "),
    (["resnet18", "--model_options=dept=3"], "resnet18 has no option 'dept'; it has channels, "),
    (["resnet18", "--model_options=depth=34"], "resnet18 stands for depth 18"),
    (["resnet18", "--model_options=depth"], "model_options must be name=value,name=value"),
    (["resnet18", "--model_options=channels=0"], "channels must be above 0, got 0"),
    (["resnet18", "--num_classes=0"], "cannot build resnet18: "),
    (["resnet18", "--num_classes=many"], "--num_classes=many"),
    (["resnet18", "--inputsize=3"], "Unknown command line flag 'inputsize'"),
    (["cifar_resnet20", "--input_size=99999999999999999999"], "input_size "),
    (["ex6_net", SMALL, "--input_size=138"], "images must be 139 or more a side, got 138x138"),
    (["ex6_net", SMALL, "--input_size=299x138"], "images must be 139 or more a side, got 299x138"),
    *(
        (["cifar_resnet20", f"--input_size={text}"],
         f"input_size must be SIDE or HEIGHTxWIDTH in pixels, got {text!r} | --input_size | ")
        for text in ("", "0", "0x8", "8x0", "-8", "8.5", "x", "8x", "x8", "8x8x3", "8*8", "eight",
                     "８")
    ),
]  # fmt: skip
SUMMARY_SIZES = [
    ("--input_size=9", 9, 9), ("--input_size=9x9", 9, 9), ("--input_size=9X12", 9, 12),
    ("--input_size=012x9", 12, 9), ("--nolayers", 32, 32),
]  # fmt: skip
GOOD = ["--model=cifar_resnet", "--model_options=depth=8,width_multiplier=0.25",
        "--weights=DIR/w.npz", "--output=DIR/run"]  # fmt: skip
IMPORT_MISTAKES = [
    ([GOOD[0], *GOOD[2:]], 64, "cifar_resnet needs the option 'depth'"),
    (GOOD[1:], 64, "--model is not given | --model | see --helpshort"),
    ([*GOOD[:2], GOOD[3]], 64, "--weights is not given | --weights | see --helpshort"),
    (GOOD[:3], 64, "--output is not given | --output | see --helpshort"),
    ([*GOOD, "stray"], 64, "unexpected argument 'stray'"),
    ([*GOOD, "--weight=x"], 64, "Unknown command line flag 'weight'"),
    ([*GOOD, "--model=vgg"], 64, "no network is called 'vgg'"),
    ([*GOOD, "--model_options=8"], 64, "model_options must be name=value,name=value, got '8'"),
    ([*GOOD, "--input_size=0"], 64, "input_size must be 1 or more, got 0 | --input_size"),
    ([*GOOD, "--input_size=big"], 64, "--input_size=big"),
    ([*GOOD, "--mean=a,b,c"], 64, "mean must be numbers, got a,b,c | --mean | "),
    ([*GOOD, "--std=1,2,three"], 64, "std must be numbers, got 1,2,three | --std | "),
    ([*GOOD, "--mean=1,2"], 64, "mean must have 3 values, got 2"),
    ([*GOOD, "--std=0.2,0.2,0.2"], 64, "std must be in pixel units"),
    ([*GOOD, "--mean=1,2,nan"], 64, "mean must be in pixel units, 0 to 255"),
    ([*GOOD, "--weights=DIR/none.npz"], 66, "there is no such file or checkpoint | DIR/none.npz"),
    ([*GOOD, "--weights=DIR"], 66, "the directory holds no TensorFlow checkpoint | DIR | "),
    ([*GOOD, "--weights=DIR/w.pth"], 65, "a pickle is never opened | DIR/w.pth | "),
    ([*GOOD, "--weights=DIR/junk.npz"], 65, "the weights cannot be read: "),
    ([*GOOD, "--classes=DIR/none.txt"], 66, "cannot read the class names: No such file"),
    ([*GOOD, "--classes=DIR/two.txt"], 78, "2 class names for a network of 10 classes"),
    ([*GOOD, "--output=DIR"], 73, "the output exists | DIR | choose another name"),
    ([*GOOD, "--output=DIR/w.npz"], 73, "the output exists | DIR/w.npz | "),
    ([*GOOD, "--model_options=depth=14"], 78, "36 of another shape | DIR/w.npz | give the --model"),
    ([*GOOD, "--weights=" + "x" * 300], 74, "File name too long"),
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A directory with a file of weights, and what is no such file."""
    directory = tmp_path_factory.mktemp("weights")
    model = models.create("cifar_resnet", depth=8, width_multiplier=0.25, seed=4)
    np.savez(directory / "w.npz", **{k: v.numpy() for k, v in named_variables(model).items()})
    (directory / "w.pth").write_bytes(b"\x80\x02.")
    (directory / "junk.npz").write_bytes(b"PK junk")
    (directory / "two.txt").write_text("cat\ndog\n")
    return directory


@pytest.fixture(scope="module")
def outcomes(weights, tmp_path_factory):
    """(exit code, stdout, stderr) of every command of the lists, by its arguments."""
    calls = [("tools/summary.py", *arguments) for arguments, _ in SUMMARY_MISTAKES]
    calls += [("tools/summary.py", "cifar_resnet20", flag) for flag, _, _ in SUMMARY_SIZES]
    calls += [("tools/import_weights.py", *arguments) for arguments, _, _ in IMPORT_MISTAKES]
    before = sorted(weights.iterdir())
    told = [[text.replace("DIR", str(weights)) for text in call] for call in calls]
    results = forked.run_all(told, tmp_path_factory.mktemp("outputs"))
    assert sorted(weights.iterdir()) == before  # a refused import leaves nothing
    return dict(zip(calls, results, strict=True))


def one_line(outcome, code, message):
    found, stdout, stderr = outcome
    first, *details = stderr.splitlines()
    assert found == code and stdout == "" and "Traceback" not in stderr
    assert first.startswith(f"ERROR {code}: ") and message in first and first.count(" | ") == 2
    return details


@pytest.mark.parametrize("arguments, message", SUMMARY_MISTAKES, ids=lambda value: str(value)[:40])
def test_a_mistake_of_summary_is_one_line(outcomes, arguments, message):
    assert one_line(outcomes[("tools/summary.py", *arguments)], 64, message) == []


@pytest.mark.parametrize("flag, height, width", SUMMARY_SIZES)
def test_forms_of_the_input_size(outcomes, flag, height, width):
    code, stdout, stderr = outcomes["tools/summary.py", "cifar_resnet20", flag]
    assert code == 0, stderr
    (total,) = map(json.loads, stdout.splitlines())
    assert (total["height"], total["width"]) == (height, width)
    assert f"cifar_resnet20 at {height}x{width}: " in stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments, code, message", IMPORT_MISTAKES, ids=lambda value: str(value)[:40]
)
def test_a_mistake_of_import_weights_is_one_line(outcomes, weights, arguments, code, message):
    outcome = outcomes[("tools/import_weights.py", *arguments)]
    details = one_line(outcome, code, message.replace("DIR", str(weights)))
    if "of another shape" in message:  # and a table behind it
        assert details[0].split() == (
            ["variable", "in", "the", "file", "its", "shape,", "turned", "in", "the", "network"]
        )
        assert all(line.startswith("  ") for line in details)
    else:
        assert details == []


# --- import_weights.py, then eval.py


def test_import_weights_and_eval_as_a_user_types_them(script, weights, tmp_path):
    from safetensors.numpy import save_file

    model = models.create("cifar_resnet", depth=8, width_multiplier=0.25, seed=4)
    mine = {f"model/{name}": v.numpy() for name, v in named_variables(model).items()}
    save_file({**mine, "step": np.array(7, np.int64)}, tmp_path / "my weights.safetensors")
    (tmp_path / "names.txt").write_text("".join(f"n{i:08}\t{i}\n" for i in range(10)))
    process = script(
        "tools/import_weights.py", "--model=cifar_resnet", "--output=runs/mine",
        "--model_options=depth=8,width_multiplier=0.25", "--weights=my weights.safetensors",
        "--classes=names.txt", "--mean=78,79,80", "--std=95,96,97.5", "--input_size=8",
        cwd=tmp_path,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    (imported,) = events(process)
    manifest = tmp_path / "runs/mine/checkpoints/step_000000000/manifest.json"
    assert imported == {
        "event": "imported", "checkpoint": "runs/mine/checkpoints/step_000000000",
        "model": "cifar_resnet", "num_classes": 10, "variables": 37, "left_out": 1,
        "preprocessing": {
            "height": 8, "width": 8, "channels": 3, "mean": [78, 79, 80], "std": [95, 96, 97.5],
            "shorter_side": None, "central_fraction": None, "antialias": True,
        },
        "digest": json.loads(manifest.read_text())["digest"],
    }  # fmt: skip
    assert process.stderr.splitlines() == [
        "left out 1 tensors (counters, optimizer slots, averages of weights), such as step",
        "imported: runs/mine",
    ]  # fmt: skip
    process = script("eval.py", "--checkpoint=runs/mine", f"--data_dir={ROOT}/data/digits",
                     cwd=tmp_path)  # fmt: skip
    assert process.returncode == 0, process.stderr
    (evaluated,) = events(process)
    assert evaluated["event"] == "eval" and evaluated["checkpoint"] == imported["checkpoint"]
    assert (evaluated["step"], evaluated["split"], evaluated["examples"]) == (0, "test", 360)
    assert 0 <= evaluated["correct_top1"] <= evaluated["correct_top5"] <= 360
    assert evaluated["top1"] == round(evaluated["correct_top1"] / 360, 6)
    assert "Traceback" not in process.stderr and "WARNING" not in process.stderr


def test_short_help_is_one_screen(script):
    process = script("tools/import_weights.py", "--helpshort")
    assert process.returncode == 0 and process.stderr == ""
    assert len(process.stdout.splitlines()) <= 40
    assert all(len(line) <= 100 for line in process.stdout.splitlines())
    for name in [
        "model",
        "model_options",
        "weights",
        "output",
        "classes",
        "mean",
        "std",
        "input_size",
    ]:
        assert f"\n  --{name} " in process.stdout
    process = script("tools/summary.py", "--helpshort")
    assert process.returncode == 0 and len(process.stdout.splitlines()) <= 40
    for name in ("input_size", "num_classes", "model_options", "layers"):
        assert f"\n  --{name} " in process.stdout
