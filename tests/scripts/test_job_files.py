"""The job files of docs/slurm.md and docs/kubernetes.md: read, and their commands run.

A stand-in does on loopback what the scheduler would do: it sets the variables, starts the
processes, sends the signal and looks at the exit codes.
"""

import contextlib
import itertools
import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

import pytest
import yaml

from resnet_tf import checkpoint, errors
from resnet_tf.distribution.cluster import find
from resnet_tf.distribution.launcher import free_ports
from resnet_tf.reporting import steps

ROOT = pathlib.Path(__file__).resolve().parents[2]
MICRO = (
    "--model=cifar_resnet", "--model_options=depth=8,width_multiplier=0.25", "--batch_size=32",
    "--save_every_steps=10", "--warmup=2", "--devices=cpu", "--intra_op_threads=1",
    "--inter_op_threads=1",
)  # fmt: skip
CODES = {value for name, value in vars(errors).items() if name.isupper()}
# What another start would only do again.
FINAL = {64, 65, 66, 73, 76, 78}

# Starts what stands behind its options as so many tasks of one step, on one node, and ends as
# srun does: with the highest code of all.
SRUN = """
import itertools, os, subprocess, sys
count, pids = int(os.environ["TASKS"]), os.environ["PIDS"]
command = list(itertools.dropwhile(lambda part: part.startswith("-"), sys.argv[1:]))
step = os.environ | {
    "SLURM_STEP_NUM_TASKS": str(count), "SLURM_STEP_TASKS_PER_NODE": str(count),
    "SLURM_STEP_NODELIST": "localhost",
}
tasks = [subprocess.Popen(command, env=step | {"SLURM_PROCID": str(n)}) for n in range(count)]
with open(pids + ".part", "w") as file:
    file.write(" ".join(str(task.pid) for task in tasks))
os.rename(pids + ".part", pids)
codes = [task.wait() for task in tasks]
sys.exit(max(code if code >= 0 else 128 - code for code in codes))
"""
SCONTROL = 'import os, sys; open(os.environ["ASKED"], "a").write(" ".join(sys.argv[1:]))'


def fenced(page, language):
    """The blocks of a page in a language."""
    text = (ROOT / "docs" / f"{page}.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def codes_of_rows(page):
    """Of each table's rows, the codes in the first cell and the last cell."""
    rows = re.findall(
        r"^\| ([\d,]+.*?) \|.*\| (.*) \|$", (ROOT / f"docs/{page}.md").read_text(), re.M
    )
    return [({int(code) for code in re.findall(r"\d+", cell)}, last) for cell, last in rows]


def ended(*processes):
    """What each wrote to stderr, once all have ended."""
    return [process.communicate(timeout=300)[1] for process in processes]


@pytest.fixture
def start(tmp_path):
    """Starts a command in a group of its own, of which nothing outlives the test."""
    started = []

    def start(command, **environment):
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_until(condition, *processes):
    while not condition():
        assert all(process.poll() is None for process in processes)
        time.sleep(0.05)


# Slurm


def free_job():
    """A job whose first two ports nobody listens on."""
    for job in itertools.count(os.getpid()):
        first = 20000 + job * 16 % 9408
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as two:
            one.bind(("", first))
            two.bind(("", first + 1))
            return str(job)


@pytest.fixture
def batch(tmp_path, start):
    """Starts the page's file, filled in, as Slurm does on the first node of a job."""

    def batch(flags, srun=SRUN, tasks=1):
        (text,) = fenced("slurm", "bash")
        filled = {"PROJECT": ROOT, "DATA_DIR": ROOT / "data/digits", "MODEL_DIR": tmp_path / "run"}
        for name, value in (filled | {"FLAGS": flags}).items():
            (line,) = re.findall(f"^{name}=.*\n", text, re.MULTILINE)
            text = text.replace(line, f"{name}={shlex.quote(str(value))}\n")
        file = tmp_path / "train.sbatch"
        file.write_text(text.replace(".venv/bin/python", shlex.quote(sys.executable)))
        programs = tmp_path / "bin"
        programs.mkdir()
        for name, program in (("srun", srun), ("scontrol", SCONTROL)):
            (programs / name).write_text(f"#!{sys.executable}\n{program}")
            (programs / name).chmod(0o755)
        return start(
            ["bash", str(file)], PATH=f"{programs}:{os.environ['PATH']}", TASKS=str(tasks),
            SLURM_JOB_ID=free_job(), SLURM_CPUS_PER_TASK="1", PIDS=str(tmp_path / "pids"),
            ASKED=str(tmp_path / "asked"),
        )  # fmt: skip

    return batch


def asked(tmp_path):
    """What scontrol was asked, without the job's number."""
    file = tmp_path / "asked"
    return file.read_text().rpartition(" ")[0] if file.exists() else None


def test_options_of_the_batch_file():
    (text,) = fenced("slurm", "bash")
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", text, re.MULTILINE))
    assert text.startswith("#!/bin/bash\n#SBATCH") and options["ntasks-per-node"] == "1"
    # To the processes, not to the shell; and nothing stands between them and srun.
    assert re.fullmatch(r"USR1@\d+", options["signal"]) and "requeue" in options
    assert re.search(r"^srun [^|&]*?--wait=\d+ \\\n  \.venv/bin/python train\.py ", text, re.M)
    # Slurm reads no option behind the first other line.
    assert "#SBATCH" not in re.split(r"^[^#]", text, maxsplit=1, flags=re.MULTILINE)[1]


def test_one_process_ends_well(batch, tmp_path):
    job = batch(" ".join([*MICRO, "--steps=20"]))
    stdout, stderr = job.communicate(timeout=300)
    assert job.returncode == 0, stderr
    assert json.loads(stdout.splitlines()[-1])["event"] == "done" and asked(tmp_path) is None


def test_before_the_time_limit_two_processes_commit_and_the_job_goes_back(batch, tmp_path):
    job = batch(" ".join([*MICRO, "--steps=1000000"]), tasks=2)
    wait_until(lambda: len(steps.read(tmp_path / "run")) >= 15, job)
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        os.kill(pid, signal.SIGUSR1)
    (stderr,) = ended(job)
    assert job.returncode == 75, stderr
    step = checkpoint.find(tmp_path / "run").step
    assert stderr.count(f"stopped by SIGUSR1 at step {step}, which is committed") == 2
    assert asked(tmp_path) == "requeue"


def test_a_mistake_does_not_go_back(batch, tmp_path):
    job = batch("--batch_size=0", tasks=2)
    (stderr,) = ended(job)
    assert job.returncode == 64 and stderr.count("ERROR 64: ") == 2
    assert asked(tmp_path) is None and not (tmp_path / "run").exists()


@pytest.mark.parametrize("code", sorted(CODES | {0, 1, 137}))
def test_what_goes_back_is_what_the_page_says(batch, tmp_path, code):
    job = batch("", srun=f"import sys; sys.exit({code})")
    ended(job)
    rows = codes_of_rows("slurm")
    (last,) = [last for codes, last in rows if code in codes] or ["ends"]
    assert job.returncode == code
    assert asked(tmp_path) == ("requeue" if last == "goes back into the queue" else None)
    assert (asked(tmp_path) is None) == (code not in (75, 143))


def test_a_job_that_is_cancelled_does_not_go_back(batch, tmp_path):
    waiting = "import os, time; open(os.environ['PIDS'], 'w').close(); time.sleep(2**20)"
    job = batch("", srun=waiting)
    wait_until((tmp_path / "pids").exists, job)
    job.send_signal(signal.SIGTERM)
    assert job.wait() == -signal.SIGTERM and asked(tmp_path) is None


# Kubernetes


def objects():
    found = [part for block in fenced("kubernetes", "yaml") for part in yaml.safe_load_all(block)]
    return {part["kind"]: part for part in found}


def spec_of_pods(kind):
    spec = objects()[kind]["spec"]
    replicas = spec["tfReplicaSpecs"]["Worker"] if kind == "TFJob" else spec
    return replicas["template"]["spec"]


@pytest.mark.parametrize("kind", ["Job", "TFJob"])
def test_pods_have_their_volumes_and_their_time(kind):
    pod, claim = spec_of_pods(kind), objects()["PersistentVolumeClaim"]
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    assert mounts["/mnt/shared"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert mounts["/dev/shm"]["emptyDir"]["medium"] == "Memory"
    assert pod["terminationGracePeriodSeconds"] > 30  # the default
    placed = [arg for arg in container["args"] if re.match("--(data|model)_dir=", arg)]
    assert len(placed) == 2 and all("=/mnt/shared/" in arg for arg in placed)


@pytest.mark.parametrize("page", ["Job", "TFJob", "slurm"])
def test_flags_are_those_of_train(script, page):
    if page == "slurm":
        flags = re.search('^FLAGS="(.*)"$', fenced("slurm", "bash")[0], re.MULTILINE)[1].split()
    else:
        args = spec_of_pods(page)["containers"][0]["args"]
        flags = [arg for arg in args if arg.startswith("--")]
    done = script("train.py", *flags, "--print_config")
    assert flags and done.returncode == 0, done.stderr


def test_pods_of_the_indexed_job_find_each_other():
    job, service = objects()["Job"], objects()["Service"]
    spec, pod, name = job["spec"], spec_of_pods("Job"), service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None" and service["spec"]["publishNotReadyAddresses"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert spec["completionMode"] == "Indexed" and spec["completions"] == spec["parallelism"]
    assert pod["subdomain"] == name
    (container,) = pod["containers"]
    told = {variable["name"]: variable["value"] for variable in container["env"]}
    for index in range(spec["completions"]):
        # Both are set by the controller.
        own = {"JOB_COMPLETION_INDEX": str(index), "HOSTNAME": f"{job['metadata']['name']}-{index}"}
        found = find("", -1, told | own)
        assert found.index == index and len(found.addresses) == spec["completions"]
        assert found.address == f"{own['HOSTNAME']}.{name}:29500"


def test_which_codes_fail_the_indexed_job():
    spec, pod = objects()["Job"]["spec"], spec_of_pods("Job")
    assert pod["restartPolicy"] == "Never"  # a policy for failures needs it
    names = {container["name"] for container in pod["containers"]}
    rules = [
        (rule["action"], rule.get("onExitCodes")) for rule in spec["podFailurePolicy"]["rules"]
    ]
    assert all(on["containerName"] in names and on["operator"] == "In" for _, on in rules if on)
    codes = {action: set(on["values"]) for action, on in rules if on}
    assert codes == {"FailJob": FINAL, "Ignore": {75, 143}}
    assert {code for codes, last in codes_of_rows("kubernetes") if last == "fails at once"
            for code in codes} == FINAL  # fmt: skip


def pod_of_tfjob(flags):
    """The command of its container, with other flags and the Python of the tests."""
    (container,) = spec_of_pods("TFJob")["containers"]
    assert container["name"] == "tensorflow" and container["command"] == ["bash", "-c"]
    text, name, *_ = container["args"]
    text, count = re.subn("^python ", f"{shlex.quote(sys.executable)} ", text)
    assert count == 1
    return ["bash", "-c", text, name, *flags]


def test_pods_of_the_tfjob_lose_one_and_each_that_starts_again_goes_on(start, tmp_path):
    pod = pod_of_tfjob([*MICRO, "--steps=40", f"--model_dir={tmp_path}/run"])
    hosts = [f"127.0.0.1:{port}" for port in free_ports(2)]

    def pods(*of_the_second):
        roles = [("chief", {}), ("worker", dict(of_the_second))]
        for kind, more in roles:
            config = {
                "cluster": {"chief": hosts[:1], "worker": hosts[1:]},
                "task": {"type": kind, "index": 0},
                "environment": "cloud",
            }
            yield start(pod, TF_CONFIG=json.dumps(config), **more)

    lost = list(pods(("RESNET_TF_FAULT", "step:3"), ("RESNET_TF_TESTING", "1")))
    said = ended(*lost)
    assert [process.returncode for process in lost] == [200, 137], said
    assert "ERROR 70: another process is gone, or cannot be reached: " in said[0]

    again = list(pods())
    said = ended(*again)
    assert [process.returncode for process in again] == [0, 0], said
    assert re.search(r"resumed from step \d+", said[0])


@pytest.mark.parametrize("code", sorted(CODES | {0, 142}))
def test_codes_of_the_tfjob(start, code):
    (container,) = spec_of_pods("TFJob")["containers"]
    text = container["args"][0].replace("python train.py", f"sh -c 'exit {code}'")
    pod = start(["bash", "-c", text, "train"])
    ended(pod)
    restarts = pod.returncode >= 128
    assert restarts == (code and code not in FINAL)
    assert pod.returncode in (code, 200)


def test_the_shell_of_the_tfjob_passes_sigterm_on_and_waits(start, tmp_path):
    (container,) = spec_of_pods("TFJob")["containers"]
    # Ends only after it was told, and with a code of its own.
    program = (
        "import signal, sys; signal.signal(15, lambda *_: sys.exit(143)); print(1, flush=True)"
    )
    python = f"{shlex.quote(sys.executable)} -c {shlex.quote(program + '; signal.pause()')}"
    text = container["args"][0].replace("python train.py", python)
    pod = start(["bash", "-c", text, "train"])
    assert pod.stdout.readline() == "1\n"
    pod.send_signal(signal.SIGTERM)
    assert pod.wait() == 143


def test_the_form_of_tf_config_that_the_page_shows():
    (text,) = fenced("kubernetes", "json")
    found = find("", -1, {"TF_CONFIG": text})
    assert (found.addresses, found.index) == (("host-0:2222", "host-1:2222"), 1)
