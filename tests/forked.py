"""Commands of the scripts, each in a process of its own, forked once TensorFlow is loaded.

For mistakes, which end before TensorFlow does anything: a fresh process would spend its seconds
on loading it.
"""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

FORKING = """
import json, os, runpy, sys
import resnet_tf
import tensorflow, numpy, safetensors
from resnet_tf.evaluation import import_weights
from resnet_tf.training import command
results = []
for number, (script, *arguments) in enumerate(json.load(sys.stdin)):
    files = [f"{sys.argv[1]}/{number}.{name}" for name in ("stdout", "stderr")]
    child = os.fork()
    if not child:
        for descriptor, file in enumerate(files, start=1):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
        sys.argv = [script, *arguments]
        code = 0
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)  # without the second that TensorFlow takes to go
    _, status = os.waitpid(child, 0)
    results.append([os.waitstatus_to_exitcode(status), *(open(file).read() for file in files)])
json.dump(results, sys.stdout)
"""


def run_all(calls, directory, cwd=ROOT):
    """(exit code, stdout, stderr) of each call, a script's path and its arguments.

    What the calls write to both streams goes to files in `directory` on the way.
    """
    process = subprocess.run(
        [sys.executable, "-c", FORKING, str(directory)],
        input=json.dumps(calls), cwd=cwd, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    results = json.loads(process.stdout)
    return [(code, stdout, _without_noise(stderr)) for code, stdout, stderr in results]


def _without_noise(stderr):
    """Without TensorFlow's words on a missing driver, which the scripts themselves hold back."""
    lines = stderr.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("E0000", "WARNING: All log")))
