"""The report as one HTML file that needs nothing else: counts, findings, pictures of each class."""

import base64
import os
import pathlib

import numpy as np
import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.files import replace_synced
from resnet_tf.input import images
from resnet_tf.inspection.checking import Report
from resnet_tf.inspection.findings import KINDS, counted
from resnet_tf.inspection.reading import Reader
from resnet_tf.reporting.document import document, escaped

_SIDE = 72  # pixels of a thumbnail's longer side
_A_CLASS = 8
_MOST_CLASSES = 200
_MOST_BYTES = 4 * 2**20  # of thumbnails, in base64
_MOST_FINDINGS = 50  # of a kind
_OPEN_CLASSES = 50  # a longer table is folded
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --faint: #667; --ground: #fff; --line: #d8dce2;
  --bar: #4a7fb5; --error: #b3261e; --warning: #8a5a00; --note: #667; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --faint: #9aa3ad; --ground: #15181c;
  --line: #343a42; --bar: #5b93cc; --error: #ff8a80; --warning: #f0b95a; --note: #9aa3ad; } }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; color: var(--ink);
  background: var(--ground); font: 1rem/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; }
td, th { padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.bar { display: block; height: .7rem; min-width: 1px; background: var(--bar); }
.wide { width: 45%; vertical-align: middle; }
.error { color: var(--error); } .warning { color: var(--warning); } .note { color: var(--note); }
summary { cursor: pointer; padding: .25rem 0; } li { font-size: .9rem; }
figure { margin: .8rem 0; } figcaption { color: var(--faint); font-size: .9rem; }
figure div { display: flex; flex-wrap: wrap; gap: 4px; }
img { width: 72px; height: 72px; object-fit: contain; background: var(--line); }
"""


def write(path: str | os.PathLike, report: Report) -> None:
    """Writes the page.

    Raises:
      UserError: 73 where the file cannot be made.
    """
    try:
        replace_synced(pathlib.Path(path), page_of(report))
    except OSError as error:
        raise UserError(
            errors.CANNOT_CREATE,
            f"cannot write the page: {error.strerror}",
            path,
            "choose another place",
        ) from error


def page_of(report: Report) -> str:
    """The page as text; everything that comes from the data is escaped."""
    title = (
        f"{report.layout.name}: {counted(report.errors, 'error')},"
        f" {counted(report.warnings, 'warning')}"
    )
    parts = [_summary(report), _findings(report), _histogram(report), _samples(report)]
    return document(title, _STYLE, parts)


def _summary(report: Report) -> str:
    size = f"{report.height}x{report.width}" if report.height else "of several sizes"
    rows = [
        ("directory", report.layout.directory),
        ("licence", report.layout.licence),
        ("records", ", ".join(f"{split} {n:,}" for split, n in report.records.items())),
        ("classes", f"{len(report.classes.names):,}, named by {report.classes.names_from}"),
        ("label offset", report.classes.offset),
        ("pictures", f"{size}, {'grey' if report.channels == 1 else 'colour'}"),
        ("mean", " ".join(f"{value:.2f}" for value in report.mean) or "not measured"),
        ("deviation", " ".join(f"{value:.2f}" for value in report.std) or "not measured"),
    ]
    cells = "\n".join(f"<tr><th>{name}</th><td>{escaped(value)}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>"


def _findings(report: Report) -> str:
    parts = ["<h2>Findings</h2>"]
    for kind in report.findings.kinds():
        severity, title, remedy = KINDS[kind]
        count, kept = report.findings.counts[kind], report.findings.kept[kind][:_MOST_FINDINGS]
        items = "".join(f"<li>{escaped(finding)}</li>" for finding in kept)
        more = f"<li>… and {count - len(kept):,} more</li>" if count > len(kept) else ""
        parts.append(
            f'<details{" open" if severity == "error" else ""}><summary><b class="{severity}">'
            f"{severity}</b> {escaped(title)}: {count:,}</summary>"
            f"<p>{escaped(remedy)}</p><ul>{items}{more}</ul></details>"
        )
    return "\n".join(parts) if len(parts) > 1 else parts[0] + "<p>None.</p>"


def _histogram(report: Report) -> str:
    splits = list(report.histogram)
    most = max((int(counts.max()) for counts in report.histogram.values()), default=0) or 1
    head = "".join(f'<th class="number">{escaped(split)}</th>' for split in splits)
    rows = []
    shown = report.classes.names[:1000]
    for label, name in enumerate(shown):
        counts = [int(report.histogram[split][label]) for split in splits]
        numbers = "".join(f'<td class="number">{count:,}</td>' for count in counts)
        bar = f'<span class="bar" style="width:{100 * max(counts, default=0) / most:.1f}%"></span>'
        rows.append(f'<tr><td>{escaped(name)}</td>{numbers}<td class="wide">{bar}</td></tr>')
    more = len(report.classes.names) - len(shown)
    rest = f"<p>… and {more:,} classes more</p>" if more else ""
    is_open = " open" if len(shown) <= _OPEN_CLASSES else ""
    return (
        f"<h2>Pictures of each class</h2><details{is_open}><summary>{len(rows):,} classes</summary>"
        f"<table><tr><th>class</th>{head}<th></th></tr>"
        + "\n".join(rows)
        + f"</table>{rest}</details>"
    )


def _samples(report: Report) -> str:
    figures = []
    names = report.classes.names
    for label, pictures in _thumbnails(report).items():
        tags = "".join(
            f'<img alt="{escaped(key)}" title="{escaped(key)}" '
            f'src="data:image/jpeg;base64,{picture}">'
            for key, picture in pictures
        )
        caption = f"<figcaption>{escaped(names[label])}</figcaption>"
        figures.append(f"<figure>{caption}<div>{tags}</div></figure>")
    return "<h2>Samples</h2>" + ("\n".join(figures) or "<p>None.</p>")


def _thumbnails(report: Report) -> dict[int, list[tuple[str, str]]]:
    """Class -> (key, JPEG in base64), as many of each class as the page's size allows."""
    chosen = _chosen(report)
    shown: dict[int, list[tuple[str, str]]] = {label: [] for label in chosen}
    room = _MOST_BYTES
    with Reader(report.layout.directory, report.features) as reader:
        # One of each class, then a second of each, so that the room is shared.
        for turn in range(_A_CLASS):
            for label, places in chosen.items():
                if turn >= len(places):
                    continue
                record = reader.record(*places[turn])
                thumbnail = _thumbnail(record.encoded)
                if thumbnail is None or (room := room - len(thumbnail) - len(record.key)) < 0:
                    continue
                shown[label].append((record.key[:200], thumbnail))
    return shown


def _chosen(report: Report) -> dict[int, list]:
    """Class -> places of its first usable records in the training split."""
    number = min(len(report.classes.names), _MOST_CLASSES)
    chosen = {label: [] for label in range(number)}
    for table in report.tables:
        if table.split != report.layout.measured:
            continue
        labels = np.where(table.rows["usable"], table.rows["label"] - report.classes.offset, -1)
        for label in np.unique(labels[(labels >= 0) & (labels < number)]):
            records = np.flatnonzero(labels == label)[: _A_CLASS - len(chosen[label])]
            chosen[int(label)] += [(table, int(record)) for record in records]
    return {label: places for label, places in chosen.items() if places}


def _thumbnail(encoded: bytes) -> str | None:
    try:
        image = images.decode(tf.constant(encoded), channels=3)
        size = np.array(image.shape[:2])
        # A small picture keeps its own size: the browser enlarges it.
        size = np.maximum(np.minimum(size, size * _SIDE // max(size)), 1)
        pixels = tf.image.resize(image, size, antialias=True)
        pixels = tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8)
        return base64.b64encode(tf.io.encode_jpeg(pixels, quality=75).numpy()).decode()
    except tf.errors.OpError:
        return None
