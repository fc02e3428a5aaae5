"""What a few steps of a run show: its speed, its commits, its memory, how long it will take.

Each function takes the `Findings` first, so that `Findings.attempt` can call it.
"""

import dataclasses
import pathlib
import shutil
import sys
from time import perf_counter

import numpy as np
import tensorflow as tf

from resnet_tf import checkpoint, errors
from resnet_tf.errors import UserError
from resnet_tf.training import scaling, trial
from resnet_tf.training.findings import Findings, duration, size
from resnet_tf.training.run import Run

_MOST_STEPS, _MOST_SECONDS = 20, 8.0
_COMPARED_UPDATES = 2
_EVALUATED_BATCHES = 2
# A share of the time of a step, beyond which its batch comes too late.
_MUCH_WAITING = 0.2
# What nobody likes to lose.
_LONG_WITHOUT_COMMIT = 1800


@dataclasses.dataclass
class Times:
    """Seconds of a step, of an evaluation of the whole split, and of a commit."""

    step: float = 0.0
    evaluation: float = 0.0
    save: float = 0.0


def steps(found: Findings, run: Run, step: int, times: Times) -> None:
    """The first call, which traces, and the steps after it, for some seconds."""
    calls = trial.calls(run, step, 1, lambda text: found.warn("data", text))
    seconds, waited = [], 0.0
    while len(seconds) < 2 or (sum(seconds[1:]) < _MOST_SECONDS and len(seconds) <= _MOST_STEPS):
        begin = perf_counter()
        health = next(calls)
        seconds.append(perf_counter() - begin)
        trial.finite(health, step + len(seconds))
        waited += float(health["input_wait"].sum()) if len(seconds) > 1 else 0.0
    times.step = float(np.median(seconds[1:]))
    speed, share = run.config.examples_a_step / times.step, waited / sum(seconds[1:])
    found.ok(
        "steps",
        f"the first {seconds[0]:.3g} s, then {times.step:.3g} s each (of {len(seconds) - 1}):"
        f" {speed:,.1f} images a second, loss {health['loss'][-1]:.4g}",
        first_step_seconds=round(seconds[0], 4),
        step_seconds=round(times.step, 6),
        images_per_second=round(speed, 1),
        input_wait_share=round(share, 4),
    )
    if share > _MUCH_WAITING:
        found.warn("steps", f"{share:.0%} of their time is spent waiting for pictures")


def commit(found: Findings, run: Run, directory: pathlib.Path, times: Times) -> None:
    """Saves the state, changes it, and restores it."""
    config, step = run.config, int(run.step.numpy())
    begin = perf_counter()
    saved = checkpoint.write(directory, step, run.tensors(), run.fields(step))
    times.save = perf_counter() - begin
    next(trial.calls(run, step, 1, lambda text: None))
    checkpoint.restore(saved, run.variables)
    if checkpoint.digest_of(run.tensors()) != saved.manifest["digest"]:
        what = "the state that was restored is not the one that was saved"
        raise UserError(errors.IO_ERROR, what, directory, "check disk and memory of the machine")
    bytes_ = sum(file.stat().st_size for file in saved.path.iterdir())
    found.ok(
        "commit",
        f"{size(bytes_)}, saved in {times.save:.3g} s and restored to the same bits",
        commit_bytes=bytes_,
        save_seconds=round(times.save, 4),
    )
    # Those that are there have their place already.
    there = min(len(checkpoint.commits(run.commits)), config.keep)
    needed, free = (config.keep + 1 - there) * bytes_, shutil.disk_usage(directory).free
    if free < needed:
        what = f"the disk has {size(free)} free, and the commits need {size(needed)}"
        remedy = f"make room, or give less than --keep={config.keep}"
        raise UserError(errors.IO_ERROR, what, config.model_dir, remedy)
    found.ok("disk", f"{size(free)} free, {size(needed)} needed for {config.keep} commits and"
                     " the one being written", free_bytes=free, needed_bytes=needed)  # fmt: skip


def evaluation(found: Findings, run: Run, times: Times) -> None:
    """A few batches, twice, since the first time traces."""
    batch_size = run.config.eval_batch_size or run.config.batch_size
    for _ in range(2):
        begin = perf_counter()
        result, _ = run.evaluate(records=_EVALUATED_BATCHES * batch_size)
        seconds = perf_counter() - begin
    whole, some = found.numbers["eval_records"], result["examples"]
    times.evaluation = seconds * whole / some
    found.ok(
        "evaluation",
        f"{some} of {whole:,} records in {seconds:.3g} s, so about {duration(times.evaluation)}"
        f" for all",
        eval_seconds=round(times.evaluation, 4),
    )


def memory(found: Findings, run: Run) -> None:
    """The most that was in use, of the process and of each GPU."""
    peak = _peak_of_process()
    gpus = [d for d in run.strategy.extended.worker_devices if "GPU" in d]
    of_gpus = [tf.config.experimental.get_memory_info(d.split("device:")[-1])["peak"] for d in gpus]
    text = "".join(f", GPU {number} {size(peak)}" for number, peak in enumerate(of_gpus))
    found.ok("memory", f"at most {size(peak)}{text}", memory_bytes=peak, gpu_memory_bytes=of_gpus)


def _peak_of_process() -> int:
    import resource  # there is none on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def replicas(found: Findings, run: Run) -> None:
    """Whether several devices make the update of one."""
    try:
        verdict = scaling.verify(
            run, _COMPARED_UPDATES, lambda text: found.warn("data", text), whole=False
        )
    except tf.errors.ResourceExhaustedError:
        # Which says nothing of the run: each of its devices has a share alone.
        text = "not compared with one device, on which the whole batch does not fit at once"
        found.warn("replicas", text)
        return
    if problem := verdict.problem():
        raise problem
    found.ok("replicas", str(verdict), replicas=verdict.replicas,
             replicas_difference=verdict.largest)  # fmt: skip


def time(found: Findings, run: Run, step: int, times: Times) -> None:
    """What is left of the run, by what its parts took."""
    config, total = run.config, run.total_steps
    if run.feed.resizes:
        found.warn("time", "the pictures change their size, and the steps tried are of the first")
    left = total - step
    saving = _events(config.save_every_steps, step, total) * times.save
    evaluating = _events(config.eval_every_steps, step, total) * times.evaluation
    seconds = left * times.step + saving + evaluating
    an_epoch = found.numbers["steps_an_epoch"] * (seconds / left if left else times.step)
    found.ok(
        "time",
        f"about {duration(an_epoch)} an epoch and {duration(seconds)} for the {left:,} steps,"
        f" {duration(evaluating)} of it for evaluation and {duration(saving)} for saving",
        epoch_seconds=round(an_epoch, 2),
        seconds=round(seconds, 2),
    )
    unsaved = min(config.save_every_steps or left, left) * times.step
    if unsaved > _LONG_WITHOUT_COMMIT:
        text = f"it goes {duration(unsaved)} without a commit: give --save_every_steps"
        found.warn("time", text)


def _events(every: int, step: int, total: int) -> int:
    """How often something happens after `step`: at multiples of `every`, and at the end."""
    if step >= total:
        return 0
    return (total - 1) // every - step // every + 1 if every else 1
