"""Is B better than A? Runs, commits or files of predictions, on the same pictures.

  python tools/compare.py runs/a runs/b
  python tools/compare.py --changes=changes.csv a.csv b.parquet     of eval.py --predictions

Says how many pictures B fixes and breaks, the difference with its 95 % interval, McNemar's test,
and the classes won and lost. Of two runs that should be equal it finds the first step at which they
part ways: other records, other augmentation or other arithmetic.
"""

import csv
import io
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import flags

from resnet_tf import errors, runtime, scripts
from resnet_tf.errors import UserError

_DATA_DIR = flags.DEFINE_string("data_dir", "", "of runs; default: the data they trained on")
_SPLIT = flags.DEFINE_string("split", "", "of runs; default: the split they evaluated on")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 100, "examples a step, over all devices")
_WEIGHTS = flags.DEFINE_enum(
    "weights", "auto", ["auto", "raw", "average"], "of commits; auto: the average if there is one"
)
_CHANGES = flags.DEFINE_string("changes", "", "CSV file for the pictures fixed and broken")
_DEVICES = flags.DEFINE_string("devices", "auto", "auto, cpu, cpu:N, gpu:all or gpu:0,1")

_SHOWN = 5


def main(sources):
    if len(sources) != 2:
        what = f"two things can be compared, not {len(sources)}"
        raise UserError(errors.BAD_FLAGS, what, "arguments", "give A and B")
    from resnet_tf.distribution import DeviceRequest

    devices = DeviceRequest.parse(_DEVICES.value)
    runtime.configure(devices.logical_cpus)
    from resnet_tf import evaluation
    from resnet_tf.reporting import journal

    asked = evaluation.Request(
        data_dir=_DATA_DIR.value,
        split=_SPLIT.value,
        batch_size=_BATCH_SIZE.value,
        weights=_WEIGHTS.value,
    )
    commits, tables = _predictions(sources, devices, asked)
    found = evaluation.compare(*tables)
    event = {"event": "compare", "a": sources[0], "b": sources[1], **found.to_json()}
    if all(commits):
        event |= _steps(sources, commits)
    if _CHANGES.value:
        evaluation.write_table(_CHANGES.value, _csv(found.changes))
    _tell(event, found)
    journal.emit(event)


def _is_run(source: str) -> bool:
    from resnet_tf.evaluation import PREDICTION_ENDINGS

    return pathlib.Path(source).is_dir() or not source.lower().endswith(PREDICTION_ENDINGS)


def _predictions(sources, devices, asked) -> tuple[list, list[dict]]:
    """The commits of the runs among A and B, None for a file; and of both the columns."""
    from resnet_tf import checkpoint, evaluation
    from resnet_tf.distribution import make_strategy

    runs = [_is_run(source) for source in sources]
    strategy = make_strategy(devices) if any(runs) else None

    def with_evaluator(commit):
        return commit, evaluation.Evaluator(commit, strategy, asked)

    commits, evaluators = zip(
        *(
            checkpoint.read(source, with_evaluator) if is_run else (None, None)
            for source, is_run in zip(sources, runs)
        )
    )
    if all(runs):
        _refuse_other_data(*evaluators)
    tables = []
    for source, commit, evaluator in zip(sources, commits, evaluators):
        if evaluator:
            rows = evaluator.predict(commit)
            tables.append(evaluation.columns(rows, evaluator.keys, evaluator.classes))
        else:
            tables.append(evaluation.read_predictions(source))
    return commits, tables


def _refuse_other_data(a, b) -> None:
    """Names of records are no proof: two data sets may both have a picture called 1.jpg."""
    if a.manifest.fingerprint(a.split) == b.manifest.fingerprint(b.split):
        return
    places = [f"{e.manifest.directory} ({e.split})" for e in (a, b)]
    what = f"A would be looked at on {places[0]}, B on {places[1]}, and these differ"
    raise UserError(
        errors.MISMATCH, what, "A, B", "give the --data_dir and --split of one for both"
    )


def _steps(sources, commits) -> dict:
    """Where the two runs part ways; nothing where one has no steps."""
    from resnet_tf import evaluation
    from resnet_tf.reporting import steps

    rows = [steps.read(pathlib.Path(source)) for source in sources]
    if not all(rows):
        return {}
    common = len({row["step"] for row in rows[0]} & {row["step"] for row in rows[1]})
    data = [(commit.manifest["data"] or {}).get("fingerprint") for commit in commits]
    return {"common_steps": common, "first_difference": evaluation.first_difference(*rows, data)}


def _csv(changes) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["key", "label", "a", "b", "change"])
    for change in changes:
        word = "fixed" if change.fixed else "broken"
        writer.writerow([change.key, change.label, change.before, change.after, word])
    return text.getvalue()


def _tell(event: dict, found) -> None:
    from resnet_tf.reporting import say

    low, high = event["interval"]
    top1_a, top1_b = event["top1"]
    say(
        f"top-1 of A {top1_a:.2%}, of B {top1_b:.2%} on {event['examples']:,} pictures: B is"
        f" {event['difference']:+.2%} (95 % interval {low:+.2%} to {high:+.2%})"
    )
    say(
        f"B fixes {event['fixed']:,} and breaks {event['broken']:,}; equals would differ so much"
        f" with p = {event['p_value']:.2g}"
    )
    classes = found.by_class()
    won = [row for row in classes if row[1] > row[2]][:_SHOWN]
    lost = [row for row in reversed(classes) if row[1] < row[2]][:_SHOWN]
    for word, rows in (("won", won), ("lost", lost)):
        if rows:
            listed = (f"{errors.plain(name)} {fixed - broken:+,}" for name, fixed, broken in rows)
            say(f"classes {word}: " + ", ".join(listed))
    for change in found.changes[:_SHOWN]:
        word = "fixed" if change.fixed else "broken"
        names = (errors.plain(name) for name in (change.label, change.before, change.after))
        say("{}: {} is {}, A says {}, B {}".format(word, errors.plain(change.key), *names))
    if "first_difference" in event:
        say(_parting(event["common_steps"], event["first_difference"]))


def _parting(common: int, difference: dict | None) -> str:
    if not common:
        return "the runs have no steps in common"
    if difference is None:
        return f"all {common:,} steps that both runs made are the same"
    return (
        f"the runs part at step {difference['step']}, by {difference['cause']}:"
        f" {difference['a']} and {difference['b']}"
    )


if __name__ == "__main__":
    scripts.run(main, positional=True)
