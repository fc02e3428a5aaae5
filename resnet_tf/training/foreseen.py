"""What can be said of a run before any of it is built: its length, rates, data and begin.

Each function takes the `Findings` first, so that `Findings.attempt` can call it.
"""

import errno
import os
import pathlib

import tensorflow as tf

from resnet_tf import input
from resnet_tf.checkpoint import Commit
from resnet_tf.config import Config
from resnet_tf.distribution import DeviceRequest, describe_devices, make_strategy
from resnet_tf.training import chosen, resume, start
from resnet_tf.training.findings import Findings, size


def devices(found: Findings, config: Config) -> tf.distribute.Strategy:
    """What was asked for and what TensorFlow sees."""
    request = DeviceRequest.parse(config.devices)
    strategy = make_strategy(request, None, config.all_reduce, config.require_gpus)
    seen = [device.device_type for device in tf.config.list_logical_devices()]
    kinds = ", ".join(f"{seen.count(kind)} {kind}" for kind in sorted(set(seen)))
    used = describe_devices(strategy)
    found.ok("devices", f"asked for {config.devices}, seen {kinds}; uses {used}", devices=used)
    return strategy


def data(found: Findings, config: Config) -> input.Manifest:
    """What the manifest says of both splits."""
    manifest = start.data_of(config)
    train, held_out = (manifest.records(s) for s in (config.train_split, config.eval_split))
    found.ok(
        "data",
        f"{manifest.name}: {train:,} records of {config.train_split} to train on, {held_out:,} of"
        f" {config.eval_split} to evaluate on, {len(manifest.classes)} classes",
        train_records=train,
        eval_records=held_out,
        classes=len(manifest.classes),
    )
    return manifest


def shards(found: Findings, config: Config, manifest: input.Manifest) -> None:
    """Whether each file is there and as long as the manifest says."""
    splits = dict.fromkeys((config.train_split, config.eval_split))
    paths = [path for split in splits for path in manifest.paths(split)]
    bytes_ = sum(path.stat().st_size for path in paths)
    found.ok("shards", f"{len(paths)} files of {size(bytes_)}, each as its manifest says",
             data_bytes=bytes_)  # fmt: skip


def batch(found: Findings, config: Config, records: int, replicas: int) -> None:
    """Examples of a batch, a device and a step."""
    parts = f" in {config.accumulate} parts" if config.accumulate > 1 else ""
    found.ok(
        "batch",
        f"{config.examples_a_step} examples a step{parts},"
        f" {config.batch_size / replicas:g} a device at a time",
        batch_size=config.batch_size,
        examples_a_step=config.examples_a_step,
    )
    if config.examples_a_step > records:
        found.warn("batch", f"a step takes more than the {records:,} records of an epoch")
    if config.overfit_batches:
        found.warn("batch", f"trains on the first {config.overfit_batches} batches only")


def length(found: Findings, config: Config, records: int) -> None:
    """Steps and epochs, and whether a batch lies across the end of one."""
    total, an_epoch = config.total_steps(records), records / config.examples_a_step
    left = records % config.examples_a_step
    across = f"; the batch at an epoch's end runs on into the next ({left} examples are left)"
    found.ok(
        "length",
        f"{total:,} steps, {total / an_epoch:.4g} epochs of {an_epoch:,.5g} steps"
        f"{across if left else ''}",
        total_steps=total,
        epochs=round(total / an_epoch, 4),
        steps_an_epoch=round(an_epoch, 4),
    )


def rate(found: Findings, config: Config, records: int) -> None:
    """First, highest and last rate of the schedule."""
    _, rates = chosen.rates_of(config, records)
    first, highest, last = (float(rate) for rate in (rates[0], rates.max(), rates[-1]))
    warmup = config.in_steps("warmup", config.warmup, records)
    rule = chosen.rule_in_words(config)
    found.ok(
        "rate",
        f"first {first:.4g}, highest {highest:.4g}, last {last:.4g} ({config.schedule},"
        f" {warmup:,} steps of warm-up{f', {rule}' if rule else ''})",
        rate_first=first,
        rate_highest=highest,
        rate_last=last,
    )
    if warmup >= config.total_steps(records):
        found.warn("rate", f"no step is left after the {warmup:,} steps of warm-up")


def begin(found: Findings, config: Config) -> Commit | None:
    """The commit that would be resumed."""
    model_dir = pathlib.Path(config.model_dir)
    resumed, damaged = resume.choose(config)
    if model_dir.is_dir() and not os.access(model_dir, os.W_OK):
        raise start.cannot_write(
            model_dir, PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        )
    for path, reason in damaged:
        found.warn("start", f"{path.name} is damaged ({reason}) and would be set aside")
    return resumed
