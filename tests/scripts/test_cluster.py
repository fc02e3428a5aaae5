"""train.py in several processes: one run, one writer, one stop, the records of one process."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

from resnet_tf import checkpoint, input
from resnet_tf.distribution import Cluster, meet
from resnet_tf.distribution.launcher import free_ports
from resnet_tf.input import Order
from resnet_tf.reporting import steps

import tensorflow as tf  # isort: skip

ROOT = pathlib.Path(__file__).resolve().parents[2]
MICRO = (
    "--model=cifar_resnet", "--model_options=depth=8,width_multiplier=0.25", "--batch_size=32",
    "--save_every_steps=10", "--eval_every_steps=20", "--warmup=2", "--devices=cpu", "--keep=9",
    "--intra_op_threads=1", "--inter_op_threads=1", "--schedule=constant",
)  # fmt: skip


def run(*command, **environment):
    process = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=600,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return [json.loads(line) for line in process.stdout.splitlines()], process.stderr


STEPS = "--steps=60"  # beyond the end of an epoch, which no batch ends with


def launched(model_dir, *of_the_launcher, workers=2, flags=(), **environment):
    return run(
        "tools/launch.py", f"--workers={workers}", *of_the_launcher, "--", sys.executable,
        "train.py", f"--model_dir={model_dir}", *MICRO, STEPS, "--sync_batch_norm", *flags,
        **environment,
    )  # fmt: skip


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    model_dir = tmp_path_factory.mktemp("runs") / "together"
    return model_dir, launched(model_dir)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    model_dir = tmp_path_factory.mktemp("runs") / "alone"
    return model_dir, run("train.py", f"--model_dir={model_dir}", *MICRO, STEPS)


def assert_same_examples(model_dir, alone, columns=("order", "pictures", "learning_rate")):
    rows, others = steps.read(model_dir), steps.read(alone[0])
    assert len(rows) == 60
    for column in columns:
        assert [row[column] for row in rows] == [row[column] for row in others]
    return [[float(row["loss"]) for row in each] for each in (rows, others)]


def test_two_processes_are_one_run(together, alone):
    """# fault F13, F14, F15"""
    model_dir, (events, stderr) = together
    assert [(e["event"], e.get("step")) for e in events] == [
        (e["event"], e.get("step")) for e in alone[1][0]
    ]
    assert events[-1]["eval"]["examples"] == 360
    losses = assert_same_examples(model_dir, alone)
    # The same update but for rounding, which grows: statistics are those of the whole batch.
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-6)
    assert losses[0][:10] == pytest.approx(losses[1][:10], rel=1e-4)
    assert stderr.count("done: ") == 1 and "[1]" not in stderr and "ERROR" not in stderr
    left = {path.name for path in model_dir.iterdir()}
    assert left <= {"checkpoints", "journal.jsonl", "steps.csv", "report.html", "tensorboard"}
    assert len(list((model_dir / "checkpoints").iterdir())) == 6
    again, stderr = launched(model_dir)
    assert again[-1] == events[-1] and "already complete at step 60" in stderr


@pytest.mark.parametrize("workers", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_more_processes(tmp_path, workers):
    model_dir = tmp_path / "run"
    events, _ = launched(model_dir, workers=workers, flags=BATCH_OF_3)
    assert events[-1]["eval"]["examples"] == 360
    order = Order((input.Manifest.load(ROOT / "data/digits").records("train"),), 0)
    for step, row in enumerate(steps.read(model_dir)):
        ids = order.at(step * 24 + tf.range(24, dtype=tf.int64))[0].numpy()
        assert int(row["order"]) == fingerprint(ids.tolist())
    killed, _ = launched(
        tmp_path / "killed", "--max_restarts=3", workers=workers, flags=BATCH_OF_3,
        RESNET_TF_FAULT="step:5", RESNET_TF_TESTING="1",
    )  # fmt: skip
    assert killed[-1]["digest"] == events[-1]["digest"]


def fingerprint(ids):
    """The sum of (2i + 1) · 0x9E3779B97F4A7C15 · id i, modulo 2^64, as the signed number."""
    total = sum((2 * i + 1) * 0x9E3779B97F4A7C15 * record for i, record in enumerate(ids)) % 2**64
    return total - 2**64 if total >= 2**63 else total


BATCH_OF_3 = ("--batch_size=24",)  # which 3 and 4 can share


@pytest.mark.parametrize("counts", [(2, 1, 2), pytest.param((1, 2, 4), marks=pytest.mark.slow)])
def test_a_run_goes_on_in_another_number_of_processes(tmp_path, alone, counts):
    """# fault F12"""
    model_dir = tmp_path / "run"
    for workers, last in zip(counts, (20, 40, 60)):
        command = ["train.py", f"--model_dir={model_dir}", *MICRO, STEPS, "--sync_batch_norm",
                   "--allow_change=steps", f"--steps={last}"]  # fmt: skip
        if workers > 1:
            command = ["tools/launch.py", f"--workers={workers}", "--", sys.executable, *command]
        events, stderr = run(*command)
        assert events[-1]["step"] == last
        assert ("not bit-exact from here on: devices" in stderr) == (last > 20)
    losses = assert_same_examples(model_dir, alone, columns=("order", "pictures"))
    # Other sums of float32, whose differences grow; a wrong scale or share would show at once.
    assert losses[0][:10] == pytest.approx(losses[1][:10], rel=1e-4)


def test_killed_and_started_again_it_ends_in_the_same_bits(together, tmp_path):
    """# fault F8"""
    events, stderr = launched(
        tmp_path / "run", "--max_restarts=3", flags=["--all_reduce=ring"],
        RESNET_TF_FAULT="step:3", RESNET_TF_TESTING="1",
    )  # fmt: skip
    assert events[-1]["digest"] == together[1][0][-1]["digest"]
    assert "by SIGKILL" in stderr and "resumed from step 20" in stderr


def two(model_dir, *flags, of_the_second=()):
    workers = ",".join(f"127.0.0.1:{port}" for port in free_ports(2))
    return [
        subprocess.Popen(
            [sys.executable, "train.py", f"--model_dir={model_dir}", *MICRO, *flags,
             f"--workers={workers}", f"--task={task}", *(of_the_second if task else ())],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for task in range(2)
    ]  # fmt: skip


def wait_for_a_step(model_dir, processes):
    while len(steps.read(model_dir)) < 15:  # so that one is committed
        assert all(process.poll() is None for process in processes)
        time.sleep(0.05)


def ended(processes):
    try:
        said = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], [err for _, err in said]


@pytest.mark.parametrize("victim", [0, 1])
def test_a_signal_to_one_stops_all_at_one_step(tmp_path, victim):
    """# fault F7"""
    processes = two(tmp_path / "run", "--steps=1000000")
    wait_for_a_step(tmp_path / "run", processes)
    processes[victim].send_signal(signal.SIGTERM)
    codes, said = ended(processes)
    assert codes == [143, 143], said
    step = checkpoint.find(tmp_path / "run").step
    where = f"at step {step}, which is committed | {tmp_path}/run/checkpoints/step_{step:09d} | "
    assert all(where in err for err in said)
    assert not (tmp_path / "run/lock").exists()


def test_a_signal_while_they_evaluate(tmp_path):
    """Nearly all of the time: each of 20 steps is evaluated. All stop at one place, or none."""
    processes = two(tmp_path / "run", "--steps=20", "--eval_every_steps=1", "--eval_batch_size=2",
                    "--save_every_steps=1")  # fmt: skip
    while not (tmp_path / "run/checkpoints/step_000000001").exists():
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGTERM)
    codes, said = ended(processes)
    assert codes in ([143, 143], [0, 0]), said
    if codes[0]:
        step = checkpoint.find(tmp_path / "run").step
        assert all(f"at step {step}, which is committed" in err for err in said)


@pytest.mark.parametrize("victim", [0, 1])
def test_when_one_is_killed_the_other_ends_and_says_so(tmp_path, victim):
    """# fault F1, F2"""
    processes = two(tmp_path / "run", "--steps=1000000")
    wait_for_a_step(tmp_path / "run", processes)
    processes[victim].kill()
    codes, said = ended(processes)
    assert (codes[victim], codes[1 - victim]) == (-signal.SIGKILL, 70), said
    last = said[1 - victim].splitlines()[-1]
    assert last.startswith("ERROR 70: another process is gone, or cannot be reached: ")
    assert "Traceback" not in said[1 - victim]
    assert checkpoint.find(tmp_path / "run").step % 10 == 0


def test_one_that_is_stopped_ends_all(tmp_path):
    """# fault F6: the others' watchdog, or TensorFlow's heartbeat, ends them."""
    processes = two(tmp_path / "run", "--steps=1000000", "--step_timeout=20")
    wait_for_a_step(tmp_path / "run", processes)
    processes[1].send_signal(signal.SIGSTOP)
    assert processes[0].wait(120) == 70
    processes[1].kill()
    codes, said = ended(processes)
    assert codes == [70, -signal.SIGKILL]
    assert "ERROR 70: " in said[0]
    assert checkpoint.find(tmp_path / "run").step % 10 == 0


def test_a_record_that_one_process_cannot_use(tmp_path):
    """# fault F11"""
    data = shutil.copytree(ROOT / "data/digits", tmp_path / "data")
    (shard,) = data.glob("train-*")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    process = subprocess.run(
        [sys.executable, "tools/launch.py", "--workers=2", "--", sys.executable, "train.py",
         f"--model_dir={tmp_path}/run", *MICRO, STEPS, f"--data_dir={data}", "--reader=indexed"],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert process.returncode == 65, process.stderr
    lines = [line for line in process.stderr.splitlines() if "ERROR" in line]
    assert "ERROR 65: the record fails its checksum" in lines[0]
    assert "ended first, with code 65" in process.stderr and "Traceback" not in process.stderr


@pytest.mark.parametrize("what", ["--seed", "evaluation data"])
def test_processes_that_do_not_agree(tmp_path, what):
    """# fault F9"""
    other = {"--seed": "--seed=5", "evaluation data": f"--data_dir={tmp_path}/data"}[what]
    data = shutil.copytree(ROOT / "data/digits", tmp_path / "data")
    told = json.loads((data / "dataset.json").read_text())
    told["splits"]["test"] = told["splits"]["train"]
    (data / "dataset.json").write_text(json.dumps(told))
    codes, said = ended(two(tmp_path / "run", "--steps=20", of_the_second=(other,)))
    assert codes == [78, 78], said
    for err in said:
        assert f"ERROR 78: the processes do not agree on {what}" in err and "Traceback" not in err
    assert not (tmp_path / "run/checkpoints").exists()


def test_a_stop_whose_commit_fails_is_called_committed_by_nobody(tmp_path):
    """The disk is full when all are asked to stop: the code is that of the disk. # fault F7"""
    process = subprocess.Popen(
        [sys.executable, "tools/launch.py", "--workers=2", "--max_restarts=2", "--", sys.executable,
         "train.py", f"--model_dir={tmp_path}/run", *MICRO, "--steps=1000000",
         "--save_every_steps=1000000"],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "RESNET_TF_FAULT": "save.begin:1:full", "RESNET_TF_TESTING": "1"},
    )  # fmt: skip
    while len(steps.read(tmp_path / "run")) < 5:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    (code,), (said,) = ended([process])
    assert code == 74, said
    assert "[0] ERROR 74: saving step" in said and "No space left on device" in said
    assert "[1] ERROR 74: process 0 could not commit step" in said
    assert "which is committed" not in said and "starting again" not in said


def test_a_directory_in_use_is_named_before_anybody_waits(tmp_path):
    (tmp_path / "run").mkdir()
    lock = checkpoint.Lock(tmp_path / "run")
    process = subprocess.run(
        [sys.executable, "tools/launch.py", "--workers=2", "--grace=0", "--", sys.executable,
         "train.py", f"--model_dir={tmp_path}/run", *MICRO, STEPS],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    lock.release()
    assert process.returncode == 77 and "[0] ERROR 77: the model directory is locked by host" in (
        process.stderr
    )
    assert "Timeout" not in process.stderr  # nobody was left to be joined


@pytest.mark.parametrize("flag", ["--dry_run", "--find_lr"])
def test_what_tries_a_run_is_for_one_process(flag):
    process = subprocess.run(
        [sys.executable, "train.py", flag, "--workers=127.0.0.1:1,127.0.0.1:2", "--task=0"],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert process.returncode == 64, process.stderr
    assert process.stderr.startswith(f"ERROR 64: {flag[2:]} is for one process")


@pytest.mark.parametrize(
    "flags",
    [
        ["--on_nonfinite=rollback"],
        ["--bad_records=skip"],
        ["--devices=cpu:2"],
        ["--model_dir=file:///nonexistent/run"],
    ],
)
def test_what_is_for_one_process(tmp_path, flags):
    process = subprocess.run(
        [sys.executable, "train.py", f"--model_dir={tmp_path}/run", *MICRO, *flags,
         "--workers=127.0.0.1:1,127.0.0.1:29431", "--task=1"],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert process.returncode == 64 and "is for one process" in process.stderr


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_what_is_no_time_to_wait(seconds):
    process = subprocess.run(
        [sys.executable, "train.py", "--workers=127.0.0.1:1,127.0.0.1:2", "--task=1",
         f"--start_timeout={seconds}"],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert process.returncode == 64
    assert process.stderr.startswith("ERROR 64: start_timeout must be above 0 and finite, got ")


def test_one_that_goes_away_before_all_are_joined(tmp_path):
    """It meets the other, and is then no more; TensorFlow would wait for an hour, deaf."""
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(2))
    process = subprocess.Popen(
        [sys.executable, "train.py", f"--model_dir={tmp_path}/run", *MICRO, STEPS,
         f"--workers={','.join(addresses)}", "--task=0", "--start_timeout=15"],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    meet(Cluster(addresses, 1, "here", start_timeout=300), lambda sentence: None)
    (code,), (said,) = ended([process])
    assert code == -signal.SIGALRM and "Timeout (0:00:15)!" in said
    assert not (tmp_path / "run").exists()
