"""Says what is on pictures: a JSON line each on stdout.

  python tools/predict.py --checkpoint=runs/flowers rose.jpg photos/ 'more/*.png'
  find . -name '*.jpg' | python tools/predict.py --checkpoint=runs/flowers --table - >/dev/null

Takes files, folders, patterns, and - for a list on standard input. A picture that cannot be used
gets a line with its error, and the exit code is then 65. Where a picture's folder has the name of
a class, the line has it as "true"; --synsets=FILE, of lines synset<TAB>name, is for folders that
are called n01440764 where the classes have names.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import flags

from resnet_tf import errors, runtime, scripts
from resnet_tf.errors import UserError, bad_flag

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "model directory, or one commit")
_WEIGHTS = flags.DEFINE_enum(
    "weights", "auto", ["auto", "raw", "average"], "of the commit; auto: the average if it has one"
)
_TOP = flags.DEFINE_integer("top", 5, "classes a picture")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "pictures at a time")
_CALIBRATED = flags.DEFINE_bool("calibrated", False, "use the temperature that eval.py fitted")
_TABLE = flags.DEFINE_bool("table", False, "show a table on stderr, too")
_EXPLAIN = flags.DEFINE_string("explain", None, "folder for Grad-CAM pictures of the first class")
_SYNSETS = flags.DEFINE_string("synsets", None, "file of lines synset<TAB>name, for folders' names")
_DEVICES = flags.DEFINE_string("devices", "auto", "auto, cpu or gpu:N")


def main(sources):
    if not _CHECKPOINT.value:
        raise UserError(
            errors.BAD_FLAGS, "no checkpoint is given", "--checkpoint", "give a model directory"
        )
    if not sources:
        raise UserError(errors.BAD_FLAGS, "no picture is given", "arguments", "see --helpshort")
    for flag in (_TOP, _BATCH_SIZE):
        if flag.value < 1:
            raise bad_flag(flag.name, "must be 1 or more", flag.value)
    from resnet_tf.distribution import DeviceRequest

    devices = DeviceRequest.parse(_DEVICES.value)
    runtime.configure(devices.logical_cpus)
    from resnet_tf import checkpoint, evaluation
    from resnet_tf.distribution import make_strategy
    from resnet_tf.preparation.imagenet_labels import read_synsets
    from resnet_tf.reporting import journal

    synsets = read_synsets(pathlib.Path(_SYNSETS.value)) if _SYNSETS.value else None
    # Names of files are bytes, which need not be text in any encoding.
    paths = evaluation.listed_pictures(sources, sys.stdin.buffer)
    with make_strategy(devices).scope():
        loaded, temperature = checkpoint.read(_CHECKPOINT.value, _loaded)
    explainer = evaluation.Explainer(loaded, _EXPLAIN.value) if _EXPLAIN.value else None
    bad = []
    for row in evaluation.predict(
        loaded, paths, top=_TOP.value, batch_size=_BATCH_SIZE.value, temperature=temperature,
        explainer=explainer, synsets=synsets,
    ):  # fmt: skip
        journal.emit(row)
        if "error" in row:
            bad.append(row)
        if _TABLE.value:
            print(_line(row), file=sys.stderr)
    if bad:
        raise UserError(
            errors.BAD_DATA,
            f"{len(bad):,} of {len(paths):,} pictures could not be used, first:"
            f" {errors.plain(bad[0]['error'])}",
            errors.plain(bad[0]["file"]),
            "the others are done; take these out or mend them",
        )


def _loaded(commit):
    """The network of a commit, and the temperature of its answers."""
    from resnet_tf import evaluation

    loaded = evaluation.load(commit, _WEIGHTS.value)
    if not _CALIBRATED.value:
        return loaded, 1.0
    return loaded, evaluation.stored_temperature(commit, loaded.weights)[0]


def _line(row: dict) -> str:
    file = errors.plain(row["file"])
    if "error" in row:
        return f"{file}  - {errors.plain(row['error'])}"
    shown = "  ".join(f"{e['score']:6.1%} {errors.plain(e['class'])}" for e in row["top"])
    if "true" not in row:
        return f"{file}  {shown}"
    right = row["top"][0]["class"] == row["true"]
    mark = "right" if right else f"wrong, is {errors.plain(row['true'])}"
    return f"{file}  {shown}  ({mark})"


if __name__ == "__main__":
    scripts.run(main, positional=True)
