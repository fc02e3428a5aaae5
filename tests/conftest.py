"""Shared by all tests: one TensorFlow with two logical CPUs, one strategy, no cache outside."""

import os
import pathlib
import subprocess
import sys

import pytest

from resnet_tf import runtime

ROOT = pathlib.Path(__file__).resolve().parent.parent

runtime.configure(logical_cpus=2)


@pytest.fixture(autouse=True, scope="session")
def _cache_in_a_temporary_directory(tmp_path_factory):
    os.environ["RESNET_TF_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    del os.environ["RESNET_TF_CACHE"]


@pytest.fixture(scope="session")
def two_replicas():
    """The only strategy of this process; one replica is tested without any."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])


@pytest.fixture(scope="session")
def digits():
    """The manifest of the embedded data set."""
    from resnet_tf.input import Manifest

    return Manifest.load(ROOT / "data" / "digits")


@pytest.fixture
def script():
    """Runs a script of the project in a fresh process and waits for its end."""

    def run(name, *arguments, cwd=ROOT, **environment):
        return subprocess.run(
            [sys.executable, str(ROOT / name), *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=600,
        )

    return run
