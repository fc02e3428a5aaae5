"""Makes records with a manifest from pictures.

  python data/prepare.py --source=folder --input=photos --output=data/photos --split_fraction=0.2
  python data/prepare.py --source=cifar --input=cifar-10-batches-bin --output=data/cifar10

A folder holds train/ and test/ (or val/), each with a folder a class, or the class folders
themselves, of which --split_fraction is then set apart for testing. Classes and files are in
natural order (2 before 10). data/README.md describes the other sources. Pictures keep their
bytes unless --max_side or --quality is given. The output appears under its name only when it is
whole; after a kill the same command goes on.
"""

import dataclasses
import os
import pathlib
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import flags

from resnet_tf import runtime, scripts
from resnet_tf.errors import bad_flag

# Which flags are for which source; all others are for every one.
_OWN_FLAGS = {
    "folder": ("split_fraction",),
    "cifar": ("labels",),
    "mnist": (),
    "imagenet": ("validation_labels", "synsets"),
    "tfds": ("offline", "beam", "beam_options", "imports"),
    "tfrecord": ("classes",),
}

_SOURCE = flags.DEFINE_string("source", "folder", "folder, cifar, mnist, imagenet, tfds, tfrecord")
_INPUT = flags.DEFINE_string("input", None, "folder or archive of the pictures; tfds: its name")
_OUTPUT = flags.DEFINE_string("output", None, "directory to make; --beam can do without")
_NAME = flags.DEFINE_string("name", None, "name of the data set; default: that of the input")
_LICENCE = flags.DEFINE_string("licence", None, "licence of the pictures; default: the source's")
_SEED = flags.DEFINE_integer("seed", 0, "of the split and the order of records")
_MAX_SIDE = flags.DEFINE_integer("max_side", None, "shrink pictures to this longer side, in pixels")
_QUALITY = flags.DEFINE_integer("quality", None, "encode all pictures as JPEG of this, 1 to 100")
_BAD_PICTURES = flags.DEFINE_string(
    "bad_pictures", "fail", "pictures that cannot be used: fail, or skip"
)
_WORKERS = flags.DEFINE_integer("workers", None, "shards written at a time; default: one a core")
flags.DEFINE_float(
    "split_fraction", None, "folder: share of each class for testing, above 0 and below 1"
)
flags.DEFINE_string("labels", None, "cifar: fine or coarse, of CIFAR-100; default fine")
flags.DEFINE_string("validation_labels", None, "imagenet: file of the validation pictures' labels")
flags.DEFINE_string("synsets", None, "imagenet: file of the synsets to keep, a line each")
flags.DEFINE_bool("offline", None, "tfds: download nothing")
flags.DEFINE_list("imports", None, "tfds: modules with builders of your own")
flags.DEFINE_bool("beam", None, "tfds: generate a set that is not there by Apache Beam")
flags.DEFINE_list("beam_options", None, "tfds: for Beam, as --runner=FlinkRunner,--parallelism=64")
flags.DEFINE_string("classes", None, "tfrecord: file of the classes to keep, a line each")


def main(_):
    _check_flags()
    if _value("offline"):
        # While TensorFlow is imported, urllib3 opens a socket to see whether there is IPv6.
        socket.has_ipv6 = False
    runtime.configure()
    if not _OUTPUT.value:
        _generate()
        return
    from resnet_tf.preparation import Bar, Recode, write_dataset
    from resnet_tf.reporting import journal, say

    recode = None
    if _MAX_SIDE.value is not None or _QUALITY.value is not None:
        recode = Recode(_MAX_SIDE.value, _QUALITY.value)
    listing = _listing()
    for remark in listing.remarks:
        say(remark)
    given = {"name": _NAME.value, "licence": _LICENCE.value}
    manifest = write_dataset(
        _OUTPUT.value,
        dataclasses.replace(listing, **{name: text for name, text in given.items() if text}),
        seed=_SEED.value,
        recode=recode,
        skip_bad=_BAD_PICTURES.value == "skip",
        workers=_WORKERS.value,
        progress=Bar(),
    )
    records = {split: manifest.records(split) for split in manifest.splits}
    total = sum(len(pictures) for pictures in listing.splits.values())
    say(f"{_OUTPUT.value}: {_described(manifest, records)}")
    say(f"to prove every picture: python data/check.py --data_dir={_OUTPUT.value}")
    journal.emit(
        {
            "event": "prepared",
            "output": _OUTPUT.value,
            "records": records,
            "classes": len(manifest.classes),
            "skipped": total - sum(records.values()),
        }
    )


def _generate() -> None:
    """Has TFDS make its own records, by Beam, and leaves them as they are."""
    from resnet_tf.preparation import tfds_directory
    from resnet_tf.reporting import journal, say

    by_beam = _by_beam()
    source = _INPUT.value
    directory = tfds_directory.found(source) or tfds_directory.make(source, by_beam=by_beam)
    say(f"{directory}: here TFDS keeps {source}; before it can be trained on:")
    say(f"python data/check.py --data_dir={directory} --write_manifest")
    journal.emit({"event": "generated", "directory": str(directory)})


def _described(manifest, records: dict[str, int]) -> str:
    counts = ", ".join(f"{number:,} {split}" for split, number in records.items())
    classes = len(manifest.classes)
    mean, std = (" ".join(f"{v:.2f}" for v in values) for values in (manifest.mean, manifest.std))
    return f"{classes} {'class' if classes == 1 else 'classes'}, {counts}, mean {mean}, std {std}"


def _check_flags() -> None:
    for name, flag in (("input", _INPUT), ("output", _OUTPUT)):
        if not flag.value and not (flag is _OUTPUT and _value("beam")):
            raise bad_flag(name, "must be given")
    source = _SOURCE.value
    if source not in _OWN_FLAGS:
        raise bad_flag("source", f"must be one of {', '.join(_OWN_FLAGS)}", repr(source))
    for owner, names in _OWN_FLAGS.items():
        for name in names:
            if owner != source and _value(name) is not None:
                raise bad_flag(name, f"is for --source={owner}, not for {source}")
    _check_beam_flags()
    if _SEED.value < 0:
        raise bad_flag("seed", "must be 0 or more", _SEED.value)
    for name in ("workers", "max_side"):
        if _value(name) is not None and _value(name) < 1:
            raise bad_flag(name, "must be 1 or more", _value(name))
    if _QUALITY.value is not None and not 1 <= _QUALITY.value <= 100:
        raise bad_flag("quality", "must be from 1 to 100", _QUALITY.value)
    if _BAD_PICTURES.value not in ("fail", "skip"):
        raise bad_flag("bad_pictures", "must be fail or skip", repr(_BAD_PICTURES.value))
    if _value("labels") not in (None, "fine", "coarse"):
        raise bad_flag("labels", "must be fine or coarse", repr(_value("labels")))
    places = (pathlib.Path(os.path.realpath(flag.value)) for flag in (_OUTPUT, _INPUT))
    if source == "folder" and pathlib.Path.is_relative_to(*places):  # it would become a class
        raise bad_flag("output", "must not lie inside --input", _OUTPUT.value)


def _check_beam_flags() -> None:
    if _value("beam_options") is not None and not _value("beam"):
        raise bad_flag("beam_options", "needs --beam")
    if _value("beam"):
        if _value("offline"):
            raise bad_flag("beam", "generates a set, so it excludes --offline")
        scripts.refuse_without("apache-beam", "generates the set", "--beam", "beam")


def _listing():
    """What the source holds; each source is loaded only when it is asked for."""
    source, path, seed = _SOURCE.value, pathlib.Path(_INPUT.value), _SEED.value
    if source == "folder":
        from resnet_tf.preparation import folder

        return folder.listing(path, fraction=_value("split_fraction"), seed=seed)
    if source == "cifar":
        from resnet_tf.preparation import cifar

        return cifar.listing(path, labels=_value("labels") or "fine")
    if source == "mnist":
        from resnet_tf.preparation import mnist

        return mnist.listing(path)
    if source == "imagenet":
        from resnet_tf.preparation import imagenet

        files = {name: _path(name) for name in ("validation_labels", "synsets")}
        return imagenet.listing(path, **files)
    if source == "tfds":
        return _tfds_listing()
    from resnet_tf.preparation import tfrecord

    return tfrecord.listing(path, classes=_path("classes"))


def _tfds_listing():
    from resnet_tf.preparation import tfds

    by_beam = _by_beam()
    return tfds.listing(_INPUT.value, offline=bool(_value("offline")), by_beam=by_beam)


def _by_beam():
    """How Beam is to be used, None where it is not; TFDS then knows the user's own builders."""
    from resnet_tf.preparation import beam, tfds_directory

    by_beam = beam.download_config(_value("beam_options") or ()) if _value("beam") else None
    tfds_directory.import_builders(_value("imports") or ())
    return by_beam


def _value(name: str):
    return flags.FLAGS[name].value


def _path(name: str) -> pathlib.Path | None:
    return pathlib.Path(_value(name)) if _value(name) else None


if __name__ == "__main__":
    scripts.run(main)
