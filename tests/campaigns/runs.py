"""Runs for the campaigns: each a process of its own, forked once TensorFlow is loaded.

Loading TensorFlow is most of the start-up of so small a run, and nothing of a run is in it.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import runpy
import signal
import sys
import time
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parents[2]
# 600 steps on the digits in data/, with a commit every 20 and an evaluation every 200.
MICRO = [
    "--model=cifar_resnet", "--model_options=depth=8,width_multiplier=0.25", "--batch_size=32",
    "--steps=600", "--save_every_steps=20", "--eval_every_steps=200", "--warmup=20",
    "--log_every_steps=20", "--devices=cpu",
]  # fmt: skip
TIMEOUT = 600


@dataclasses.dataclass
class Process:
    """One that was forked.

    Attributes:
      pid: of it; it leads a group of its own.
      code: exit code, or minus the signal that ended it; None as long as it runs.
    """

    pid: int
    output: pathlib.Path
    code: int | None = None

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Sends a signal, where there is still somebody to get it."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def poll(self) -> int | None:
        """The code, where it has ended."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def wait(self) -> int:
        """The code, once it has ended."""
        end = time.monotonic() + TIMEOUT
        while self.poll() is None:
            if time.monotonic() > end:
                self.kill()
                raise TimeoutError(f"{self.output}: still there after {TIMEOUT} s")
            time.sleep(0.005)
        return self.code

    @property
    def stderr(self) -> str:
        """What it has said."""
        return self.output.with_suffix(".stderr").read_text(errors="replace")

    @property
    def events(self) -> list[dict]:
        """Whole lines of its stdout."""
        lines = self.output.with_suffix(".stdout").read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


def start(
    *arguments: str,
    script: str = "train.py",
    fault: str = "",
    prepare: Callable[[], None] = lambda: None,
    output: pathlib.Path,
) -> Process:
    """Starts a script.

    Args:
      arguments: of it.
      script: one at the top of the repository.
      fault: for RESNET_TF_FAULT.
      prepare: called in the new process first.
      output: files of this name get what it writes.
    """
    pid = os.fork()
    if pid:
        return Process(pid, output)
    code = 70
    try:
        os.setsid()
        for descriptor, suffix in ((1, ".stdout"), (2, ".stderr")):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(output.with_suffix(suffix), flags), descriptor)
        os.environ.update(RESNET_TF_FAULT=fault, RESNET_TF_TESTING="1")
        sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, closefd=False) for n in (1, 2))
        sys.argv = [script, *arguments]
        os.chdir(ROOT)
        prepare()
        runpy.run_path(script, run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code or 0
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def train(model_dir: pathlib.Path, *flags: str, **more) -> Process:
    """Starts the micro run in a directory."""
    output = model_dir.with_name(model_dir.name + ".out")
    return start(f"--model_dir={model_dir}", *MICRO, *flags, output=output, **more)


def finish(model_dir: pathlib.Path, *flags: str, **more) -> str:
    """Trains to the end; the digest of that.

    Raises:
      AssertionError: where it ends with another code than 0.
    """
    process = train(model_dir, *flags, **more)
    code = process.wait()
    assert code == 0, f"{model_dir}: code {code}\n{process.stderr}"
    return process.events[-1]["digest"]


def committed(model_dir: pathlib.Path) -> dict[str, str]:
    """sha256 of the bytes of each commit, by its name."""
    found = {}
    for path in sorted((model_dir / "checkpoints").glob("step_?????????")):
        digest = hashlib.sha256()
        with contextlib.suppress(FileNotFoundError):  # one that is swept meanwhile
            for file in sorted(path.iterdir()):
                digest.update(file.name.encode() + file.read_bytes())
            found[path.name] = digest.hexdigest()
    return found
