"""Draws runs on one page that needs no server: curves of several, or all about one.

  python tools/report.py runs/digits                          runs/digits/report.html
  python tools/report.py --output=both.html runs/a runs/b     their curves over each other
  python tools/report.py --data_dir=/mnt/digits runs/digits   the data is elsewhere now

train.py writes the page of its run when it is done. This makes it anew for the newest commit, which
it evaluates, also while the run goes on.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import flags

from resnet_tf import errors, runtime, scripts
from resnet_tf.errors import UserError

_OUTPUT = flags.DEFINE_string(
    "output", None, "HTML file to write; default: report.html in the run, or here for several"
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "of one run: its data; default: where it was trained on"
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 100, "of one run: examples a step of evaluation")
_DEVICES = flags.DEFINE_string("devices", "auto", "auto, cpu, cpu:N, gpu:all or gpu:0,1")


def main(runs):
    if not runs:
        raise UserError(errors.BAD_FLAGS, "no run is given", "arguments", "give model directories")
    from resnet_tf.distribution import DeviceRequest

    devices = DeviceRequest.parse(_DEVICES.value)
    runtime.configure(devices.logical_cpus)
    from resnet_tf.evaluation import refuse_place
    from resnet_tf.reporting import journal, say

    for run in runs:
        if not pathlib.Path(run, "journal.jsonl").is_file():
            what = "there is no journal here"
            raise UserError(errors.MISSING_INPUT, what, run, "give the model directory of a run")
    output = pathlib.Path(_OUTPUT.value or _usual(runs))
    refuse_place(output)
    _one(runs[0], devices, output) if len(runs) == 1 else _several(runs, output)
    say(f"report: {output}")
    journal.emit({"event": "report", "output": str(output), "runs": list(runs)})


def _usual(runs) -> pathlib.Path:
    return pathlib.Path(*runs[:1] if len(runs) == 1 else ".", "report.html")


def _one(run: str, devices, output: pathlib.Path) -> None:
    from resnet_tf import checkpoint, evaluation
    from resnet_tf.config import Config
    from resnet_tf.distribution import make_strategy
    from resnet_tf.training import run_page

    request = evaluation.Request(data_dir=_DATA_DIR.value, batch_size=_BATCH_SIZE.value)
    strategy = make_strategy(devices)
    commit, evaluator = checkpoint.read(
        run, lambda commit: (commit, evaluation.Evaluator(commit, strategy, request))
    )
    config = Config.from_json(commit.manifest["config"] | {"model_dir": run})
    run_page.write(
        output,
        config,
        evaluator.manifest,
        evaluator.predict(commit),
        evaluator.reader,
        run_page.samples_of(commit, config, evaluator.manifest),
        commit.manifest["environment"],
    )


def _several(runs, output: pathlib.Path) -> None:
    from resnet_tf.evaluation import write_table
    from resnet_tf.reporting import page
    from resnet_tf.training.run_page import curves_of

    curves = [curves_of(run, run) for run in runs]
    shown = page.Page(title=" · ".join(runs), runs=curves, results=page.results_of(curves))
    write_table(output, page.render(shown))


if __name__ == "__main__":
    scripts.run(main, positional=True)
