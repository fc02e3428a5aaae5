"""tools/data_service.py: an address on stdout, a run that uses it, and how it ends."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MICRO = (
    "--model=cifar_resnet", "--model_options=depth=8,width_multiplier=0.25", "--steps=20",
    "--batch_size=32", "--pad=2", "--devices=cpu", "--tensorboard=false",
)  # fmt: skip


def train(model_dir, *flags):
    process = subprocess.run(
        [sys.executable, "train.py", f"--model_dir={model_dir}", *MICRO, *flags],
        cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])["digest"]


@pytest.fixture
def serving():
    process = subprocess.Popen(
        [sys.executable, "tools/data_service.py", "--port=0", "--host=127.0.0.1"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process
    process.kill()
    process.communicate()


def test_a_run_is_the_same_with_it(serving, tmp_path):
    told = json.loads(serving.stdout.readline())
    assert told["event"] == "data_service" and told["pid"] == serving.pid
    there = train(tmp_path / "there", f"--data_service={told['address']}")
    assert there == train(tmp_path / "here")
    serving.send_signal(signal.SIGTERM)
    _, stderr = serving.communicate(timeout=60)
    assert serving.returncode == 143
    assert "listening to every machine that reaches this one, see SECURITY.md" in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize("flag", ["port", "worker_port"])
def test_what_is_no_port(flag):
    process = subprocess.run(
        [sys.executable, "tools/data_service.py", f"--{flag}=65536"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode == 64
    assert process.stderr.startswith(f"ERROR 64: {flag} must be from 0 to 65535, got 65536 | ")


def test_a_port_that_is_taken(serving):
    port = json.loads(serving.stdout.readline())["address"].rpartition(":")[2]
    process = subprocess.run(
        [sys.executable, "tools/data_service.py", f"--port={port}"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode == 64 and process.stdout == ""
    assert "ERROR 64: [Errno 98] Address already in use | --port | give another" in process.stderr
