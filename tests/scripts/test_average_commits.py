"""average_commits.py as its users run it, then eval.py."""

import json
import pathlib

import numpy as np
import pytest

from resnet_tf import checkpoint, models
from resnet_tf.evaluation import load
from resnet_tf.layers import named_variables

ROOT = pathlib.Path(__file__).resolve().parents[2]
OPTIONS = {"depth": 8, "width_multiplier": 0.25}


def events(process):
    """stdout must be JSON lines and nothing else."""
    return [json.loads(line) for line in process.stdout.splitlines()]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A model directory with three commits, of which the second is damaged."""
    model_dir = tmp_path_factory.mktemp("runs") / "a run [of three] é"
    fields = {
        "config": None,
        "architecture": {"model": "cifar_resnet", "options": OPTIONS, "num_classes": 10},
        "classes": list("0123456789"),
        "preprocessing": {"height": 8, "width": 8, "channels": 3, "mean": [78.0] * 3,
                          "std": [96.0] * 3},
        "data": {"directory": str(ROOT / "data" / "digits"), "eval_split": "train"},
        "environment": {"resnet_tf": "0.2.0"},
    }  # fmt: skip
    for step in (10, 20, 30):
        model = models.create("cifar_resnet", seed=step, **OPTIONS)
        state = {f"model/{name}": v.numpy() for name, v in named_variables(model).items()}
        checkpoint.write(model_dir / "checkpoints", step, state, fields)
    (model_dir / "checkpoints" / "step_000000020" / "variables.index").write_bytes(b"")
    return model_dir


def test_average_and_eval_as_a_user_types_them(run, script, tmp_path):
    process = script(
        "tools/average_commits.py", f"--checkpoint={run}", "--output=runs/mean", "--last=3",
        cwd=tmp_path,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    (averaged,) = events(process)
    made = tmp_path / "runs/mean/checkpoints/step_000000000"
    assert averaged == {
        "event": "averaged", "checkpoint": "runs/mean/checkpoints/step_000000000",
        "steps": [30, 10], "variables": 37,
        "digest": json.loads((made / "manifest.json").read_text())["digest"],
    }  # fmt: skip
    assert process.stderr.splitlines() == [
        "passed over step_000000020: variables.index fails its checksum",
        "there are 2 commits, fewer than --last=3",
        "averaged steps 30, 10: runs/mean",
    ]
    found = load(checkpoint.find(made)).model.head.kernel
    kernels = [models.create("cifar_resnet", seed=s, **OPTIONS).head.kernel for s in (10, 30)]
    np.testing.assert_allclose(found, (kernels[0] + kernels[1]) / 2, rtol=1e-6, atol=1e-8)
    process = script("eval.py", "--checkpoint=runs/mean", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    (evaluated,) = events(process)
    assert evaluated["checkpoint"] == averaged["checkpoint"]
    # The split that the run evaluated on, whole.
    assert (evaluated["step"], evaluated["split"], evaluated["examples"]) == (0, "train", 1437)


@pytest.mark.parametrize("flags, code, message", [
    ([], 64, "--checkpoint is not given | --checkpoint | see --helpshort"),
    (["--checkpoint=RUN"], 64, "--output is not given | --output | see --helpshort"),
    (["--checkpoint=RUN", "--output=OUT", "--last=two"], 64, "--last=two"),
    (["--checkpoint=OUT", "--output=OUT"], 66, "an average needs 2 commits or more, and there"),
])  # fmt: skip
def test_a_mistake_is_one_line_and_leaves_nothing(run, script, tmp_path, flags, code, message):
    told = [flag.replace("RUN", str(run)).replace("OUT", str(tmp_path / "out")) for flag in flags]
    process = script("tools/average_commits.py", *told)
    assert process.returncode == code and process.stdout == ""
    assert process.stderr.startswith(f"ERROR {code}: ") and message in process.stderr
    assert process.stderr.count("\n") == 1 and process.stderr.count(" | ") == 2
    assert list(tmp_path.iterdir()) == []


def test_short_help_is_one_screen(script):
    process = script("tools/average_commits.py", "--helpshort")
    assert process.returncode == 0 and process.stderr == ""
    assert len(process.stdout.splitlines()) <= 40
    assert all(len(line) <= 100 for line in process.stdout.splitlines())
    for name in ("checkpoint", "output", "last"):
        assert f"\n  --{name} " in process.stdout
    assert "statistics" in process.stdout and "eval.py" in process.stdout
