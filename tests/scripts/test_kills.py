"""Random SIGKILLs: whatever the moment, the same command ends in the same bits."""

import json
import pathlib
import random
import subprocess
import sys
import time

import pytest

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


@pytest.mark.parametrize(
    "kills", [2, pytest.param(10, marks=pytest.mark.slow)], ids=lambda kills: f"{kills} kills"
)
def test_each_kill_ends_in_the_digest_of_the_undisturbed_run(tmp_path, kills):
    begin = time.monotonic()
    undisturbed = finish(tmp_path / "undisturbed")
    length = time.monotonic() - begin
    moments = random.Random(0)
    for kill in range(kills):
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
