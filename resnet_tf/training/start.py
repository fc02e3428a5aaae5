"""How a run begins: its data, its pieces, and the weights that it starts with.

A run, the checks before it and the rate finder all begin here. Nothing is written before
`take_directory`.
"""

import errno
import pathlib

import tensorflow as tf

from resnet_tf import checkpoint, errors, faults, input, reporting
from resnet_tf.checkpoint import Commit, Lock
from resnet_tf.config import Config
from resnet_tf.distribution import describe_devices, processes
from resnet_tf.errors import UserError
from resnet_tf.files import make_directory
from resnet_tf.preparation import cached
from resnet_tf.preprocessing import Preprocessing
from resnet_tf.reporting import Journal
from resnet_tf.training import chosen, fine_tuning, resume
from resnet_tf.training.run import Run, build
from resnet_tf.training.schedules import Schedule


def data_of(config: Config) -> input.Manifest:
    """The data set that `data_dir` means.

    Raises:
      UserError: as `cached.directory_of` and `Manifest.load`.
    """
    return input.Manifest.load(cached.directory_of(config.data_dir, say=reporting.say))


def prepare(
    config: Config,
    manifest: input.Manifest,
    strategy: tf.distribute.Strategy,
    resumed: Commit | None = None,
    schedule: Schedule | None = None,
) -> Run:
    """Builds a run and gives it its weights; where they are not plainly new, says which.

    Args:
      config: of the run.
      manifest: of its data.
      strategy: whose replicas it runs on.
      resumed: the commit to go on from; None for a new run, which `init_from` may give weights.
      schedule: of the rate, in place of the one that `config` says.

    Raises:
      UserError: as `build`, `resume.refuse_mismatch` and `fine_tuning`.
    """
    faults.at("build")
    origin = None if resumed else fine_tuning.origin_of(config)
    run = build(config, strategy, manifest, _pictures_of(config, resumed or origin), schedule)
    if resumed:
        _go_on(run, resumed)
    else:
        _begin(run, origin)
    return run


def _pictures_of(config: Config, commit: Commit | None) -> Preprocessing | None:
    """Those of the weights that the run started from."""
    if not commit or not config.init_from:
        return None
    return Preprocessing.from_json(commit.manifest["preprocessing"])


def _go_on(run: Run, resumed: Commit) -> None:
    """The state of a commit of the same run, and the records that it had left out."""
    resume.refuse_mismatch(resumed, run.config, run.describe, run.total_steps)
    if changes := resume.changes_of(resumed, run.config, run.describe, reporting.say):
        run.describe["changes"] = changes
    faults.at("restore")
    checkpoint.restore(resumed, run.variables)
    if "origin" in resumed.manifest:
        run.describe["origin"] = resumed.manifest["origin"]
    if run.config.bad_records == "skip":
        run.feed.leave_out(resumed.manifest.get("bad_records", []))


def _begin(run: Run, origin: Commit | None) -> None:
    """The first weights, and a table of what will be trained of them."""
    model, config, new = run.state.model, run.config, None
    if origin:
        new = fine_tuning.start_from(origin, model, run.describe["classes"])
        fine_tuning.refuse_frozen(new, run.plan, model)
        run.describe["origin"] = {
            "checkpoint": str(origin.path),
            "step": origin.step,
            "digest": origin.manifest["digest"],
        }
        if run.state.average:
            run.state.average.restart()
    if origin or config.freeze or config.freeze_bn or config.layer_decay != 1:
        reporting.say(fine_tuning.describe(run.plan, model, new))


def take_directory(config: Config, seen: list[pathlib.Path]) -> Lock:
    """Makes the model directory where it is missing, and locks it.

    Args:
      config: of the run.
      seen: the commits that were there when it was decided what to do.

    Raises:
      UserError: 77 where another command has it or has committed there since, or it cannot be
        written in; 74 where the disk fails; 73 where it cannot be made.
    """
    model_dir = pathlib.Path(config.model_dir)
    try:
        make_directory(model_dir)
        lock = Lock(model_dir)
    except OSError as error:
        raise cannot_write(model_dir, error) from error
    if checkpoint.commits(model_dir / "checkpoints") != seen:
        lock.release()
        what = "another command has committed here in the meantime"
        raise UserError(errors.NOT_WRITABLE, what, model_dir, "give the same command again")
    return lock


def cannot_write(model_dir: pathlib.Path, error: OSError) -> UserError:
    """The error for a model directory that cannot be made (73) or written in (77, 74)."""
    code = errors.NOT_WRITABLE if model_dir.is_dir() else errors.CANNOT_CREATE
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
        code = errors.IO_ERROR
    what = f"cannot write in the model directory: {error.strerror}"
    return UserError(code, what, model_dir, "give another --model_dir")


def open_journal(run: Run, resumed: Commit | None) -> Journal:
    """The journal of a run that begins or goes on now, which that is noted in and said.

    Raises:
      UserError: 73, 74 or 77 where it cannot be written.
    """
    model_dir = pathlib.Path(run.config.model_dir)
    try:
        journal = Journal(model_dir, resumed.step if resumed else 0, run.config.tensorboard)
    except OSError as error:
        raise cannot_write(model_dir, error) from error
    step = resumed.step if resumed else 0
    reporting.say(f"{'resumed from' if resumed else 'starting at'} step {step}: {model_dir}")
    reporting.say(_in_a_line(run))
    changed = {"changes": run.describe["changes"]} if "changes" in run.describe else {}
    journal.write(
        "start", step=step, total_steps=run.total_steps, config=run.config.to_json(), **changed
    )
    return journal


def _in_a_line(run: Run) -> str:
    """Devices, batches, rate and length of a run."""
    config, count, devices = run.config, processes(run.strategy), run.strategy.num_replicas_in_sync
    rule = chosen.rule_in_words(config)
    return (
        f"{describe_devices(run.strategy)}{f' in {count} processes' if count > 1 else ''}:"
        f" {config.examples_a_step} examples a step, {config.examples_a_step / devices:g} a device;"
        f" rate {chosen.rate_of(config):g}{f' {rule}' if rule else ''}, {config.schedule};"
        f" {run.records / config.examples_a_step:.5g} steps an epoch, {run.total_steps:,} in all"
    )
