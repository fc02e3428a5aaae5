"""Writes a trained network in a form that other programs take.

  python tools/export.py --checkpoint=runs/digits --format=saved_model --output=served/digits/1
  python tools/export.py --checkpoint=runs/digits --format=tflite --kind=int8 --output=digits.tflite
  python tools/export.py --checkpoint=runs/digits --format=safetensors --output=d.safetensors

What was made is run on pictures of the data set beside the checkpoint, and gets its name only where
both agree.
"""

import dataclasses
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import flags

from resnet_tf import runtime, scripts
from resnet_tf.errors import bad_flag

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "model directory, or one commit")
_OUTPUT = flags.DEFINE_string("output", None, "file or directory to make")
_FORMAT = flags.DEFINE_string(
    "format", "saved_model", "saved_model, tflite, onnx, safetensors or npz"
)
_KIND = flags.DEFINE_string("kind", "float32", "of tflite: float32, float16 or int8")
_WEIGHTS = flags.DEFINE_enum(
    "weights", "auto", ["auto", "raw", "average"], "of the commit; auto: the average if it has one"
)
_DATA_DIR = flags.DEFINE_string("data_dir", "", "of the pictures; default: what it trained on")
_SPLIT = flags.DEFINE_string("split", "", "of them; default: the split it evaluated on")
_CALIBRATION_SPLIT = flags.DEFINE_string(
    "calibration_split", "", "of the pictures that int8 learns from; default: what it trained on"
)
_PICTURES = flags.DEFINE_integer("pictures", 256, "how many it is run on, and int8 learns from")


def main(_):
    for flag in (_CHECKPOINT, _OUTPUT):
        if not flag.value:
            raise bad_flag(flag.name, "must be given")
    if _PICTURES.value < 1:
        raise bad_flag("pictures", "must be 1 or more", _PICTURES.value)
    runtime.configure()
    from resnet_tf import checkpoint, evaluation, exporting
    from resnet_tf.reporting import journal, say

    exporting.refuse(_OUTPUT.value, _FORMAT.value, _KIND.value)
    commit, loaded = checkpoint.read(
        _CHECKPOINT.value, lambda commit: (commit, evaluation.load(commit, _WEIGHTS.value))
    )
    manifest, split = evaluation.data_for(commit, _DATA_DIR.value, _SPLIT.value)
    calibration = None
    if _KIND.value == "int8":
        learned_from = _calibration_split(commit)
        if learned_from == split:
            say(f"int8 is judged on the split that it learns its ranges from, {split}")
        calibration, _ = evaluation.some_pictures(
            commit, loaded, manifest, learned_from, _PICTURES.value
        )
    pictures, labels = evaluation.some_pictures(commit, loaded, manifest, split, _PICTURES.value)
    made = exporting.export(
        loaded, _OUTPUT.value, _FORMAT.value, pictures, _KIND.value,
        labels=labels, calibration=calibration,
    )  # fmt: skip
    for line in _told(made):
        say(line)
    event = {"event": "exported", "checkpoint": str(commit.path), "step": commit.step}
    journal.emit({**event, "weights": loaded.weights, **dataclasses.asdict(made)})


def _calibration_split(commit) -> str:
    """By default the one that the network was trained on."""
    trained_on = commit.manifest["data"] or {}
    return _CALIBRATION_SPLIT.value or trained_on.get("train_split", "train")


def _told(made):
    yield (
        f"{made.path}: {made.megabytes:,g} MB; on {made.pictures} pictures no probability differs"
        f" by more than {made.largest_difference:.1g} from the checkpoint's, the same class is"
        f" first on {made.agreement:.2%}"
    )
    if made.top1 is not None:
        loss = ": it loses a point or more" if made.loses() else ""
        yield f"top-1 {made.top1:.2%}, of the checkpoint {made.checkpoint_top1:.2%}{loss}"


if __name__ == "__main__":
    scripts.run(main)
