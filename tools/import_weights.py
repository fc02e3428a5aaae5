"""Makes a model directory of weights that were trained elsewhere; eval.py takes it as it is.

  python tools/import_weights.py --model=resnet50 --weights=resnet50.safetensors \\
      --output=runs/resnet50 --classes=imagenet_classes.txt
  python eval.py --checkpoint=runs/resnet50 --data_dir=data/imagenet --split=validation

Reads .safetensors, .npz and TensorFlow checkpoints (TF1's too) of the ResNets of torchvision, timm,
transformers, PyTorch's CIFAR ResNets and EX6_NET. Every tensor must find its variable and every
variable its tensor. Never opens a pickle.
"""

import sys

from absl import flags

from resnet_tf import errors, runtime, scripts
from resnet_tf.errors import UserError, bad_flag

_MODEL = flags.DEFINE_string("model", None, "network, a name that resnet_tf.models.names() lists")
_MODEL_OPTIONS = flags.DEFINE_list("model_options", [], "as name=value,name=value")
_WEIGHTS = flags.DEFINE_string("weights", None, "file of the weights, or a checkpoint's prefix")
_OUTPUT = flags.DEFINE_string("output", None, "model directory to make")
_CLASSES = flags.DEFINE_string(
    "classes", None, "file of class names in the order of labels, a name or synset<TAB>name a line"
)
_MEAN = flags.DEFINE_list("mean", None, "a channel, in pixel units; default: the network's usual")
_STD = flags.DEFINE_list("std", None, "a channel, in pixel units; default: the network's usual")
_INPUT_SIZE = flags.DEFINE_integer("input_size", None, "pixels a side; default: the usual")
_SHORTER_SIDE = flags.DEFINE_integer(
    "shorter_side", None, "resize to this, then cut out the middle; default: the usual"
)


def main(_):
    for flag in (_MODEL, _WEIGHTS, _OUTPUT):
        if not flag.value:
            what = f"--{flag.name} is not given"
            raise UserError(errors.BAD_FLAGS, what, f"--{flag.name}", "see --helpshort")
    for flag in (_INPUT_SIZE, _SHORTER_SIDE):
        if flag.value is not None and flag.value < 1:
            raise bad_flag(flag.name, "must be 1 or more", flag.value)
    options = scripts.options_from("model_options", _MODEL_OPTIONS.value)
    mean = _MEAN.value and scripts.numbers_from("mean", _MEAN.value)
    std = _STD.value and scripts.numbers_from("std", _STD.value)
    runtime.configure()
    from resnet_tf.evaluation import import_weights
    from resnet_tf.reporting import journal

    commit, translation = import_weights(
        _MODEL.value,
        _WEIGHTS.value,
        _OUTPUT.value,
        options=options,
        classes=_CLASSES.value,
        mean=mean,
        std=std,
        input_size=_INPUT_SIZE.value,
        shorter_side=_SHORTER_SIDE.value,
    )
    if translation.left_out:
        print(
            f"left out {len(translation.left_out)} tensors (counters, optimizer slots, averages of"
            f" weights), such as {translation.left_out[0]}",
            file=sys.stderr,
        )
    if not commit.manifest["classes"]:
        print("the classes have no names: --classes=FILE gives them", file=sys.stderr)
    print(f"imported: {_OUTPUT.value}", file=sys.stderr)
    journal.emit({
        "event": "imported",
        "checkpoint": str(commit.path),
        "model": _MODEL.value,
        "num_classes": commit.manifest["architecture"]["num_classes"],
        "variables": len(translation.tensors),
        "left_out": len(translation.left_out),
        "preprocessing": commit.manifest["preprocessing"],
        "digest": commit.manifest["digest"],
    })  # fmt: skip


if __name__ == "__main__":
    scripts.run(main)
