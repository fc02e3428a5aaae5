"""Makes records with a manifest from pictures.

  python data/prepare.py --source=folder --input=photos --output=data/photos --split_fraction=0.2
  python data/prepare.py --source=folder --input=cifar10_jpeg --output=data/cifar10

The folder holds either train/ and test/ (or val/ or validation/), each with a folder a class,
or the class folders themselves, of which --split_fraction is then set apart for testing.
Classes and files are in natural order (2 before 10); bytes of the pictures are kept as they are.
The output appears under its name only when it is whole.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import flags

from resnet_tf import runtime, scripts
from resnet_tf.config import bad_flag

_SOURCE = flags.DEFINE_string("source", "folder", "kind of input: folder")
_INPUT = flags.DEFINE_string("input", None, "folder of the pictures")
_OUTPUT = flags.DEFINE_string("output", None, "directory to make")
_NAME = flags.DEFINE_string("name", None, "name of the data set; default: that of the input")
_LICENCE = flags.DEFINE_string("licence", "not stated", "licence of the pictures")
_FRACTION = flags.DEFINE_float(
    "split_fraction", None, "share of each class set apart for testing, above 0 and below 1"
)
_SEED = flags.DEFINE_integer("seed", 0, "of the split and the order of records")


def main(_):
    for name, flag in (("input", _INPUT), ("output", _OUTPUT)):
        if not flag.value:
            raise bad_flag(name, "must be given")
    if _SOURCE.value != "folder":
        raise bad_flag("source", "must be folder", repr(_SOURCE.value))
    if _SEED.value < 0:
        raise bad_flag("seed", "must be 0 or more", _SEED.value)
    runtime.configure()
    from tqdm import tqdm

    from resnet_tf.preparation import folder, write_dataset
    from resnet_tf.reporting import journal, say

    source = pathlib.Path(_INPUT.value)
    classes, splits = folder.scan(source, _FRACTION.value, _SEED.value)
    manifest = write_dataset(
        _OUTPUT.value,
        name=_NAME.value or source.resolve().name,
        licence=_LICENCE.value,
        classes=classes,
        splits=splits,
        seed=_SEED.value,
        progress=lambda pictures: tqdm(
            pictures, unit="picture", file=sys.stderr, disable=not sys.stderr.isatty()
        ),
    )
    records = {split: manifest.records(split) for split in manifest.splits}
    say(f"{_OUTPUT.value}: {len(classes)} classes, mean {manifest.mean}, std {manifest.std}")
    journal.emit({"event": "prepared", "output": _OUTPUT.value, "records": records})


if __name__ == "__main__":
    scripts.run(main)
