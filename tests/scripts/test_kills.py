"""Random SIGKILLs: whatever the moment, the same command ends in the same bits.

In processes of their own from the first line on; the campaigns fork theirs.
"""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

from resnet_tf import checkpoint
from resnet_tf.checkpoint import commit

ROOT = pathlib.Path(__file__).resolve().parents[2]


def command(model_dir):
    return [sys.executable, str(ROOT / "train.py"), f"--model_dir={model_dir}",
            "--save_every_steps=40", "--steps=300"]  # fmt: skip


def finish(model_dir):
    process = subprocess.run(
        command(model_dir), cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])["digest"]


def kill_somewhere(model_dir, delay):
    process = subprocess.Popen(
        command(model_dir), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(delay)
    process.kill()
    process.wait()


@pytest.mark.slow  # as the campaign of kills, of which 20 are made every time
def test_each_kill_ends_in_the_digest_of_the_undisturbed_run(tmp_path):
    """# fault A1"""
    begin = time.monotonic()
    undisturbed = finish(tmp_path / "undisturbed")
    length = time.monotonic() - begin
    moments = random.Random(0)
    for kill in range(10):
        # The moment only decides which part of the run is hit, not what is expected.
        kill_somewhere(tmp_path / str(kill), moments.uniform(0, length))
        assert finish(tmp_path / str(kill)) == undisturbed


@pytest.mark.slow
def test_a_run_killed_over_and_over_gets_there(tmp_path):
    undisturbed = finish(tmp_path / "undisturbed")
    moments = random.Random(1)
    for _ in range(8):
        kill_somewhere(tmp_path / "run", moments.uniform(6, 14))
    assert finish(tmp_path / "run") == undisturbed


# Where a run is broken off, and at which time: # fault A2, A5, A6, A7, A8, A9, A10
STAGES = [
    "step:1", "save.begin:1", "save.data:2", "save.sync:2", "save.manifest:1", "restore:1",
    "save.rename:1", "save.renamed:1", "sweep.begin:1", "sweep.mid:1", "evaluation:1", "report:1",
]  # fmt: skip


def killed_at(stage, model_dir):
    """The run until it is killed there; the commits that it then has."""
    process = subprocess.run(
        [*command(model_dir), "--keep=1", "--eval_every_steps=80"], cwd=ROOT, text=True,
        env={**os.environ, "RESNET_TF_FAULT": stage, "RESNET_TF_TESTING": "1"},
        capture_output=True, timeout=600,
    )  # fmt: skip
    assert process.returncode == -signal.SIGKILL, process.stderr
    return {
        path.name: commit.verify(path) for path in checkpoint.commits(model_dir / "checkpoints")
    }


SOME = ["step:1", "save.data:2", "save.rename:1", "restore:1", "sweep.mid:1"]


@pytest.mark.slow
@pytest.mark.parametrize("stages", [SOME, STAGES], ids=len)
def test_one_run_killed_at_each_stage_in_turn(tmp_path, stages):
    undisturbed, before = finish(tmp_path / "undisturbed"), {}
    for stage in stages:
        after = killed_at(stage, tmp_path / "run")
        # What was committed is there, or a newer one, in the bytes that it was written in.
        assert not before or max(after) >= max(before)
        for name in before.keys() & after.keys():
            assert after[name].manifest == before[name].manifest
        before = after
    assert finish(tmp_path / "run") == undisturbed
    left = {path.name for path in (tmp_path / "run/checkpoints").iterdir()}
    assert all(name.startswith("step_") and "." not in name for name in left)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("stage", [stage.partition(":")[0] for stage in STAGES if "save" in stage])
def test_killed_at_a_stage_of_a_later_commit(tmp_path, stage, number):
    undisturbed = finish(tmp_path / "undisturbed")
    killed_at(f"{stage}:{number}", tmp_path / "run")
    assert finish(tmp_path / "run") == undisturbed
