"""One of several processes is killed: what becomes of the others, and of the run."""

import collections
import json
import os
import pathlib
import random
import subprocess
import sys
import time

from campaigns import campaign, runs

COUNTS = (2, 3, 4)
# Where the victim is: the moment's name, and a fault point with the number of times. The chief
# alone writes a commit.
MOMENTS = {
    "start": "build:1", "step": "step:3", "save": "save.{}:2", "evaluation": "evaluation:2",
    "shut-down": "report:1",
}  # fmt: skip
VICTIMS = [(count, victim) for count in COUNTS for victim in range(count)]
_MICRO = (
    "--model=cifar_resnet", "--model_options=depth=8,width_multiplier=0.25", "--batch_size=24",
    "--steps=60", "--save_every_steps=10", "--eval_every_steps=20", "--warmup=5", "--devices=cpu",
    "--intra_op_threads=1", "--inter_op_threads=1", "--tensorboard=false",
)  # fmt: skip
# Passes the fault on to one process, on its first start, and leaves its number behind.
_VICTIM = """
import json, os, pathlib, sys
index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
folder, victim, fault = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
first = not (folder / f"pid{index}").exists()
with open(folder / f"pid{index}", "a") as file:
    file.write(f"{os.getpid()}\\n")
if index == victim and first:
    os.environ.update(RESNET_TF_FAULT=fault, RESNET_TF_TESTING="1")
os.execv(sys.executable, [sys.executable, *sys.argv[4:]])
"""
_GONE = 30.0  # seconds that survivors may take


def victims(folder: pathlib.Path, count: int, workers: int) -> campaign.Result:
    """Each process of 2, 3 and 4, killed at each of five moments."""
    cases = [(*victim, moment) for moment in MOMENTS for victim in VICTIMS]
    cases = cases if count >= len(cases) else cases[:: -(-len(cases) // count)]

    def case(place, number):
        processes, victim, moment = cases[number]
        code, said, seconds, _ = _launched(place, processes, victim, MOMENTS[moment])
        assert code == 137, f"code {code}\n{said}"
        assert f"process {victim} ended first, by SIGKILL" in said, said
        assert "Traceback" not in said, said
        assert seconds < _GONE, f"{seconds} s\n{said}"
        return {"moment": moment, "seconds": seconds}

    def figures(found):
        return f"{campaign.spread(fact['seconds'] for fact in found)} from its end to that of all"

    promise = (
        "where one of 2, 3 or 4 processes is killed (the chief, each worker; at start, in a step, a"
        f" save, an evaluation, at the end) all are gone within {_GONE:.0f} s, and it is named"
    )
    return campaign.run("victims", promise, case, range(len(cases)), folder, workers, figures)


def restarts(folder: pathlib.Path, count: int, workers: int) -> campaign.Result:
    """One is killed at a random step, or another moment, and all are started again."""
    digests = {n: _undisturbed(folder / f"undisturbed{n}", n) for n in COUNTS[:2]}

    def case(place, number):
        chance = random.Random(number)
        processes = chance.choice(sorted(digests))
        # A call of the step makes ten of the 60.
        fault = chance.choice([*MOMENTS.values(), *(f"step:{n}" for n in range(1, 7))])
        code, said, _, events = _launched(
            place, processes, chance.randrange(processes), fault, "--max_restarts=1"
        )
        assert code == 0, f"code {code}\n{said}"
        assert "starting again, 1 of 1" in said
        assert events[-1]["digest"] == digests[processes], said
        return {"processes": processes}

    def figures(found):
        number = collections.Counter(fact["processes"] for fact in found)
        return ", ".join(f"{number[n]} of {n} processes" for n in sorted(number))

    promise = (
        "where one of several processes is killed and all are started again, the bits are the same"
    )
    return campaign.run("restarts", promise, case, range(count), folder, workers, figures)


def _undisturbed(place: pathlib.Path, processes: int) -> str:
    code, said, _, events = _launched(place, processes, -1, "")
    assert code == 0, said
    return events[-1]["digest"]


def _launched(place: pathlib.Path, processes: int, victim: int, fault: str, *flags: str):
    """Code, stderr, seconds from the first end to the last, and events; no process is left."""
    place.mkdir(parents=True, exist_ok=True)
    fault = fault.format("beside" if victim else "begin")
    command = [
        sys.executable, "tools/launch.py", f"--workers={processes}", *flags, "--", sys.executable,
        "-c", _VICTIM, str(place), str(victim), fault, "train.py", f"--model_dir={place}/run",
        *_MICRO,
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=runs.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    said, ended = [], None
    for line in process.stderr:
        said.append(line)
        if "ended first" in line:
            ended = time.monotonic()
    out = process.stdout.read()
    code, seconds = process.wait(), time.monotonic() - (ended or time.monotonic())
    for file in place.glob("pid*"):
        for pid in file.read_text().split():
            assert not _is_there(int(pid)), f"{file.name} is left: {pid}"
    return code, "".join(said), round(seconds, 2), [json.loads(line) for line in out.splitlines()]


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
