"""Values that no run could use, refused by the name of their flag."""

import dataclasses
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from resnet_tf import durations
from resnet_tf.errors import bad_flag

if TYPE_CHECKING:
    from resnet_tf.config import Config

# Of counts and of the seed: far beyond any real use.
LARGEST = 2**31 - 1
_SMALLEST = 2.0**-126  # what float32 tells from 0 everywhere
# Fields that do nothing but beside another field, or beside these values of it.
_USED_WITH = {
    "rate_batch_size": "rate_rule linear sqrt",
    "boundaries": "schedule step piecewise",
    "factors": "schedule step piecewise",
    "decay_every": "schedule exponential",
    "decay_factor": "schedule exponential",
    "staircase": "schedule exponential",
    "power": "schedule polynomial",
    "start_factor": "schedule one_cycle",
    "peak": "schedule one_cycle",
    "end_factor": "schedule polynomial cosine one_cycle",
    "momentum": "optimizer sgd lars rmsprop",
    "nesterov": "optimizer sgd lars",
    "beta1": "optimizer adam adamw lamb",
    "beta2": "optimizer adam adamw lamb",
    "rho": "optimizer rmsprop",
    "epsilon": "optimizer adam adamw rmsprop lars lamb",
    "trust": "optimizer lars",
    "clip_at": "clip",
    "focal_gamma": "loss focal",
    "crop_ratio": "crop_scale",
    "policy_layers": "policy randaugment",
    "policy_magnitude": "policy randaugment",
    "erasing_fill": "erasing",
    "bad_records_limit": "bad_records skip",
    "nonfinite_limit": "on_nonfinite skip rollback",
}


def refuse_impossible(config: "Config") -> None:
    """Raises UserError 64, naming the flag, for a value that no run could use."""
    for field in dataclasses.fields(config):
        _refuse_out_of_range(field, getattr(config, field.name))
    for name in ("momentum", "label_smoothing", "beta1", "beta2", "rho", "ema"):
        if getattr(config, name) >= 1:
            raise bad_flag(name, "must be below 1", getattr(config, name))
    if sum(bool(length) for length in (config.steps, config.epochs, config.examples)) != 1:
        given = f"{config.steps}, {config.epochs:g} and {config.examples}"
        raise bad_flag("steps", "or epochs or examples must be above 0, just one of them", given)
    _refuse_allowed(config)
    _refuse_schedule(config)
    _refuse_step(config)
    _refuse_pictures(config)


def _refuse_allowed(config: "Config") -> None:
    """Of --allow_change: what is no flag, changes nothing or cannot be changed."""
    fixed = {"model", "model_options"}
    known = {f.name for f in dataclasses.fields(config) if not f.metadata["harmless"]} - fixed
    if wrong := [name for name in config.allow_change if name not in known | {"data"}]:
        rule = "must name data or flags that make it another run, and not the network's"
        raise bad_flag("allow_change", rule, wrong[0])


def without_effect(config: "Config", names: Iterable[str]) -> list[str]:
    """A sentence for each of the named fields that does nothing beside the others' values."""
    sentences = []
    for name in names:
        other, *values = _USED_WITH.get(name, name).split()
        value = getattr(config, other)
        if other != name and (value not in values if values else not value):
            needs = f"{other}={'|'.join(values)}" if values else other
            sentences.append(f"--{name} has no effect: it is used with --{needs}")
    return sentences


def _refuse_out_of_range(field: dataclasses.Field, value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise bad_flag(field.name, "must be finite", value)
    low, high = field.metadata["at_least"], field.metadata["at_most"]
    if low is not None and value < low:
        raise bad_flag(field.name, f"must be {low} or more", value)
    if low is not None and value > high:
        raise bad_flag(field.name, f"must be {high} or less", value)
    words = field.metadata["one_of"]
    if words and value not in words:
        raise bad_flag(field.name, f"must be {_listed(words)}", value)
    if isinstance(value, int) and value > LARGEST:
        raise bad_flag(field.name, f"must be {LARGEST} or less", value)


def _listed(words: tuple[str, ...]) -> str:
    words = [word or "empty" for word in words]
    return ", ".join(words[:-1]) + f" or {words[-1]}"


def _refuse_schedule(config: "Config") -> None:
    pieces = config.schedule in ("step", "piecewise")
    if pieces and len(config.factors) != len(config.boundaries) + 1:
        found = f"{len(config.factors)} for {len(config.boundaries)} boundaries"
        raise bad_flag("factors", "must be one more than boundaries", found)
    for factor in config.factors:
        if not (math.isfinite(factor) and factor >= 0):
            raise bad_flag("factors", "must be finite and 0 or more", factor)
    if not 0 < config.peak < 1:
        raise bad_flag("peak", "must be above 0 and below 1", config.peak)
    for name, schedule in (("power", "polynomial"), ("decay_factor", "exponential")):
        if config.schedule == schedule and getattr(config, name) == 0:
            raise bad_flag(name, "must be above 0", 0)
    for name in ("warmup", "decay_every", "boundaries", "resolution_boundaries"):
        value = getattr(config, name)
        for text in (value,) if isinstance(value, str) else value:
            try:
                durations.parse(text)
            except ValueError as error:
                raise bad_flag(name, str(error)) from error


def _refuse_step(config: "Config") -> None:
    """What loss, gradient and update cannot be."""
    if config.clip and config.clip_at < _SMALLEST:
        raise bad_flag("clip_at", "must be above 0, in float32 too", config.clip_at)
    if config.optimizer == "lars" and config.trust == 0:
        # A ratio of nothing counts as 1, so that would be SGD at the whole rate.
        raise bad_flag("trust", "must be above 0", config.trust)
    if config.layer_decay == 0:
        raise bad_flag("layer_decay", "must be above 0", config.layer_decay)
    for weight in config.class_weights:
        if not (math.isfinite(weight) and weight >= 0):
            raise bad_flag("class_weights", "must be finite and 0 or more", weight)
    if config.class_weights and not any(config.class_weights):
        raise bad_flag("class_weights", "must not all be 0", config.class_weights)
    if config.xla and config.sync_batch_norm:
        rule = "and sync_batch_norm exclude each other: a sum over devices cannot be compiled"
        raise bad_flag("xla", rule)


def _refuse_pictures(config: "Config") -> None:
    """What cuts, sizes and augmentations cannot be."""
    if config.eval_shorter_side and config.eval_central_fraction:
        raise bad_flag("eval_shorter_side", "and eval_central_fraction exclude each other")
    if config.eval_central_fraction > 1:
        raise bad_flag("eval_central_fraction", "must be 1 or less", config.eval_central_fraction)
    for name, most in (("crop_scale", 1), ("crop_ratio", 1000)):
        value = getattr(config, name)
        if value and not (len(value) == 2 and 0 < value[0] <= value[1] <= most):
            raise bad_flag(name, f"must be from,to, above 0 and up to {most}", value)
    if config.crop_scale and not config.crop_ratio:
        raise bad_flag("crop_ratio", "must be given with crop_scale")
    if config.pad and config.crop_scale:
        raise bad_flag("pad", "and crop_scale exclude each other")
    _refuse_resolutions(config)


def _refuse_resolutions(config: "Config") -> None:
    for side in config.resolutions:
        if not (1 <= side <= LARGEST and side == int(side)):
            raise bad_flag("resolutions", "must be whole numbers, 1 or more", side)
    if len(config.resolution_boundaries) != max(len(config.resolutions) - 1, 0):
        found = f"{len(config.resolution_boundaries)} for {len(config.resolutions)} resolutions"
        raise bad_flag("resolution_boundaries", "must be one fewer than resolutions", found)
    if config.resolutions and not config.image_size:
        raise bad_flag("image_size", "must be given with resolutions, as the last of them")
    if config.resolutions and config.resolutions[-1] != config.image_size:
        rule = f"must end at image_size {config.image_size}"
        raise bad_flag("resolutions", rule, config.resolutions[-1])
