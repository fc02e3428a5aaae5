"""Checks before a long run: `train.py --dry_run`.

What can be read off flags, data and directories comes first, a line each (`foreseen`). Where
nothing is wrong there, the run is built and tried: a few steps, a commit, a restore, an evaluation
of a few batches, whether several devices make the update of one, and from their times how long the
whole will take. The commit lies in a temporary
directory beside the model directory, on the same file system, which is removed again, also after
Ctrl-C.

The model directory is not made. Only the cache keeps what it would keep of any run (the index
of the records, a set of tfds).
"""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator

import tensorflow as tf

from resnet_tf import input
from resnet_tf.checkpoint import Commit
from resnet_tf.config import Config
from resnet_tf.layers import named_variables
from resnet_tf.training import foreseen, resume, start, tried
from resnet_tf.training.findings import Findings
from resnet_tf.training.run import Run


def check(config: Config) -> dict:
    """Looks at everything that a run of `config` needs, and tries it.

    Returns:
      The "dry_run" event: numbers, warnings, and problems, of which there are none.

    Raises:
      UserError: the first problem, after all lines and the event.
    """
    found = Findings()
    strategy = found.attempt("devices", foreseen.devices, config)
    manifest = found.attempt("data", foreseen.data, config)
    resumed = found.attempt("start", foreseen.begin, config)
    if manifest:
        records = manifest.records(config.train_split)
        found.attempt("shards", foreseen.shards, config, manifest)
        replicas = strategy.num_replicas_in_sync if strategy else 1
        found.attempt("batch", foreseen.batch, config, records, replicas)
        found.attempt("length", foreseen.length, config, records)
        found.attempt("rate", foreseen.rate, config, records)
    if not found.problems:
        found.attempt("start", _try_out, config, manifest, strategy, resumed)
    return found.close()


def _try_out(found: Findings, config: Config, manifest, strategy, resumed: Commit | None) -> None:
    """Builds the run and tries what it will do, up to the first problem."""
    run = _build(found, config, manifest, strategy, resumed)
    step, times = resumed.step if resumed else 0, tried.Times()
    several = strategy.num_replicas_in_sync > 1
    with _beside(pathlib.Path(config.model_dir)) as directory:
        for name, look, arguments in (
            ("steps", tried.steps, (run, step, times)),
            ("commit", tried.commit, (run, directory, times)),
            ("evaluation", tried.evaluation, (run, times)),
            ("memory", tried.memory, (run,)),
            *([("replicas", tried.replicas, (run,))] if several else []),
            ("time", tried.time, (run, step, times)),
        ):
            found.attempt(name, look, *arguments)
            if found.problems:
                return


def _build(
    found: Findings,
    config: Config,
    manifest: input.Manifest,
    strategy: tf.distribute.Strategy,
    resumed: Commit | None,
) -> Run:
    run = start.prepare(config, manifest, strategy, resumed)
    step = resumed.step if resumed else 0
    if resumed is None:
        weights = f"the weights of {config.init_from}" if config.init_from else "new weights"
        found.ok("start", f"a new run with {weights}: {config.model_dir}", step=0)
    else:
        complete = ", which is complete" if step >= run.total_steps else ""
        found.ok("start", f"resumes step {step} of the run{complete}: {resumed.path}", step=step)
        if reason := resume.inexact(resumed, run.describe):
            found.warn("start", f"not bit-exact from there on: {reason}")
    pictures = run.describe["preprocessing"]
    found.ok(
        "pictures",
        f"{pictures['height']}x{pictures['width']}x{pictures['channels']}, mean"
        f" {_listed(pictures['mean'])}, deviation {_listed(pictures['std'])}",
    )
    shapes = {name: v.shape.num_elements() for name, v in named_variables(run.state.model).items()}
    trained = sum(shapes[name] for name in run.plan.trained)
    found.ok(
        "network",
        f"{config.model}: {sum(shapes.values()):,} parameters, {trained:,} of them trained;"
        f" {run.describe['architecture']['num_classes']} classes",
        parameters=sum(shapes.values()),
        trained_parameters=trained,
    )
    return run


@contextlib.contextmanager
def _beside(model_dir: pathlib.Path) -> Iterator[pathlib.Path]:
    """A temporary directory as near to a model directory as there is one that exists."""
    parent = next(path for path in model_dir.resolve().parents if path.is_dir())
    try:
        temporary = tempfile.TemporaryDirectory(prefix=".dry_run-", dir=parent)
    except OSError as error:
        raise start.cannot_write(model_dir, error) from error
    with temporary as path:
        yield pathlib.Path(path)


def _listed(numbers) -> str:
    return ", ".join(f"{number:.4g}" for number in numbers)
