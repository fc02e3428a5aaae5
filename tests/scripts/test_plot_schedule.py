"""tools/plot_schedule.py: the learning rate of a run, drawn. In this process but for one test."""

import importlib.util
import json
import math
import pathlib
import sys

import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from absl.testing import flagsaver

from resnet_tf import reporting, runtime
from resnet_tf.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parents[2]
RED, BLUE = (214, 39, 40), (31, 119, 180)


@pytest.fixture(scope="module")
def tool():
    """The script as a module; its flags are taken away again."""
    before, path = set(flags.FLAGS), list(sys.path)
    spec = importlib.util.spec_from_file_location(
        "plot_schedule", ROOT / "tools" / "plot_schedule.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = path
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)


@pytest.fixture
def draw(tool, tmp_path, monkeypatch, capsys):
    """Runs the script with some flags: its event and its picture, uint8 `[height, width, 3]`."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(runtime, "configure", lambda: None)  # this process is configured already
    output = tmp_path / "rate.png"

    def run(*arguments):
        with flagsaver.flagsaver():
            flags.FLAGS(["plot_schedule.py", f"--output={output}", *arguments])
            tool.main([])
        (event,) = map(json.loads, capsys.readouterr().out.splitlines())
        assert event.pop("event") == "drawn" and event.pop("output") == str(output)
        return event, tf.io.decode_png(output.read_bytes(), 3).numpy()

    return run


def has_colour(picture, colour):
    """Where pixels are of a colour, give or take what an edge is blended with."""
    return (np.abs(picture.astype(int) - colour) < 20).all(-1)


def test_a_recipe_as_its_users_draw_it(script, tmp_path):
    """Digits: 50 of 900 steps of warm-up, then a cosine over 850, of which the last is missing."""
    output = tmp_path / "rate.png"
    done = script("tools/plot_schedule.py", "--recipe=digits", f"--output={output}")
    assert done.returncode == 0, done.stderr
    (event,) = map(json.loads, done.stdout.splitlines())
    last = 0.05 * (1 + math.cos(math.pi * 849 / 850))
    assert event == {
        "event": "drawn", "output": str(output), "steps": 900,
        "first": pytest.approx(0.1 / 51, rel=1e-6), "highest": 0.1,
        "last": pytest.approx(last, rel=1e-6),
    }  # fmt: skip
    assert done.stderr == f"{output}: 900 steps, 20.04 epochs\n"  # 900 · 32 / 1437
    assert tf.io.decode_png(output.read_bytes()).shape[:2] == (540, 960)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--schedule=constant"], (0.4, 0.4, 0.4)),
        (["--schedule=step", "--boundaries=50,90%", "--factors=0.5,1,0.1"], (0.2, 0.4, 0.04)),
        (["--schedule=cosine"], (0.4, 0.4, 0.2 * (1 + math.cos(math.pi * 99 / 100)))),
        (["--schedule=constant", "--warmup=3"], (0.1, 0.4, 0.4)),
    ],
)
def test_first_highest_and_last_rate(draw, arguments, expected):
    event, picture = draw("--learning_rate=0.4", "--steps=100", "--warmup=0", *arguments)
    assert (event["first"], event["highest"], event["last"]) == pytest.approx(expected, rel=1e-6)
    assert event["steps"] == 100
    assert has_colour(picture, BLUE).any(0).sum() > 700  # from side to side


def test_records_are_the_data_sets_or_as_told(draw):
    assert draw("--epochs=2")[0]["steps"] == 90  # 2 · 1437 / 32 = 89.8
    assert draw("--epochs=2", "--records=3200")[0]["steps"] == 200


def test_a_step_of_several_parts_takes_the_examples_of_all(draw, monkeypatch):
    said = []
    monkeypatch.setattr(reporting, "say", said.append)
    event, _ = draw("--epochs=2", "--records=3200", "--batch_size=32", "--accumulate=4")
    assert event["steps"] == 50
    assert said[0].endswith(": 50 steps, 2 epochs")


def test_the_records_are_enough_where_the_data_is_not_there(draw):
    event, _ = draw("--recipe=cifar10_resnet50", "--data_dir=none", "--records=50000")
    assert event == {"steps": 78125, "first": 0.1, "highest": 0.1, "last": 0.001}


def test_the_end_of_the_warmup_is_marked(draw):
    """Half way, in the middle of what the curve takes."""
    _, picture = draw("--warmup=450")
    red, blue = has_colour(picture, RED), has_colour(picture, BLUE)
    columns = np.flatnonzero(blue.any(0))
    middle = (columns.min() + columns.max()) / 2
    assert red.sum(0).max() > 150
    assert abs(red.sum(0).argmax() - middle) < 5
    assert not has_colour(draw("--warmup=0")[1], RED).any()


def plateaus(picture):
    """Number of heights at which the curve runs level."""
    level = has_colour(picture, BLUE).sum(1) > 40
    return (np.diff(level.astype(int)) == 1).sum()


def test_logarithms_show_what_is_small(draw):
    """The rate rises by six times ten, in seven steps."""
    recipe = ["--recipe=flowers20_plain_resnet100", "--records=1000"]
    event, picture = draw(*recipe, "--logarithmic")
    assert event == {"steps": 1875, "first": 1e-9, "highest": 0.001, "last": 0.001}
    assert plateaus(picture) == 7
    assert plateaus(draw(*recipe)[1]) < 5


@pytest.mark.filterwarnings("error")
def test_a_rate_of_nothing_can_be_drawn(draw):
    for flag in ("--logarithmic", "--nologarithmic"):
        event, _ = draw("--learning_rate=0", flag)
        assert event == {"steps": 900, "first": 0.0, "highest": 0.0, "last": 0.0}


def test_a_long_run_is_looked_at_here_and_there(draw):
    """Its first and last step are never left out."""
    event, _ = draw("--steps=2000000000", "--warmup=0", "--learning_rate=1")
    assert event["steps"] == 2_000_000_000
    assert event["first"] == event["highest"] == 1.0
    assert event["last"] == pytest.approx((math.pi / 2e9 / 2) ** 2, rel=0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--records=0"], "ERROR 64: records must be from 1 to 2147483647, got 0 | --records"),
        (["--records=2147483648"], "must be from 1 to 2147483647, got 2147483648 | --records"),
        (["--recipe=digit"], "ERROR 64: no recipe is called 'digit'"),
        (["--train_split=none"], "ERROR 64: no split is called 'none'"),
        (["--warmup=2weeks"], "ERROR 64: warmup must be a number with one of"),
        (["--output=TMP/none/rate.png"], "ERROR 73: its folder does not exist | TMP/none/rate.png"),
        (["--data_dir=TMP/none"], "ERROR 66: the data directory does not exist | TMP/none | give"
                                  " --data_dir, or make one with data/prepare.py; or give"
                                  " --records"),
        (["--data_dir=TMP"], "; or give --records"),
    ],
)  # fmt: skip
def test_mistakes(draw, tmp_path, arguments, message):
    with pytest.raises(UserError) as error:
        draw(*(argument.replace("TMP", str(tmp_path)) for argument in arguments))
    assert message.replace("TMP", str(tmp_path)) in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_bad_data_is_not_mended_by_the_number_of_records(draw, tmp_path):
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(UserError, match="ERROR 65: the manifest cannot be used") as error:
        draw(f"--data_dir={tmp_path}")
    assert "--records" not in str(error.value)


def test_without_matplotlib(draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError) as error:
        draw()
    assert str(error.value) == (
        "ERROR 66: matplotlib is not installed, which draws the curve | tools/plot_schedule.py"
        " | pip install -e '.[report]'"
    )


def test_an_output_that_cannot_be_written(draw, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        draw(f"--output={tmp_path}/folder")
