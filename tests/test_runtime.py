"""Process set-up, each case in a fresh process, since most of it happens once."""

import ctypes
import os
import subprocess
import sys

import pytest

from resnet_tf import runtime

OURS = ("TF_ENABLE_ONEDNN_OPTS", "TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE", "TF_CPP_MIN_LOG_LEVEL")


def python(code, **environment):
    clean = {k: v for k, v in os.environ.items() if k not in OURS}
    process = subprocess.run(
        [sys.executable, "-c", code], env={**clean, **environment}, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    return process


ONEDNN = (
    "import os, resnet_tf; print(os.environ.get('TF_ENABLE_ONEDNN_OPTS'),"
    " os.environ.get('TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE'))"
)


def test_onednn_is_on_and_tensorflow_is_not_loaded():
    process = python(ONEDNN + "; import sys; print('tensorflow' in sys.modules)")
    assert process.stdout.split() == ["1", "0", "False"] and process.stderr == ""


def test_onednn_stays_as_the_user_has_set_it():
    chosen = {"TF_ENABLE_ONEDNN_OPTS": "0", "TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE": "1"}
    assert python(ONEDNN, **chosen).stdout.split() == ["0", "1"]


LATE = """
import sys, types
sys.modules["tensorflow"] = types.ModuleType("tensorflow")  # as if it were there first
import resnet_tf, os
resnet_tf.runtime.prepare()
print(os.environ.get("TF_ENABLE_ONEDNN_OPTS"))
"""


def test_a_tensorflow_that_came_first_is_said_once():
    process = python(LATE)
    assert process.stdout.split() == ["None"]
    assert process.stderr.count("TensorFlow was imported before resnet_tf") == 1


def test_a_tensorflow_that_came_first_is_not_said_where_the_user_has_chosen():
    assert python(LATE, TF_ENABLE_ONEDNN_OPTS="1").stderr == ""


def test_configured_threads_and_logical_devices_without_a_line_of_log():
    process = python(
        "from resnet_tf import runtime\n"
        "runtime.configure(logical_cpus=3, intra_op_threads=2, inter_op_threads=1)\n"
        "import tensorflow as tf\n"
        "found = runtime.describe()\n"
        "print(len(tf.config.list_logical_devices('CPU')), found['intra_op_threads'],"
        " found['inter_op_threads'], found['onednn'])\n"
    )
    assert process.stdout.split() == ["3", "2", "1", "1"] and process.stderr == ""


def test_the_user_may_have_all_logs():
    code = "from resnet_tf import runtime; runtime.configure()"
    assert "oneDNN" in python(code, TF_CPP_MIN_LOG_LEVEL="0").stderr


def test_what_is_not_noise_is_let_through():
    process = python(
        "import os\nfrom resnet_tf import runtime\n"
        "with runtime._quiet_start():\n"
        "    os.write(2, b'I0000 chatter\\nthe disk is on fire\\n')\n"
    )
    assert process.stderr == "the disk is on fire\n"


@pytest.fixture
def libc(monkeypatch):
    """Stands in for the C library and records the calls of mallopt."""
    calls = []

    class Library:
        gnu_get_libc_version = True

        @staticmethod
        def mallopt(option, value):
            calls.append((option, value))
            return 1

    monkeypatch.delenv("RESNET_TF_MALLOPT", raising=False)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library)
    monkeypatch.setattr(sys, "platform", "linux")
    return Library, calls


def test_the_allocator_is_told_to_keep_memory(libc):
    assert runtime.keep_freed_memory() is True
    assert libc[1] == [(-4, 0), (-1, 2**31 - 1)]


def test_the_allocator_may_be_left_alone(libc, monkeypatch):
    monkeypatch.setenv("RESNET_TF_MALLOPT", "0")
    assert runtime.keep_freed_memory() is False and libc[1] == []


def test_nothing_happens_on_macos(libc, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert runtime.keep_freed_memory() is False and libc[1] == []


def test_nothing_happens_on_musl(libc):
    del libc[0].gnu_get_libc_version
    assert runtime.keep_freed_memory() is False and libc[1] == []


def test_an_allocator_that_refuses_is_reported(libc):
    libc[0].mallopt = staticmethod(lambda option, value: 0)
    assert runtime.keep_freed_memory() is False
