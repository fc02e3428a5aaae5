"""Draws the learning rate of a run, from its first step to its last.

  python tools/plot_schedule.py --recipe=digits --output=rate.png
  python tools/plot_schedule.py --recipe=imagenet_resnet50 --records=1281167 --warmup=10epochs

Takes every flag that a recipe has. Durations in epochs need the number of records: the data
set's, or --records where it is not there yet.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import flags

from resnet_tf import errors, recipes, runtime, scripts
from resnet_tf.errors import UserError, bad_flag

_RECORDS = flags.DEFINE_integer("records", None, "in an epoch; default: the data set's")
_LOGARITHMIC = flags.DEFINE_bool("logarithmic", False, "draw rates by their logarithms")
_OUTPUT = flags.DEFINE_string("output", "rate.png", "PNG file to write")
scripts.define_config_flags(
    common=["recipe", "data_dir", "batch_size", "epochs", "learning_rate", "schedule", "warmup"]
)


def main(_):
    if _RECORDS.value is not None and not 1 <= _RECORDS.value < 2**31:
        raise bad_flag("records", f"must be from 1 to {2**31 - 1}", _RECORDS.value)
    if not pathlib.Path(_OUTPUT.value).absolute().parent.is_dir():
        raise UserError(errors.CANNOT_CREATE, "its folder does not exist", _OUTPUT.value, "make it")
    recipe = recipes.get(scripts.FLAGS.recipe or "digits").config
    config = scripts.config_from_flags(recipe)
    scripts.refuse_without_matplotlib("curve", "tools/plot_schedule.py")
    runtime.configure()
    from resnet_tf.reporting import journal, say
    from resnet_tf.training import chosen

    records = _RECORDS.value or _records(config)
    total = config.total_steps(records)
    steps, rates = chosen.rates_of(config, records)
    _draw(config, records, steps, rates)
    say(f"{_OUTPUT.value}: {total} steps, {total * config.examples_a_step / records:.4g} epochs")
    journal.emit({"event": "drawn", "output": _OUTPUT.value, "steps": total,
                  "first": float(rates[0]), "highest": float(rates.max()),
                  "last": float(rates[-1])})  # fmt: skip


def _records(config) -> int:
    """Records of the data set's training split."""
    from resnet_tf.input import Manifest
    from resnet_tf.preparation import cached
    from resnet_tf.reporting import say

    try:
        manifest = Manifest.load(cached.directory_of(config.data_dir, say=say))
    except UserError as error:
        if error.code != errors.MISSING_INPUT:
            raise
        raise error.adding("or give --records") from error
    return manifest.records(config.train_split)


def _draw(config, records: int, steps, rates) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained", dpi=120)
    axes = figure.subplots()
    axes.plot(steps, rates, color="tab:blue", linewidth=2, drawstyle="steps-post")
    warmup = config.in_steps("warmup", config.warmup, records)
    if warmup:
        axes.axvline(warmup, color="tab:red", linestyle="--", label=f"warm-up ends at {warmup:,}")
        axes.legend()
    if _LOGARITHMIC.value and rates.max() > 0:  # nothing has no logarithm
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_title(config.recipe, pad=12)
    axes.set_xlabel(f"steps of {config.examples_a_step:,} examples")
    axes.set_ylabel("learning rate")
    axes.grid(alpha=0.3)
    an_epoch = records / config.examples_a_step
    epochs = axes.secondary_xaxis(
        "top", functions=(lambda step: step / an_epoch, lambda epoch: epoch * an_epoch)
    )
    epochs.set_xlabel(f"epochs of {records:,} examples")
    figure.savefig(_OUTPUT.value, format="png")


if __name__ == "__main__":
    scripts.run(main)
