"""tools/verify_scaling.py as its users run it."""

import json
import re

import forked
import pytest

MICRO = ("--model_options=depth=8,width_multiplier=0.25", "--batch_size=8", "--updates=2")


def test_two_devices_make_the_update_of_one(script, tmp_path):
    model_dir = tmp_path / "run"
    process = script(
        "tools/verify_scaling.py", "--devices=cpu:2", f"--model_dir={model_dir}", *MICRO
    )
    assert process.returncode == 0, process.stderr
    (event,) = map(json.loads, process.stdout.splitlines())
    assert event["event"] == "verify_scaling" and event["ok"] is True and event["reason"] == ""
    assert (event["replicas"], event["statistics"]) == (2, "local")
    assert event["compared_with"] == "shares" and event["largest"] < 1e-6
    assert [update["step"] for update in event["updates"]] == [1, 2]
    for update in event["updates"]:
        assert update["shares"]["largest"] < 1e-6 and update["shares"]["loss"] < 1e-6
        assert update["whole_batch"]["largest"] > 0.01
    first, *updates, last = process.stderr.splitlines()
    assert first == "2 x CPU, 8 examples a step"
    assert all(
        re.match(rf"update {n}: from one device with shares: .*; with whole batch: ", line)
        for n, line in enumerate(updates, start=1)
    )
    assert last.startswith("2 replicas give the update of one, largest difference ")
    assert not list(tmp_path.iterdir())


def test_what_is_out_of_bounds_ends_with_76_after_its_event(script, tmp_path):
    """With bounds that nothing is in, from a module that Python loads before the script."""
    (tmp_path / "sitecustomize.py").write_text(
        "from resnet_tf.training import scaling\nscaling._WITHIN = -1\n"
    )
    flags = ("--devices=cpu:2", "--nowhole_batch", *MICRO[:2], "--updates=1")
    path = f"{tmp_path}:{forked.ROOT}"
    process = script("tools/verify_scaling.py", *flags, PYTHONPATH=path)
    assert process.returncode == 76, process.stderr
    (event,) = map(json.loads, process.stdout.splitlines())
    assert event["ok"] is False and list(event["updates"][0]) == ["step", "shares"]
    error = process.stderr.splitlines()[-1]
    assert error.startswith("ERROR 76: 2 replicas do not make the update of one device: ")
    assert event["reason"] in error and " | --devices | see whether --devices=cpu:2" in error


MISTAKES = [
    (["--devices=cpu"], 64, "devices must name two or more, since one is compared with the others,"
                            " got 1 x CPU | --devices"),
    (["--devices=gpu:0,1"], 64, "TensorFlow sees 0 GPUs, fewer than are asked for"),
    (["--devices=cpu:2", "--require_gpus=8"], 64, "TensorFlow sees 0 GPUs, "),
    (["--devices=cpu:2", "--updates=0"], 64, "updates must be 1 or more, got 0 | --updates"),
    (["--devices=cpu:2", "--batch_size=3"], 64, "must be a multiple of the 2 devices, got 3"),
    (["--devices=cpu:2", "--data_dir=/nonexistent"], 66, "the data directory does not exist"),
    (["--devices=two"], 64, "devices must be auto, cpu, cpu:N, gpu:all or gpu:0,1, got 'two'"),
]  # fmt: skip


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory):
    calls = [("tools/verify_scaling.py", *flags) for flags, _, _ in MISTAKES]
    return forked.run_all(calls, tmp_path_factory.mktemp("outputs"))


@pytest.mark.parametrize("number", range(len(MISTAKES)), ids=lambda i: str(MISTAKES[i][0]))
def test_a_mistake_is_one_line(mistakes, number):
    _, code, message = MISTAKES[number]
    found, stdout, stderr = mistakes[number]
    assert found == code and stdout == ""
    assert stderr.startswith(f"ERROR {code}: ") and message in stderr and stderr.count("\n") == 1
