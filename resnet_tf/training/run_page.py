"""`report.html` of a run: what its journal, its last evaluation and its data say, on one page."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from resnet_tf import errors, input, recipes
from resnet_tf.checkpoint import Commit
from resnet_tf.config import Config
from resnet_tf.errors import UserError
from resnet_tf.evaluation import Predictions, Summary
from resnet_tf.files import replace_synced
from resnet_tf.preprocessing import Preprocessing
from resnet_tf.reporting import journal, page, say, steps
from resnet_tf.reporting.page import Curves, Page, Picture
from resnet_tf.training.feed import Feed, pictures_of
from resnet_tf.training.samples import encoded, of_next

FILE_NAME = "report.html"
_PICTURES, _LISTED = 24, 20


def curves_of(model_dir: str | os.PathLike, name: str = "") -> Curves:
    """The journal and steps of a run."""
    folder = pathlib.Path(model_dir)
    return Curves(name or folder.name, journal.read(folder), steps.read(folder))


def samples_of(commit: Commit, config: Config, manifest: input.Manifest) -> list[Picture]:
    """Training pictures as the step after a commit gets them; where that fails it is said.

    Args:
      commit: of the run.
      config: of the run.
      manifest: of its data, which may be without the records of training.
    """
    strategy = tf.distribute.get_strategy()
    # The same pictures by any reader; this one reads no others.
    config = dataclasses.replace(config, reader="indexed")
    # The run may have kept the normalisation of the weights that it started from.
    origin = Preprocessing.from_json(commit.manifest["preprocessing"])
    try:
        trained, _ = pictures_of(config, manifest, origin)
        feed = Feed(config, strategy, manifest, trained)
        if config.bad_records == "skip":
            feed.leave_out(commit.manifest.get("bad_records", []))
        return of_next(strategy, iter(feed.batches(commit.step)), manifest.classes)
    except (UserError, tf.errors.OpError) as error:
        say(f"no pictures of the training are shown: {errors.plain(error)}")
        return []


def write(
    output: str | os.PathLike,
    config: Config,
    manifest: input.Manifest,
    predictions: Predictions,
    held_out: input.Reader,
    samples: Sequence[Picture],
    environment: dict,
    ending: Sequence[dict] = (),
) -> None:
    """Writes the page of a run whose last weights have been evaluated.

    Args:
      output: the file, which is replaced.
      config: of the run.
      manifest: of its data.
      predictions: of the held-out records, by the last weights.
      held_out: reads those records.
      samples: of training pictures, see `samples.of_batch`.
      environment: versions and devices.
      ending: events that the journal does not have yet.

    Raises:
      OSError: where the file cannot be written.
    """
    curves = curves_of(config.model_dir)
    curves = dataclasses.replace(curves, events=[*curves.events, *ending])
    found = Summary.of(predictions, manifest.classes)
    scores, calibration = found.scores, found.calibration
    rows = zip(manifest.classes, scores.precision, scores.recall, scores.f1, scores.support)
    bins = zip(calibration.confidence, calibration.accuracy, calibration.records)
    made = Page(
        title=f"{config.model} on {manifest.name}: {config.model_dir}",
        facts=_facts(found, curves),
        runs=[curves],
        names=manifest.classes,
        confusion=found.confusion.tolist(),
        confused=found.most_confused(_LISTED),
        classes=[(name, *map(float, row[:3]), int(row[3])) for name, *row in rows],
        calibration=[(float(c), float(a), int(n)) for c, a, n in bins if n],
        samples=samples,
        wrong=_wrong(predictions, manifest.classes, held_out),
        data=_data(config, manifest),
        configuration=_configuration(config),
        environment=[(name, _shown(value)) for name, value in environment.items()],
    )
    replace_synced(output, page.render(made))


@tf.autograph.experimental.do_not_convert
def _wrong(predictions: Predictions, classes: Sequence[str], held_out: input.Reader):
    """Records that are not recognised, those first of which the network is surest."""
    wrong = np.flatnonzero(~predictions.correct)
    wrong = wrong[np.argsort(-predictions.scores[wrong, 0], kind="stable")][:_PICTURES]
    if not len(wrong):
        return []
    wanted = tf.data.Dataset.from_tensors({"ids": tf.constant(wrong, tf.int64)})
    _, images, _ = next(iter(held_out.batches(wanted)))
    return [
        Picture(encoded(image), [f"is {classes[predictions.labels[record]]}", *(
            f"{classes[c]} {score:.0%}"
            for c, score in zip(predictions.top[record], predictions.scores[record])
        )])
        for image, record in zip(images, wrong)
    ]  # fmt: skip


def _facts(found: Summary, curves: Curves) -> list[tuple[str, str]]:
    figures = found.to_json()
    low, high = figures["top1_interval"]
    done = next((e for e in reversed(curves.events) if e.get("event") == "done"), {})
    loss = figures["loss"]
    facts = [
        ("top-1", f"{figures['top1']:.2%}"),
        ("its 95 % interval", f"{low:.1%} to {high:.1%}"),
        ("top-5", f"{figures['top5']:.2%}"),
        ("records, each once", f"{figures['examples']:,}"),
        ("loss", "not finite" if loss is None else f"{loss:.4f}"),
        ("calibration error", f"{figures['calibration_error']:.2%}"),
        ("macro F1", f"{figures['macro']['f1']:.2%}"),
    ]
    for what, name, form in (
        ("steps", "step", "{:,}"),
        ("epochs", "epoch", "{:.4g}"),
        ("pictures a second", "images_per_second", "{:,.0f}"),
    ):
        if (value := journal.number(done, name)) is not None:
            facts.append((what, form.format(value)))
    trained = [event for event in curves.events if event.get("event") == "train"]
    waits = [journal.number(event, "input_wait_share") for event in trained]
    if waits := [wait for wait in waits if wait is not None]:
        facts.append(("waiting for input", f"{np.mean(waits):.1%}"))
    return facts


def _data(config: Config, manifest: input.Manifest) -> list[tuple[str, str]]:
    size = f"{manifest.height}x{manifest.width}" if manifest.height else "of several sizes"
    return [
        ("name", manifest.name),
        ("licence", manifest.licence),
        ("directory", str(manifest.directory)),
        ("pictures", f"{size}, {manifest.channels} channels"),
        ("classes", f"{len(manifest.classes):,}: {_shown(manifest.classes[:20])}"),
        *((f"records of {split}", f"{manifest.records(split):,}") for split in manifest.splits),
        ("mean, deviation", f"{_shown(manifest.mean)}; {_shown(manifest.std)}"),
        (f"fingerprint of {config.train_split}", manifest.fingerprint(config.train_split)),
    ]


def _configuration(config: Config) -> list[tuple[str, str, bool]]:
    usual = recipes.get(config.recipe).config if config.recipe in recipes.names() else None
    return [
        (
            field.name,
            _shown(getattr(config, field.name)),
            usual is not None and getattr(config, field.name) != getattr(usual, field.name),
        )
        for field in dataclasses.fields(config)
    ]


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_shown(entry)}" for name, entry in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or "-"
    return f"{value:g}" if isinstance(value, float) else str(value) or "-"
