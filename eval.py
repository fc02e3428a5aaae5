"""Evaluates a saved network on every record of a split.

  python eval.py --checkpoint=runs/digits
  python eval.py --checkpoint=runs/digits --confusion=confusion.csv --predictions=rows.csv
  python eval.py --checkpoint=runs/digits --watch        each new commit, until the run is done

PATH is a model directory (its newest commit) or one commit. Network, classes, picture size and
normalisation come from the checkpoint; data directory and split too, unless they are given.
"""

from absl import flags

from resnet_tf import errors, runtime, scripts
from resnet_tf.errors import UserError, bad_flag

# Where --helpfull lists what is not common enough for --helpshort.
_RARE = "resnet_tf.evaluation"

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "model directory, or one commit")
_WATCH = flags.DEFINE_bool("watch", False, "evaluate every new commit until the run is done")
_WATCH_SECONDS = flags.DEFINE_float(
    "watch_seconds", 10.0, "watch: between two looks", module_name=_RARE
)
_WATCH_PATIENCE = flags.DEFINE_float(
    "watch_patience", 0.0, "watch: seconds without a new commit, then end; 0: never",
    module_name=_RARE,
)  # fmt: skip
_DEVICES = flags.DEFINE_string("devices", "auto", "auto, cpu, cpu:N, gpu:all or gpu:0,1")
# The fields of `evaluation.Request`.
_REQUEST = [
    flags.DEFINE_string("data_dir", "", "default: the data that it was trained on"),
    flags.DEFINE_string("split", "", "default: the split that training evaluated on"),
    flags.DEFINE_integer("batch_size", 100, "examples a step, over all devices"),
    flags.DEFINE_enum(
        "weights",
        "auto",
        ["auto", "raw", "average"],
        "of the commit; auto: the average if it has one",
    ),
    flags.DEFINE_string("predictions", "", "file for a row a record: .csv or .parquet"),
    flags.DEFINE_string("confusion", "", "file for the confusion matrix, CSV"),
    flags.DEFINE_string("class_scores", "", "file for precision, recall and F1 a class, CSV"),
    flags.DEFINE_integer("crops", 1, "views of a picture: 1, or 5 with the corners"),
    flags.DEFINE_bool("flip", False, "look at the mirror image, too"),
    flags.DEFINE_string(
        "label_map", "", "'names', or JSON of the network's classes for each class of the data"
    ),
    flags.DEFINE_string(
        "alternative_labels", "", "JSON of all right labels of each record, such as real.json"
    ),
    flags.DEFINE_bool("fit_temperature", False, "fit one on this split and keep it"),
    flags.DEFINE_bool("calibrated", False, "use the temperature that was fitted"),
]


def main(_):
    if not _CHECKPOINT.value:
        raise UserError(
            errors.BAD_FLAGS, "no checkpoint is given", "--checkpoint", "give a model directory"
        )
    for flag in (_WATCH_SECONDS, _WATCH_PATIENCE):
        if not 0 <= flag.value < float("inf"):
            raise bad_flag(flag.name, "must be 0 or more, and finite", flag.value)
    if scripts.FLAGS.fit_temperature and "://" in _CHECKPOINT.value:
        raise bad_flag("fit_temperature", "is kept beside a commit, and needs one on this machine")
    if _WATCH.value and scripts.FLAGS.calibrated:
        raise bad_flag("watch", "and calibrated exclude each other: each commit has its own")
    from resnet_tf.distribution import DeviceRequest

    devices = DeviceRequest.parse(_DEVICES.value)
    runtime.configure(devices.logical_cpus)
    from resnet_tf import evaluation

    asked = {flag.name: flag.value for flag in _REQUEST}
    if _WATCH.value:
        _watch(devices, evaluation.Request(**asked))
    else:
        _tell(evaluation.evaluate_checkpoint(_CHECKPOINT.value, devices, **asked))


def _watch(devices, request) -> None:
    import tensorflow as tf

    from resnet_tf import checkpoint, evaluation
    from resnet_tf.distribution import make_strategy
    from resnet_tf.reporting import say

    commits = evaluation.new_commits(
        _CHECKPOINT.value, every=_WATCH_SECONDS.value, patience=_WATCH_PATIENCE.value, say=say
    )
    strategy, evaluator = make_strategy(devices), None
    for commit in commits:
        try:
            evaluator = evaluator or evaluation.Evaluator(commit, strategy, request)
            event = evaluator.evaluate(commit)
        except (UserError, OSError, ValueError, tf.errors.OpError):
            if checkpoint.is_there(commit.path):
                raise
            continue  # the run has removed it meanwhile, and has made a newer one
        _tell(event)


def _tell(event: dict) -> None:
    from resnet_tf import evaluation
    from resnet_tf.reporting import journal, say

    for line in evaluation.describe(event):
        say(line)
    journal.emit({"event": "eval", **event})


if __name__ == "__main__":
    scripts.run(main)
