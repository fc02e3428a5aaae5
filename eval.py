"""Evaluates a saved network on every record of a split.

  python eval.py --checkpoint=runs/digits

PATH is a model directory (its newest commit) or one commit. Network, classes, picture size and
normalisation come from the checkpoint; data directory and split too, unless they are given.
"""

import pathlib

from absl import flags

from resnet_tf import errors, runtime, scripts
from resnet_tf.errors import UserError

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "model directory, or one commit")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "default: the data that it was trained on")
_SPLIT = flags.DEFINE_string("split", None, "default: the split that training evaluated on")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 100, "examples a step, over all devices")
_WEIGHTS = flags.DEFINE_enum(
    "weights", "auto", ["auto", "raw", "average"], "of the commit; auto: the average if it has one"
)
_DEVICES = flags.DEFINE_string("devices", "auto", "auto, cpu, cpu:N, gpu:all or gpu:0,1")


def main(_):
    if not _CHECKPOINT.value:
        raise UserError(
            errors.BAD_FLAGS, "no checkpoint is given", "--checkpoint", "give a model directory"
        )
    if _BATCH_SIZE.value < 1:
        raise UserError(
            errors.BAD_FLAGS,
            f"batch_size must be 1 or more, got {_BATCH_SIZE.value}",
            "--batch_size",
            "give a larger one",
        )
    from resnet_tf.distribution import DeviceRequest

    request = DeviceRequest.parse(_DEVICES.value)
    runtime.configure(request.logical_cpus)
    from resnet_tf.evaluation import evaluate_checkpoint
    from resnet_tf.reporting import journal

    event = evaluate_checkpoint(
        pathlib.Path(_CHECKPOINT.value),
        request,
        data_dir=_DATA_DIR.value,
        split=_SPLIT.value,
        batch_size=_BATCH_SIZE.value,
        weights=_WEIGHTS.value,
    )
    journal.emit({"event": "eval", **event})


if __name__ == "__main__":
    scripts.run(main)
