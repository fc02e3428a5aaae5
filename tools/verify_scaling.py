"""Checks that several devices make the updates that one would make, update by update.

  python tools/verify_scaling.py --recipe=digits --devices=cpu:2
  python tools/verify_scaling.py --recipe=imagenet_resnet50 --devices=gpu:all --batch_size=256

Takes every flag that a recipe has. Each update is made from the same state and on the same batch
by the replicas and by one device; the difference is relative to the update. Starts from new
weights, or those of --init_from; model_dir is neither read nor written.
"""

import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import flags

from resnet_tf import errors, recipes, runtime, scripts
from resnet_tf.errors import UserError, bad_flag

_UPDATES = flags.DEFINE_integer("updates", 5, "number of updates to compare")
_WHOLE = flags.DEFINE_bool(
    "whole_batch", True, "compare with the whole batch at once, too, which must fit on one device"
)
scripts.define_config_flags(
    common=["recipe", "data_dir", "init_from", "batch_size", "devices", "sync_batch_norm", "seed"]
)


def main(_):
    if _UPDATES.value < 1:
        raise bad_flag("updates", "must be 1 or more", _UPDATES.value)
    recipe = recipes.get(scripts.FLAGS.recipe or "digits").config
    config = scripts.config_from_flags(recipe)
    from resnet_tf.distribution import DeviceRequest

    request = DeviceRequest.parse(config.devices)
    runtime.configure(request.logical_cpus, config.intra_op_threads, config.inter_op_threads)
    import tensorflow as tf

    from resnet_tf.distribution import describe_devices, make_strategy
    from resnet_tf.reporting import journal, say
    from resnet_tf.training import scaling, start

    strategy = make_strategy(request, None, config.all_reduce, config.require_gpus)
    if strategy.num_replicas_in_sync < 2:
        what = "must name two or more, since one is compared with the others"
        raise bad_flag("devices", what, describe_devices(strategy))
    run = start.prepare(config, start.data_of(config), strategy)
    say(f"{describe_devices(strategy)}, {config.examples_a_step} examples a step")
    try:
        verdict = scaling.verify(run, _UPDATES.value, say, _tell, _WHOLE.value)
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            errors.BAD_FLAGS,
            f"it does not fit on one device: {error.message.splitlines()[0]}",
            "--batch_size",
            "give --nowhole_batch, or a smaller --batch_size",
        ) from error
    say(_conclusion(verdict))
    journal.emit(_event(verdict))
    if problem := verdict.problem():
        raise problem


def _tell(step: int, found) -> None:
    """A line an update."""
    from resnet_tf.reporting import say

    said = "; ".join(f"with {way}: {_apart(d)}" for way, d in found.items())
    say(f"update {step}: from one device {said}")


def _apart(difference) -> str:
    if not difference.largest:
        return "equal"
    return (
        f"{difference.largest:.1g} ({difference.kind}), loss {difference.by_kind['loss']:.1g},"
        f" most in {difference.variable} ({difference.of_variable:.1g})"
    )


def _conclusion(verdict) -> str:
    """Whether it is right, and what the statistics of batch norms have to do with it."""
    away = [found["whole batch"] for _, found in verdict.updates if "whole batch" in found]
    if verdict.statistics != "local" or verdict.reason:
        return str(verdict)
    said = f"{verdict}; each has batch statistics of its own share (no --sync_batch_norm)"
    if not away:
        return said
    typical = statistics.median(difference.by_kind["weights"] for difference in away)
    return f"{said}, so the weights' update is {typical:.1g} away from that of the batch at once"


def _event(verdict) -> dict:
    return {
        "event": "verify_scaling",
        "replicas": verdict.replicas,
        "statistics": verdict.statistics,
        "compared_with": verdict.exact,
        "updates": [
            {"step": step, **{way.replace(" ", "_"): _numbers(d) for way, d in found.items()}}
            for step, found in verdict.updates
        ],
        "largest": verdict.largest,
        "ok": not verdict.reason,
        "reason": verdict.reason,
    }


def _numbers(difference) -> dict:
    return {
        "largest": difference.largest,
        "kind": difference.kind,
        "loss": difference.by_kind["loss"],
        "by_kind": difference.by_kind,
        "variable": difference.variable,
        "of_variable": difference.of_variable,
        "gradient_ratio": difference.gradient_ratio,
    }


if __name__ == "__main__":
    scripts.run(main)
