"""Looks at every record of a data set and says what is wrong with it: the data doctor.

  python data/check.py --data_dir=data/digits
  python data/check.py --data_dir=imagenet/tfrecords --write_manifest --html=imagenet.html

Checks shards against the manifest, both checksums of each record, its fields, its label and
its picture, which is decoded. An error is what training could not use (exit code 65), a warning
what is merely odd. With --write_manifest, records made elsewhere become a data set in place.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import flags

from resnet_tf import errors, runtime, scripts
from resnet_tf.errors import bad_flag

# headers.MAX_PIXELS, above which training decodes nothing; flags are checked before it loads.
_MOST_PIXELS = 89_478_485
_DATA_DIR = flags.DEFINE_string("data_dir", None, "directory of the records")
_SPLIT = flags.DEFINE_string("split", "", "the only split to look at; default: all")
_NO_DECODE = flags.DEFINE_bool("no_decode", False, "leave the decoder out, which is faster")
_MAX_PIXELS = flags.DEFINE_integer(
    "max_image_pixels", _MOST_PIXELS, "height times width above which a picture is refused"
)
_WRITE = flags.DEFINE_bool("write_manifest", False, "write dataset.json beside foreign records")
_CLASSES = flags.DEFINE_string(
    "classes", "", "file of class names, a line each, or synset<TAB>name"
)
_OFFSET = flags.DEFINE_integer("label_offset", None, "the label of the first class; default: found")
_HTML = flags.DEFINE_string("html", "", "file to write a page to, with pictures of each class")
_WORKERS = flags.DEFINE_integer("workers", 0, "pictures decoded at a time; 0: one a core")
_STRICT = flags.DEFINE_bool("strict", False, "warnings, too, end in exit code 65")


def main(_):
    _check_flags()
    runtime.configure()
    from tqdm import tqdm

    from resnet_tf import inspection
    from resnet_tf.inspection import counted
    from resnet_tf.reporting import journal, say

    options = _options()
    total = inspection.bytes_of(_DATA_DIR.value, options)
    with tqdm(
        total=total, unit="B", unit_scale=True, file=sys.stderr, disable=not sys.stderr.isatty()
    ) as bar:
        report = inspection.check(
            _DATA_DIR.value,
            options,
            on_finding=lambda finding: journal.emit(finding.to_json()),
            advance=bar.update,
        )
    for line in _description(report):
        say(errors.plain(line))
    journal.emit(_result(report))  # now, as the page or the manifest may not be writable
    if _HTML.value:
        inspection.page.write(_HTML.value, report)
        say(f"page: {errors.plain(_HTML.value)}")
    failed = report.errors or (_STRICT.value and report.warnings)
    if _WRITE.value and not failed:
        manifest = inspection.writing.write(report)
        say(f"wrote {errors.plain(str(manifest.directory / 'dataset.json'))}")
    if failed:
        raise errors.UserError(
            errors.BAD_DATA,
            f"{counted(report.errors, 'error')}, {counted(report.warnings, 'warning')}"
            + (", so no dataset.json was written" if _WRITE.value else ""),
            _DATA_DIR.value,
            "see above; each finding is a line on stdout",
        )


def _check_flags() -> None:
    """Raises UserError 64 for a value that cannot be used."""
    if not _DATA_DIR.value:
        raise bad_flag("data_dir", "must be given")
    if not 1 <= _MAX_PIXELS.value <= _MOST_PIXELS:
        raise bad_flag("max_image_pixels", f"must be from 1 to {_MOST_PIXELS}", _MAX_PIXELS.value)
    if _WORKERS.value < 0:
        raise bad_flag("workers", "must be 0 or more", _WORKERS.value)
    if _OFFSET.value is not None and abs(_OFFSET.value) > 2**31:
        raise bad_flag("label_offset", "must be at most 2147483648 either way", _OFFSET.value)
    if _WRITE.value and _NO_DECODE.value:
        raise bad_flag("write_manifest", "needs mean and deviation, so it excludes --no_decode")
    if _WRITE.value and _SPLIT.value:
        raise bad_flag("write_manifest", "describes every split, so it excludes --split")
    if not pathlib.Path(_DATA_DIR.value).exists():  # said before TensorFlow loads
        raise errors.UserError(
            errors.MISSING_INPUT,
            "the data directory does not exist",
            _DATA_DIR.value,
            "give --data_dir, or make one with data/prepare.py",
        )
    if _HTML.value and not pathlib.Path(_HTML.value).absolute().parent.is_dir():
        what, remedy = "there is no such directory to write the page to", "choose another place"
        raise errors.UserError(errors.CANNOT_CREATE, what, _HTML.value, remedy)


def _options():
    """What the flags ask of `inspection.check`."""
    from resnet_tf import inspection

    return inspection.Options(
        split=_SPLIT.value,
        decode=not _NO_DECODE.value,
        max_pixels=_MAX_PIXELS.value,
        classes=inspection.read_class_names(_CLASSES.value) if _CLASSES.value else (),
        label_offset=_OFFSET.value,
        anew=_WRITE.value,
        workers=_WORKERS.value,
    )


def _description(report) -> list[str]:
    """What people read: what the set is, then the findings."""
    records = ", ".join(f"{count:,} {split}" for split, count in report.records.items())
    classes = report.classes
    lines = [
        f"{report.layout.name}: {records}; {len(classes.names):,} classes,"
        f" named by {classes.names_from}; label offset {classes.offset} ({classes.offset_from})"
    ]
    if report.mean:
        mean, std = (" ".join(f"{v:.2f}" for v in values) for values in (report.mean, report.std))
        lines.append(f"mean {mean}, standard deviation {std}")
    lines += [_spread(split, counts, classes.names) for split, counts in report.histogram.items()]
    return lines + report.findings.lines() + ([] if report.findings.counts else ["nothing found"])


def _spread(split: str, counts, names) -> str:
    """The classes with the fewest and the most pictures; the page and the result have all."""
    few, most = int(counts.argmin()), int(counts.argmax())
    return f"{split}: {counts[few]:,} ({names[few]}) to {counts[most]:,} ({names[most]}) a class"


def _result(report) -> dict:
    return {
        "event": "checked",
        "data_dir": _DATA_DIR.value,
        "records": report.records,
        "histogram": {split: counts.tolist() for split, counts in report.histogram.items()},
        "errors": report.errors,
        "warnings": report.warnings,
        "mean": report.mean or None,
        "std": report.std or None,
    }


if __name__ == "__main__":
    scripts.run(main)
