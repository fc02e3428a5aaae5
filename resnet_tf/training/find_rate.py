"""The rate finder as a command: `train.py --find_lr`.

It trains the run's network on the run's batches while the rate rises (see `rate_finder`), from
new weights or those of --init_from. Into the model directory go a picture, `lr_finder.png`, and
its numbers, `lr_finder.json`; a run that is there already is not touched.
"""

import dataclasses
import json
import math
import pathlib

import numpy as np

from resnet_tf import errors, reporting
from resnet_tf.config import Config
from resnet_tf.distribution import DeviceRequest, make_strategy
from resnet_tf.errors import UserError
from resnet_tf.files import make_directory, replace_synced
from resnet_tf.reporting import Console, journal
from resnet_tf.training import rate_finder, schedules, start, trial
from resnet_tf.training.rate_finder import Suggestion
from resnet_tf.training.run import Run

PLOT, NUMBERS = "lr_finder.png", "lr_finder.json"


def find(config: Config, low: float = 1e-6, high: float = 10.0, steps: int = 200) -> dict:
    """Looks for a rate, whatever the length, schedule and warm-up of the run.

    Args:
      config: of the run.
      low: the first rate.
      high: the last rate, greater than `low`.
      steps: from one to the other, 20 or more; it stops earlier where the loss has diverged.

    Returns:
      The "find_lr" event: suggestion (a rate), learning_rate (the flag that gives it, by
      rate_rule), lowest, diverged (None where it did not), steps, plot and numbers (paths).

    Raises:
      UserError: as a run does at its begin; 73 and 77 where the model directory cannot be
        written; 76 where the losses show no rate.
    """
    manifest = start.data_of(config)
    request = DeviceRequest.parse(config.devices)
    strategy = make_strategy(request, None, config.all_reduce, config.require_gpus)
    schedule = rate_finder.ramp(low, high, steps)
    run = start.prepare(config, manifest, strategy, schedule=schedule)
    directory = pathlib.Path(config.model_dir)
    rates, losses = _train(run, steps, directory)
    suggestion, reason = _read(rates, losses)
    _write(directory / NUMBERS, rates, losses, suggestion)
    if suggestion is None:
        raise UserError(
            errors.NUMERICAL,
            f"losses at rates from {rates[0]:.2g} to {rates[-1]:.2g} show no best one: {reason}",
            directory / NUMBERS,
            "give another --find_lr_low or --find_lr_high, or more --find_lr_steps",
        )
    rate_finder.draw(rates, losses, suggestion, directory / PLOT)
    return _report(config, suggestion, len(losses), directory)


def _train(run: Run, steps: int, directory: pathlib.Path) -> tuple[list[float], list[float]]:
    """Rates and losses of the steps, up to the one at which the loss has diverged."""
    try:
        make_directory(directory)  # what cannot be written is not worth the training
    except OSError as error:
        raise start.cannot_write(directory, error) from error
    rates, losses = [], []
    console = Console(steps)
    try:
        for health in trial.calls(run, 0, run.config.steps_per_call, console.say):
            sound = health["finite"] | health["overflowed"]
            rates += health["learning_rate"].tolist()
            losses += np.where(sound, health["loss"], math.inf).tolist()
            console.advance_to(min(len(losses), steps))
            if len(losses) >= steps or not sound.all() or rate_finder.has_diverged(losses):
                return rates[:steps], losses[:steps]
    finally:
        console.close()


def _read(rates: list[float], losses: list[float]) -> tuple[Suggestion | None, str]:
    """What the losses show, or why they show nothing."""
    try:
        return rate_finder.suggest(rates, losses), ""
    except ValueError as error:
        return None, str(error)


def _write(path: pathlib.Path, rates, losses, suggestion: Suggestion | None) -> None:
    numbers = {
        "rates": rates,
        # JSON has no infinity.
        "losses": [loss if math.isfinite(loss) else None for loss in losses],
        "suggestion": suggestion and dataclasses.asdict(suggestion),
    }
    try:
        replace_synced(path, json.dumps(numbers) + "\n")
    except OSError as error:
        raise start.cannot_write(path.parent, error) from error


def _report(config: Config, suggestion: Suggestion, steps: int, directory: pathlib.Path) -> dict:
    # The flag is what the rule makes the suggestion of.
    factor = schedules.scaled_rate(
        1.0, config.rate_rule, config.examples_a_step, config.rate_batch_size
    )
    event = {
        "event": "find_lr",
        "suggestion": suggestion.rate,
        "learning_rate": suggestion.rate / factor,
        "lowest": suggestion.lowest,
        "diverged": suggestion.diverged,
        "steps": steps,
        "plot": str(directory / PLOT),
        "numbers": str(directory / NUMBERS),
    }
    diverged = f", diverges at {suggestion.diverged:.2g}" if suggestion.diverged else ""
    reporting.say(
        f"suggested: --learning_rate={event['learning_rate']:.2g}. At a rate of"
        f" {suggestion.rate:.2g} the loss falls fastest; it is lowest at"
        f" {suggestion.lowest:.2g}{diverged}. Schedule ({config.schedule}) and warm-up"
        f" ({config.warmup}) were not used, and scale the rate as ever."
    )
    reporting.say(f"the curve: {event['plot']}")
    journal.emit(event)
    return event
