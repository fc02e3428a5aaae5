"""One HTML file that shows a run or several, and needs no server, script or network.

Sections without anything to show are left out. Light or dark as the reader's system is, readable
on a phone, and in print.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence

from resnet_tf.reporting import charts
from resnet_tf.reporting.document import document, escaped, inline
from resnet_tf.reporting.journal import number

# Classes of a confusion matrix that are shown; of more, those with most errors.
_MOST_CLASSES = 40
_LISTED = 20

_STYLE = """
:root { --ink:#1c1e21; --paper:#fff; --soft:#f3f4f6; --grid:#d4d7dc; --heat:#c2410c;
  --line0:#2563eb; --line1:#c2410c; --line2:#15803d; --line3:#7c3aed; --line4:#b45309;
  --line5:#0e7490; color-scheme: light dark }
@media (prefers-color-scheme: dark) { :root { --ink:#e6e8eb; --paper:#15171a; --soft:#212428;
  --grid:#3b4046; --heat:#fb923c; --line0:#60a5fa; --line1:#fb923c; --line2:#4ade80;
  --line3:#c4b5fd; --line4:#fbbf24; --line5:#22d3ee } }
* { box-sizing:border-box }
body { margin:0 auto; max-width:1100px; padding:16px; background:var(--paper); color:var(--ink);
  font:15px/1.5 system-ui,sans-serif }
h1 { font-size:24px; margin:8px 0 } h2 { font-size:18px; margin:32px 0 8px }
h3 { font-size:14px; margin:8px 0; font-weight:600 }
p { margin:4px 0 } svg { width:100%; max-width:640px; height:auto; font-family:inherit }
.facts { display:grid; grid-template-columns:repeat(auto-fill,minmax(150px,1fr)); gap:8px }
.facts div { background:var(--soft); border-radius:6px; padding:8px 12px }
.facts b { display:block; font-size:19px; overflow-wrap:anywhere }
.charts { display:grid; grid-template-columns:repeat(auto-fit,minmax(320px,1fr)); gap:16px }
.pictures { display:grid; grid-template-columns:repeat(auto-fill,minmax(112px,1fr)); gap:10px }
.pictures figure { margin:0; font-size:12px; overflow-wrap:anywhere }
.pictures img { width:100%; image-rendering:pixelated; border-radius:4px; display:block }
.scroll { overflow-x:auto }
table { border-collapse:collapse; width:100%; font-size:13px; font-variant-numeric:tabular-nums }
th,td { text-align:left; padding:3px 10px 3px 0; border-bottom:1px solid var(--grid);
  overflow-wrap:anywhere; vertical-align:top }
th { overflow-wrap:normal } tr.told td { font-weight:600 }
@media print { :root { --ink:#000; --paper:#fff; --soft:#fff; --grid:#bbb }
  body { max-width:none } section { break-inside:avoid-page } .facts div { border:1px solid #bbb } }
"""


@dataclasses.dataclass(frozen=True)
class Curves:
    """What a run's journal and steps say.

    Attributes:
      name: of the run.
      events: of its journal.
      steps: rows of its `steps.csv`.
    """

    name: str
    events: Sequence[dict]
    steps: Sequence[dict]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture in the page.

    Attributes:
      encoded: a PNG or JPEG file.
      lines: what stands below it.
    """

    encoded: bytes
    lines: Sequence[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """All that a page shows, as plain numbers and text.

    Attributes:
      title: of the page.
      facts: (what, value), the figures on top.
      runs: whose curves are drawn, over each other.
      results: a heading and a row a run, see `results_of`.
      names: of the classes.
      confusion: whole numbers `[classes][classes]`, row = true class.
      confused: (true class, taken for, times), the most frequent first.
      classes: (name, precision, recall, F1, records) of each.
      calibration: (confidence, accuracy, records) of each bin with a record.
      samples, wrong: pictures as they are trained on, and those that are not recognised.
      data, environment: (what, value).
      configuration: (field, value, whether it differs from the recipe's).
    """

    title: str
    facts: Sequence[tuple[str, str]] = ()
    runs: Sequence[Curves] = ()
    results: Sequence[Sequence[str]] = ()
    names: Sequence[str] = ()
    confusion: Sequence[Sequence[int]] = ()
    confused: Sequence[tuple[str, str, int]] = ()
    classes: Sequence[tuple[str, float, float, float, int]] = ()
    calibration: Sequence[tuple[float, float, int]] = ()
    samples: Sequence[Picture] = ()
    wrong: Sequence[Picture] = ()
    data: Sequence[tuple[str, str]] = ()
    configuration: Sequence[tuple[str, str, bool]] = ()
    environment: Sequence[tuple[str, str]] = ()


def results_of(runs: Sequence[Curves]) -> list[tuple[str, ...]]:
    """A heading, and of each run its steps and last figures; "-" for what it has not."""
    rows = [("run", "steps", "held out: top-1", "loss", "training: loss", "pictures a second")]
    for run in runs:
        last = {event.get("event"): event for event in run.events}
        evaluated, trained = last.get("eval", {}), last.get("train", {})
        numbers = (
            (number(evaluated, "top1"), "{:.2%}"),
            (number(evaluated, "loss"), "{:.4f}"),
            (number(trained, "loss"), "{:.4f}"),
            (number(trained, "images_per_second"), "{:,.0f}"),
        )
        cells = ("-" if value is None else form.format(value) for value, form in numbers)
        rows.append((run.name, run.steps[-1]["step"] if run.steps else "-", *cells))
    return rows


def render(page: Page) -> str:
    """The page as HTML."""
    body = [
        _facts(page.facts),
        _section("Results", _table(page.results[0], page.results[1:]) if page.results else ""),
        _section("Curves", _curves(page.runs)),
        _section("Where the time went", _times(page.runs)),
        _section("Classes", _classes(page)),
        _section("Calibration", _calibration(page.calibration)),
        _section("Not recognised", _pictures(page.wrong)),
        _section("As it was trained on", _pictures(page.samples)),
        _section("Data", _table((), page.data) + _records(page)),
        _section("Configuration", _configuration(page.configuration)),
        _section("Environment", _table((), page.environment)),
    ]
    return document(page.title, _STYLE, filter(None, body))


def _curves(runs: Sequence[Curves]) -> str:
    drawn = {
        "Loss of a step": _chart(runs, _column("loss"), "step", "loss"),
        "Right first class": _chart(runs, _events_top1, "step", "share"),
        "Learning rate": _chart(runs, _column("learning_rate"), "step", "rate"),
        "Gradient norm": _chart(runs, _column("gradient_norm"), "step", "norm"),
        "Speed": _chart(runs, _event("train", "images_per_second"), "step", "pictures a second"),
        "Waiting for input": _chart(runs, _event("train", "input_wait_share"), "step", "share"),
    }
    parts = [f"<div><h3>{title}</h3>{chart}</div>" for title, chart in drawn.items() if chart]
    return f'<div class="charts">{"".join(parts)}</div>' if parts else ""


def _chart(runs, take, x_label, y_label) -> str:
    series = [
        (" · ".join(filter(None, (run.name if len(runs) > 1 else "", name))), xs, ys)
        for run in runs
        for name, xs, ys in take(run)
    ]
    return charts.line_chart(series, x_label, y_label)


def _column(name: str):
    def take(run: Curves):
        rows = [row for row in run.steps if row.get(name)]
        yield "", [int(row["step"]) for row in rows], [float(row[name]) for row in rows]

    return take


def _event(kind: str, name: str, label: str = ""):
    def take(run: Curves):
        told = [(number(e, "step"), number(e, name)) for e in run.events if e.get("event") == kind]
        # A speed of 0 is that of the first call, which is not timed.
        timed = [(x, y) for x, y in told if y or name != "images_per_second"]
        points = [(x, y) for x, y in timed if None not in (x, y)]
        yield label, [x for x, _ in points], [y for _, y in points]

    return take


def _events_top1(run: Curves):
    return itertools.chain(
        _event("train", "top1", "in training")(run), _event("eval", "top1", "held out")(run)
    )


def _times(runs: Sequence[Curves]) -> str:
    """Seconds of each part of the last command of each run."""
    drawn = []
    for run in runs:
        told = [event.get("seconds") for event in run.events if event.get("event") == "goodput"]
        if told and isinstance(told[-1], dict):
            parts = {name: number(told[-1], name) for name in told[-1]}
            parts = {name: took for name, took in parts.items() if took is not None and took >= 0}
            title = f"<h3>{escaped(run.name)}</h3>" if len(runs) > 1 else ""
            drawn.append(f"<div>{title}{charts.bar_chart([*parts], [*parts.values()], ' s')}</div>")
    return f'<div class="charts">{"".join(drawn)}</div>' if drawn else ""


def _classes(page: Page) -> str:
    if not page.confusion:
        return ""
    kept = range(len(page.names))
    note = ""
    if len(kept) > _MOST_CLASSES:
        errors = [sum(row) - row[i] for i, row in enumerate(page.confusion)]
        kept = sorted(sorted(kept, key=lambda i: -errors[i])[:_MOST_CLASSES])
        note = f"<p>The {_MOST_CLASSES} classes with most errors, of {len(page.names):,}.</p>"
    matrix = [[page.confusion[i][j] for j in kept] for i in kept]
    names = [page.names[i] for i in kept]
    worst = sorted(page.classes, key=lambda row: row[3])[:_LISTED]
    rows = [
        (name, f"{precision:.1%}", f"{recall:.1%}", f"{f1:.1%}", f"{records:,}")
        for name, precision, recall, f1, records in worst
    ]
    table = _table(("class, worst first", "precision", "recall", "F1", "records"), rows)
    heading = ("most confused: true class", "taken for", "times")
    confused = _table(heading, [(a, b, f"{count:,}") for a, b, count in page.confused])
    return (
        f'{note}<div class="charts"><div><h3>Confusion: rows are true classes</h3>'
        f"{charts.heat_map(matrix, names)}</div><div>{table}{confused}</div></div>"
    )


def _records(page: Page) -> str:
    if not 0 < len(page.classes) <= _MOST_CLASSES:
        return ""
    names, records = zip(*((row[0], row[4]) for row in page.classes))
    return f"<h3>Held-out records of each class</h3>{charts.bar_chart(names, records)}"


def _calibration(bins: Sequence[tuple[float, float, int]]) -> str:
    if not bins:
        return ""
    ends = [0.0, 1.0]
    chart = charts.line_chart(
        [
            ("as often as it says", ends, ends),
            ("network", [b[0] for b in bins], [b[1] for b in bins]),
        ],
        "confidence",
        "share that is right",
    )
    rows = [(f"{c:.1%}", f"{a:.1%}", f"{n:,}") for c, a, n in bins]
    return (
        f'<div class="charts"><div>{chart}</div>'
        f"<div>{_table(('confidence', 'right', 'records'), rows)}</div></div>"
    )


def _configuration(rows: Sequence[tuple[str, str, bool]]) -> str:
    if not rows:
        return ""
    cells = "".join(
        f"<tr{' class=told' if told else ''}><td>{escaped(name)}</td><td>{escaped(value)}</td></tr>"
        for name, value, told in rows
    )
    return f'<p>Bold: not the recipe\'s.</p><div class="scroll"><table>{cells}</table></div>'


def _pictures(pictures: Iterable[Picture]) -> str:
    figures = "".join(
        f'<figure><img alt="" src="{inline(picture.encoded)}">'
        f"<figcaption>{'<br>'.join(map(escaped, picture.lines))}</figcaption></figure>"
        for picture in pictures
    )
    return f'<div class="pictures">{figures}</div>' if figures else ""


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    cells = "".join(f"<div>{escaped(what)}<b>{escaped(value)}</b></div>" for what, value in facts)
    return f'<div class="facts">{cells}</div>' if cells else ""


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escaped(cell)}</th>" for cell in heading)
    body = "".join(
        f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f'<div class="scroll"><table>{f"<tr>{head}</tr>" if head else ""}{body}</table></div>'


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>" if content else ""
