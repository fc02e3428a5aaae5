"""train.py and eval.py as their users run them, each in a fresh process."""

import fcntl
import json
import os
import pathlib
import pty
import resource
import shutil
import signal
import struct
import subprocess
import sys
import termios

import forked
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MICRO = (
    "--model_options=depth=8,width_multiplier=0.25", "--steps=12", "--batch_size=8",
    "--save_every_steps=4", "--eval_every_steps=8", "--log_every_steps=5", "--warmup=2",
)  # fmt: skip


def events(process):
    """stdout must be JSON lines and nothing else."""
    return [json.loads(line) for line in process.stdout.splitlines()]


def snapshot(directory):
    """Everything that a run that does nothing must leave as it is."""
    return {
        str(path.relative_to(directory)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted(directory.rglob("*"))
    }


def copy(directory, to):
    return pathlib.Path(shutil.copytree(directory, to))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A micro run from start to end, undisturbed."""
    # Brackets: TensorFlow's own reader takes a path for a pattern.
    model_dir = tmp_path_factory.mktemp("runs") / "a run [undisturbed] é"
    process = subprocess.run(
        [sys.executable, ROOT / "train.py", f"--model_dir={model_dir}", *MICRO],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return model_dir, events(process), process.stderr


def test_a_run_says_what_the_contract_says(finished):
    """# fault H13"""
    model_dir, lines, stderr = finished
    done = lines[-1]
    assert done["event"] == "done" and done["step"] == 12 and done["examples_seen"] == 96
    assert done["epoch"] == round(96 / 1437, 4)
    assert done["eval"]["split"] == "test" and done["eval"]["examples"] == 360
    assert done["eval"]["top1"] == round(done["eval"]["correct_top1"] / 360, 6)
    assert done["checkpoint"] == str(model_dir / "checkpoints" / "step_000000012")
    manifest = json.loads((pathlib.Path(done["checkpoint"]) / "manifest.json").read_text())
    assert done["digest"] == manifest["digest"] and len(done["digest"]) == 64
    assert manifest["classes"] == [str(digit) for digit in range(10)]
    assert [(e["event"], e["step"]) for e in lines] == [
        ("start", 0), ("save", 4), ("train", 5), ("save", 8), ("eval", 8), ("train", 10),
        ("train", 12), ("save", 12), ("eval", 12), ("goodput", 12), ("done", 12),
    ]  # fmt: skip
    journal = (model_dir / "journal.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in journal] == lines
    assert sorted(p.name for p in (model_dir / "checkpoints").iterdir()) == [
        "step_000000004", "step_000000008", "step_000000012"]  # fmt: skip
    assert "step 10/12: loss" in stderr and "img/s" in stderr and "input wait" in stderr
    assert "WARNING" not in stderr and "oneDNN" not in stderr and "Traceback" not in stderr


@pytest.mark.parametrize("streams", ["stdout", "stdout stderr"])
def test_logs_that_cannot_be_written_cost_no_run(finished, tmp_path, streams):
    """# fault B8, H11"""
    model_dir, lines, _ = finished
    with open("/dev/full", "w") as full:
        told = dict.fromkeys(streams.split(), full) | {"cwd": ROOT, "text": True, "timeout": 600}
        said = {} if "stderr" in streams else {"stderr": subprocess.PIPE}
        process = subprocess.run(
            [sys.executable, ROOT / "train.py", f"--model_dir={tmp_path}/run", *MICRO],
            **told, **said,
        )  # fmt: skip
        assert process.returncode == 0
        if said:
            assert "stdout cannot be written: " in process.stderr
            assert process.stderr.count("the journal has it all") == 1
        journal = (tmp_path / "run/journal.jsonl").read_text().splitlines()
        assert json.loads(journal[-1])["digest"] == lines[-1]["digest"]
        process = subprocess.run(
            [sys.executable, ROOT / "eval.py", f"--checkpoint={model_dir}"], **told, **said
        )
        assert process.returncode == 74  # here nothing else has it


def test_the_same_command_again_says_it_is_complete_and_changes_nothing(finished, script):
    """# fault G8"""
    model_dir, lines, _ = finished
    before = snapshot(model_dir)
    process = script("train.py", f"--model_dir={model_dir}", *MICRO)
    assert process.returncode == 0
    assert "already complete at step 12" in process.stderr
    assert events(process) == [lines[-1]]
    assert snapshot(model_dir) == before


def test_killed_after_a_commit_and_run_again_ends_in_the_same_bits(finished, script, tmp_path):
    """# fault A1"""
    command = [sys.executable, str(ROOT / "train.py"), f"--model_dir={tmp_path}/run", *MICRO]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    for line in process.stdout:
        if json.loads(line)["event"] == "save":
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    # What a kill in the middle of the next save and of a line would leave.
    (tmp_path / "run/checkpoints/step_000000008.tmp-0123abcd").mkdir()
    with open(tmp_path / "run/journal.jsonl", "a") as journal:
        journal.write('{"event": "tr')
    again = script("train.py", f"--model_dir={tmp_path}/run", *MICRO)
    assert again.returncode == 0 and "resumed from step" in again.stderr
    assert events(again)[-1]["digest"] == finished[1][-1]["digest"]
    steps = [json.loads(line) for line in (tmp_path / "run/journal.jsonl").open()]
    assert [e["step"] for e in steps if e["event"] == "save"] == [4, 8, 12]
    assert not list((tmp_path / "run/checkpoints").glob("*.tmp-*"))


def _heeds_signals():
    """A test run in the background of a shell, or under nohup, ignores some, as its children do."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("name", "code", "send"),
    [("SIGINT", 130, os.kill), ("SIGTERM", 143, os.kill), ("SIGHUP", 143, os.killpg)],
)
def test_a_signal_commits_the_step_that_is_reached(name, code, send, tmp_path):
    """# fault B1, B4, B6, B7: the last one goes to the whole group, as a lost terminal's does."""
    command = [sys.executable, str(ROOT / "train.py"), f"--model_dir={tmp_path}/run", *MICRO[1:]]
    process = subprocess.Popen(
        [*command, "--steps=100000"], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=_heeds_signals,
        start_new_session=True,
    )  # fmt: skip
    for line in process.stdout:
        if json.loads(line)["event"] == "save":
            break
    send(process.pid, getattr(signal, name))
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == code and "Traceback" not in stderr
    newest = max((tmp_path / "run/checkpoints").iterdir())
    assert stderr.splitlines()[-1] == (
        f"ERROR {code}: stopped by {name} at step {int(newest.name[5:])}, which is committed"
        f" | {newest} | the same command goes on"
    )
    assert not (tmp_path / "run/lock").exists()


def test_killed_while_it_saves_because_of_a_signal(script, tmp_path):
    """# fault B5: SIGTERM, and SIGKILL before the commit that it asks for is finished."""
    flags = [f"--model_dir={tmp_path}/run", "--schedule=constant", *MICRO, "--save_every_steps=0"]
    assert script("train.py", *flags, "--steps=4").returncode == 0
    fault = {"RESNET_TF_FAULT": "save.rename:1", "RESNET_TF_TESTING": "1"}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *flags, "--steps=100000"],
        cwd=ROOT, text=True, env=os.environ | fault,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for line in process.stdout:
        if json.loads(line)["event"] == "train":
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "run/checkpoints").glob("*.tmp-*"))) == 1
    again = script("train.py", *flags, "--steps=6")
    assert again.returncode == 0 and "resumed from step 4" in again.stderr
    assert events(again)[-1]["step"] == 6
    left = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())
    assert left == ["step_000000004", "step_000000006"]


def test_64_open_files_are_enough(tmp_path):
    """# fault P4"""
    process = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), f"--model_dir={tmp_path}/run", *MICRO],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert events(process)[-1]["step"] == 12


def test_time_that_is_up_before_the_first_step(script, tmp_path):
    process = script("train.py", f"--model_dir={tmp_path}/run", "--max_runtime=0.01")
    assert process.returncode == 75 and not (tmp_path / "run").exists()
    assert "ERROR 75: stopped by --max_runtime before it had begun" in process.stderr


def test_a_damaged_commit_is_set_aside_and_the_one_before_is_used(finished, script, tmp_path):
    model_dir = copy(finished[0], tmp_path / "run")
    data = model_dir / "checkpoints/step_000000012/variables.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    process = script("train.py", f"--model_dir={model_dir}", *MICRO)
    assert process.returncode == 0
    assert "step_000000012 is damaged" in process.stderr
    assert events(process)[0]["step"] == 8
    assert events(process)[-1]["digest"] == finished[1][-1]["digest"]
    assert len(list((model_dir / "checkpoints").glob("step_000000012.corrupt-*"))) == 1


def test_killed_before_the_final_evaluation_only_evaluates(finished, script, tmp_path):
    model_dir = copy(finished[0], tmp_path / "run")
    lines = [line for line in finished[1] if line["event"] not in ("eval", "goodput", "done")]
    (model_dir / "journal.jsonl").write_text("".join(json.dumps(e) + "\n" for e in lines))
    process = script("train.py", f"--model_dir={model_dir}", *MICRO)
    assert process.returncode == 0
    assert [e["event"] for e in events(process)] == ["start", "eval", "goodput", "done"]
    done, original = events(process)[-1], finished[1][-1]
    assert (done["digest"], done["eval"]) == (original["digest"], original["eval"])


@pytest.mark.parametrize("damage, code, message", [
    ("all", 78, "none of the 3 commits can be used"),
    ("--model_options=,--model=cifar_resnet20", 78, "model cifar_resnet and not cifar_resnet20"),
    ("--model_options=depth=14", 78,
     "options {'depth': 8, 'width_multiplier': 0.25} and not {'depth': 14}"),
    ("--learning_rate=0.2", 78, "--learning_rate=0.1 and not 0.2"),
    ("--image_size=16", 78, "--image_size=0 and not 16"),
    ("--train_split=test", 78, "--train_split=train and not test"),
    ("--data_dir=OTHER", 78, "trained on other classes"),
])  # fmt: skip
def test_what_is_not_the_same_run_is_refused(finished, script, tmp_path, damage, code, message):
    """# fault G1"""
    model_dir = copy(finished[0], tmp_path / "run")
    flags = list(MICRO)
    if damage == "all":
        for manifest in model_dir.glob("checkpoints/*/manifest.json"):
            manifest.write_text("{}")
    elif damage == "--data_dir=OTHER":
        other = copy(ROOT / "data/digits", tmp_path / "data")
        renamed = (other / "dataset.json").read_text().replace('"7",', '"seven",')
        (other / "dataset.json").write_text(renamed)
        flags.append(f"--data_dir={other}")
    else:
        flags += damage.replace(",--", " --").split()
    before = snapshot(model_dir)
    process = script("train.py", f"--model_dir={model_dir}", *flags)
    first = process.stderr.splitlines()[0]
    assert process.returncode == code and first.startswith(f"ERROR {code}: ")
    assert message in first and first.count(" | ") == 2 and "Traceback" not in process.stderr
    assert snapshot(model_dir) == before


def test_fewer_steps_than_there_are_is_refused_and_more_go_on(finished, script, tmp_path):
    """# fault G9"""
    flags = ["--schedule=constant", *MICRO]
    first = script("train.py", f"--model_dir={tmp_path}/run", *flags, "--steps=4")
    assert first.returncode == 0
    fewer = script("train.py", f"--model_dir={tmp_path}/run", *flags, "--steps=2")
    assert fewer.returncode == 64
    assert "has 4 steps already, more than 2" in fewer.stderr
    more = script("train.py", f"--model_dir={tmp_path}/run", *flags, "--steps=6")
    assert more.returncode == 0 and events(more)[-1]["step"] == 6
    straight = script("train.py", f"--model_dir={tmp_path}/straight", *flags, "--steps=6")
    assert events(more)[-1]["digest"] == events(straight)[-1]["digest"]


def test_a_run_goes_on_with_another_number_of_devices_and_says_what_that_means(
    finished, script, tmp_path
):
    model_dir = copy(finished[0], tmp_path / "run")
    for name in ("journal.jsonl", "checkpoints/step_000000012", "checkpoints/step_000000008"):
        path = model_dir / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    flags = [*MICRO, "--devices=cpu:2"]
    process = script("train.py", f"--model_dir={model_dir}", *flags)
    assert process.returncode == 0, process.stderr
    assert "not bit-exact from here on: " in process.stderr
    assert "devices 2 x CPU and not 1 x CPU" in process.stderr
    lines = events(process)
    assert lines[0]["step"] == 4 and lines[-1]["examples_seen"] == 96


def test_how_the_work_is_cut_up_does_not_change_the_bits(finished, script, tmp_path):
    (tmp_path / "flags").write_text("--steps_per_call=1\n--keep=1\n--eval_batch_size=50\n")
    flags = [*MICRO, "--examples=96", "--save_every_steps=3", f"--flagfile={tmp_path}/flags"]
    flags.remove("--steps=12")
    process = script("train.py", f"--model_dir={tmp_path}/run", *flags)
    assert process.returncode == 0, process.stderr
    done, original = events(process)[-1], finished[1][-1]
    assert (done["step"], done["digest"]) == (12, original["digest"])
    assert done["eval"]["correct_top1"] == original["eval"]["correct_top1"]
    assert len(list((tmp_path / "run/checkpoints").iterdir())) == 1


def test_ops_of_which_determinism_is_asked_do_not_refuse_to_run(script, tmp_path):
    """As on GPUs, where it is always asked; and equal bits come of it."""
    runs = [
        script("train.py", f"--model_dir={tmp_path}/{number}", *MICRO, TF_DETERMINISTIC_OPS="1")
        for number in range(2)
    ]
    assert all(run.returncode == 0 for run in runs), runs[0].stderr
    assert len({events(run)[-1]["digest"] for run in runs}) == 1
    waits = [e["input_wait_share"] for e in events(runs[0]) if e["event"] == "train"]
    assert waits and all(0 <= wait <= 1 for wait in waits)


def test_a_reader_of_stdout_that_goes_away_does_not_stop_the_run(tmp_path):
    """# fault B8"""
    command = f"{sys.executable} train.py --model_dir={tmp_path}/run {' '.join(MICRO)} | head -n1"
    process = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout)["event"] == "start"
    assert '"done"' in (tmp_path / "run/journal.jsonl").read_text()


def test_complete_but_asked_for_another_split_evaluates_that_one(finished, script, tmp_path):
    model_dir = copy(finished[0], tmp_path / "moved")
    process = script("train.py", f"--model_dir={model_dir}", *MICRO, "--eval_split=train")
    done = events(process)[-1]
    assert process.returncode == 0
    assert done["eval"]["split"] == "train" and done["eval"]["examples"] == 1437
    assert done["checkpoint"] == str(model_dir / "checkpoints/step_000000012")
    assert done["digest"] == finished[1][-1]["digest"]


BAD = [
    (["--recipe=digit"], 64, "no recipe is called 'digit' | --recipe | choose digits"),
    (["--btch_size=3"], 64, "Unknown command line flag 'btch_size'. Did you mean: batch_size ?"),
    (["--batch_size=0"], 64, "batch_size must be 1 or more, got 0 | --batch_size"),
    (["--batch_size=ten"], 64, "flag --batch_size=ten"),
    (["stray"], 64, "unexpected argument 'stray'"),
    (["--schedule=linear"], 64, "schedule must be constant, step, piecewise, exponential, poly"),
    (["--model_options=depth"], 64, "model_options must be name=value,name=value, got 'depth'"),
    (["--schedule=step", "--factors=1,x"], 64, "factors must be numbers, got 1,x"),
    (["--devices=tpu"], 64, "devices must be auto, cpu, cpu:N, gpu:all or gpu:0,1, got 'tpu'"),
    (["--devices=gpu:7"], 64, "TensorFlow sees 0 GPUs, fewer than are asked for | --devices"),
    (["--devices=cpu:3"], 64, "batch_size must be a multiple of the 3 devices, got 32"),
    (["--data_dir=/nonexistent"], 66, "the data directory does not exist | /nonexistent"),
    (["--data_dir=tests"], 66, "the data directory has no dataset.json | tests"),
    (["--model=vgg"], 64, "cannot build vgg: no network is called 'vgg'"),
    (["--std=0.2,0.2,0.2"], 64, "std must be in pixel units, 255 times"),
    (["--eval_shorter_side=4"], 64, "shorter_side must be 8 or more, got 4"),
    (["--model_options=depth=8,seed=3"], 64, "cannot have seed, which the data or a flag says"),
    (["--model_options=depth=8,dept=3"], 64, "cifar_resnet has no option 'dept'; it has "),
    (["--warmup=99999999999999999999"], 64, "warmup must be at most 2147483648 steps"),
    (["--epochs=1e300"], 64, "epochs must give fewer steps"),
    (["--seed=4294967296"], 64, "seed must be 2147483647 or less"),
    (["--pad=8"], 64, "pad must be below the pictures' size, 8, got 8"),
    (["--model_options=depth=8,width_multiplier=0.01"], 64, "channels_out must be an integer"),
    (["--data_dir=" + "x" * 300], 74, "File name too long"),
    (["--data_dir=x\udcff"], 64, "--data_dir is not UTF-8"),
    (["--model_options=num_classes=3"], 64, "cannot have num_classes, which the data or a flag"),
    (["--learning_rate=-1"], 64, "learning_rate must be 0 or more, got -1"),
    (["--learning_rate=nan"], 64, "learning_rate must be"),
    (["--eval_split=val"], 64, "no split is called 'val'; there are test, train"),
    (["--schedule=step", "--boundaries=9,4", "--factors=1,1,1"], 64, "boundaries must rise"),
]


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory):
    """For each command of the list the directory in which it was to train, and what it came to."""
    places = [tmp_path_factory.mktemp("mistake") for _ in BAD]
    calls = [
        ("train.py", f"--model_dir={place}/run", *flags)
        for place, (flags, _, _) in zip(places, BAD)
    ]
    return list(zip(places, forked.run_all(calls, tmp_path_factory.mktemp("outputs"))))


@pytest.mark.parametrize("number", range(len(BAD)), ids=lambda i: str(BAD[i][0])[:40])
def test_a_mistake_is_one_line_and_leaves_nothing(mistakes, number):
    """# fault C14, D16, E9, G7"""
    _, code, message = BAD[number]
    place, (found, stdout, stderr) = mistakes[number]
    assert found == code
    assert stderr.startswith(f"ERROR {code}: ") and message in stderr
    assert stderr.count("\n") == 1 and stderr.count(" | ") == 2
    assert stdout == "" and not list(place.iterdir())


def test_a_model_directory_that_is_a_file_is_refused(script, tmp_path):
    """# fault H4"""
    (tmp_path / "run").write_text("mine")
    process = script("train.py", f"--model_dir={tmp_path}/run")
    assert process.returncode == 73 and "the model directory is a file" in process.stderr
    assert (tmp_path / "run").read_text() == "mine"


def test_a_model_directory_that_cannot_be_made_is_refused(script):
    """# fault H3, H4"""
    process = script("train.py", "--model_dir=/proc/resnet_tf/run", *MICRO)
    assert process.returncode == 73
    assert "ERROR 73: cannot write in the model directory" in process.stderr


def test_commits_that_are_a_file_are_refused_before_anything_is_done(script, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/checkpoints").write_text("mine")
    process = script("train.py", f"--model_dir={tmp_path}/run", *MICRO)
    assert process.returncode == 73 and "the commits directory is a file" in process.stderr


def test_a_damaged_record_is_named_and_nothing_is_made(script, tmp_path):
    """# fault C1"""
    data = copy(ROOT / "data/digits", tmp_path / "data")
    shard = data / "train-00000-of-00001.tfrecord"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    process = script("train.py", f"--data_dir={data}", f"--model_dir={tmp_path}/run", *MICRO)
    assert process.returncode == 65 and process.stderr.count("\n") == 1
    assert "ERROR 65: " in process.stderr and str(shard) in process.stderr
    assert "record " in process.stderr and not (tmp_path / "run").exists()


def test_numbers_that_are_not_finite_stop_the_run_and_are_never_saved(script, tmp_path):
    """# fault E1, E9"""
    flags = [*MICRO, "--learning_rate=1e30", "--warmup=0", "--schedule=constant"]
    process = script("train.py", f"--model_dir={tmp_path}/run", *flags)
    assert process.returncode == 76
    assert "ERROR 76: loss or gradient is not finite at step" in process.stderr
    assert "nothing is committed yet" in process.stderr and "Traceback" not in process.stderr
    assert not (tmp_path / "run/checkpoints").exists()


def test_v_shows_the_traceback(script):
    process = script("train.py", "--recipe=digit", "--v=1")
    assert process.returncode == 64
    assert "Traceback" in process.stderr and "ERROR 64" in process.stderr


def test_print_config_and_short_help(script):
    process = script(
        "train.py", "--recipe=cifar10_resnet110", "--batch_size=64", "--print_config", "--pad=0",
        "--image_size=32", "--crop_scale=0.08,1", "--resolutions=16,24,32",
        "--resolution_boundaries=5epochs,50%", "--clip_at=2",
    )  # fmt: skip
    config = json.loads(process.stdout)
    assert process.returncode == 0
    assert process.stderr == "note: --clip_at has no effect: it is used with --clip\n"
    assert (config["crop_scale"], config["resolutions"]) == ([0.08, 1], [16, 24, 32])
    assert config["resolution_boundaries"] == ["5epochs", "50%"]
    assert config["batch_size"] == 64 and config["boundaries"] == ["400", "32000", "48000"]
    process = script("train.py", "--helpshort")
    assert process.returncode == 0
    assert len(process.stdout.splitlines()) <= 40
    assert all(len(line) <= 80 + 20 for line in process.stdout.splitlines())


def test_on_a_terminal_there_is_a_bar(tmp_path):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    process = subprocess.Popen(
        [sys.executable, ROOT / "train.py", f"--model_dir={tmp_path}/run", *MICRO],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # how a terminal says that the other side is gone
        pass
    os.close(ours)
    assert process.wait() == 0
    assert b"12/12" in shown and b"step/s" in shown and b"input wait" in shown


# --- eval.py


@pytest.mark.parametrize("batch_size, devices", [(1, "cpu"), (7, "cpu:2"), (1000, "cpu:3")])
def test_eval_counts_each_record_once(finished, script, batch_size, devices):
    model_dir, lines, _ = finished
    process = script(
        "eval.py", f"--checkpoint={model_dir}", f"--batch_size={batch_size}", f"--devices={devices}"
    )
    assert process.returncode == 0, process.stderr
    (event,) = events(process)
    trained = lines[-1]["eval"]
    assert event["event"] == "eval" and event["step"] == 12 and event["split"] == "test"
    for name in ("examples", "correct_top1", "correct_top5", "top1", "top5"):
        assert event[name] == trained[name]
    assert event["loss"] == pytest.approx(trained["loss"], rel=1e-5)


def test_eval_of_one_commit_and_another_split(finished, script, tmp_path):
    commit = finished[0] / "checkpoints/step_000000008"
    process = script("eval.py", f"--checkpoint={commit}", "--split=train", cwd=tmp_path)
    (event,) = events(process)
    assert (event["step"], event["split"], event["examples"]) == (8, "train", 1437)


EVAL_BAD = [
    ([], 64, "no checkpoint is given"),
    (["--checkpoint=RUN", "--batch_size=0"], 64, "batch_size must be 1 or more, got 0"),
    (["--checkpoint=/nonexistent"], 66, "it is no directory that exists | /nonexistent"),
    (["--checkpoint=tests"], 66, "there is no commit | tests"),
    (["--checkpoint=RUN", "--data_dir=/nonexistent"], 66, "the data directory does not exist"),
    (["--checkpoint=RUN", "--data_dir=OTHER"], 78, "the data has 9 classes (0, 1, 2, …)"),
    (["--checkpoint=RUN", "--split=val"], 64, "no split is called 'val'"),
    (["--checkpoint=BAD"], 78, "none of the 3 commits can be used"),
    (["--checkpoint=BAD/checkpoints/step_000000012"], 78, "the commit cannot be used"),
]  # fmt: skip


@pytest.fixture(scope="module")
def eval_mistakes(finished, tmp_path_factory):
    """What each command of the list came to."""
    other = copy(ROOT / "data/digits", tmp_path_factory.mktemp("data") / "other")
    manifest = json.loads((other / "dataset.json").read_text())
    manifest["classes"].pop()
    (other / "dataset.json").write_text(json.dumps(manifest))
    bad = copy(finished[0], tmp_path_factory.mktemp("runs") / "bad")
    for path in bad.glob("checkpoints/*/variables.index"):
        path.unlink()
    places = {"RUN": finished[0], "OTHER": other, "BAD": bad}
    calls = [["eval.py", *flags] for flags, _, _ in EVAL_BAD]
    for name, path in places.items():
        calls = [[text.replace(name, str(path)) for text in call] for call in calls]
    return forked.run_all(calls, tmp_path_factory.mktemp("outputs"))


@pytest.mark.parametrize("number", range(len(EVAL_BAD)), ids=lambda i: str(EVAL_BAD[i][0])[:40])
def test_eval_refuses(eval_mistakes, number):
    """# fault G12"""
    _, code, message = EVAL_BAD[number]
    found, stdout, stderr = eval_mistakes[number]
    assert found == code
    assert stderr.startswith(f"ERROR {code}: ") and message in stderr
    assert stdout == "" and "Traceback" not in stderr


def test_eval_decodes_other_data_to_the_channels_of_the_network(finished, script, tmp_path):
    """Grey network, the same classes in colour: the decoder converts."""
    other = copy(ROOT / "data/digits", tmp_path / "colour")
    manifest = json.loads((other / "dataset.json").read_text())
    manifest["image"]["channels"] = 3
    manifest["mean"], manifest["std"] = manifest["mean"] * 3, manifest["std"] * 3
    (other / "dataset.json").write_text(json.dumps(manifest))
    process = script("eval.py", f"--checkpoint={finished[0]}", f"--data_dir={other}")
    assert process.returncode == 0, process.stderr
    assert events(process)[0]["correct_top1"] == finished[1][-1]["eval"]["correct_top1"]


def test_sums_by_a_hierarchy_of_devices(script, tmp_path):
    digests = [
        events(script("train.py", f"--model_dir={tmp_path}/{way}", *MICRO, "--devices=cpu:2",
                      f"--all_reduce={way}"))[-1]["digest"]
        for way in ("auto", "hierarchical")
    ]  # fmt: skip
    assert digests[0] == digests[1]  # of two devices there is one order of the sum
