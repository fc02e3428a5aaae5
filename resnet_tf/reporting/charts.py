"""Charts as SVG text that stands in a page by itself: no script, colours from the page's style.

Colours are the page's CSS variables `--line0` to `--line5`, `--ink`, `--grid` and `--heat`, so
that a chart follows a light or dark page.
"""

import math
from collections.abc import Sequence

from resnet_tf.reporting.document import escaped

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 26, 14, 40
_MOST_POINTS = 400
_COLOURS = 6
# Characters of a tick's number that have room beside the frame, and below it.
_BESIDE, _BELOW = 9, 11
# No axis holds larger numbers, nor tells numbers apart that differ by less of themselves.
_LARGEST, _SMALLEST, _SAME = 1e100, 1e-100, 1e-9

Series = tuple[str, Sequence[float], Sequence[float]]


def line_chart(series: Sequence[Series], x_label: str, y_label: str) -> str:
    """Lines in one frame; empty text where no series has a finite point.

    Args:
      series: (name, x, y) of each; points that are not finite, or beyond 1e100, are left out.
      x_label, y_label: below and beside the frame.
    """
    drawn = [(name, _thinned(_finite(xs, ys))) for name, xs, ys in series]
    drawn = [(name, points) for name, points in drawn if points]
    if not drawn:
        return ""
    everything = [point for _, points in drawn for point in points]
    x, y = (_Scale.over([point[axis] for point in everything]) for axis in (0, 1))
    parts = [_frame(x, y, x_label, y_label)]
    for number, (_, points) in enumerate(drawn):
        path = " ".join(f"{x.place(px):.1f},{y.place(py):.1f}" for px, py in points)
        colour = f"var(--line{number % _COLOURS})"
        if len(points) == 1:
            ((px, py),) = points
            at = f'cx="{x.place(px):.1f}" cy="{y.place(py):.1f}"'
            parts.append(f'<circle {at} r="3" fill="{colour}"/>')
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    legend, more = _legend([name for name, _ in drawn])
    parts.append(legend)
    return _svg(_WIDTH, _HEIGHT + more, parts, f"{y_label} by {x_label}")


def bar_chart(names: Sequence[str], values: Sequence[float], unit: str = "") -> str:
    """Horizontal bars, one a name, with their values behind them."""
    if not values:
        return ""
    most, row, left = max(*values, 1e-12), 22, 170
    parts = []
    for number, (name, value) in enumerate(zip(names, values)):
        top, length = number * row, (_WIDTH - left - 90) * value / most
        shown = f"{_figure(value)}{escaped(unit)}"
        parts.append(
            f'<text x="{left - 8}" y="{top + 15}" text-anchor="end">{_short(name, 24)}</text>'
            f'<rect x="{left}" y="{top + 3}" width="{length:.1f}" height="{row - 7}"'
            f' fill="var(--line0)"/>'
            f'<text x="{left + length + 6:.1f}" y="{top + 15}">{shown}</text>'
        )
    return _svg(_WIDTH, len(values) * row + 4, parts, "bars")


def heat_map(rows: Sequence[Sequence[float]], names: Sequence[str]) -> str:
    """A confusion matrix: cells coloured by their share of the row, the diagonal outlined."""
    size, left, top = len(rows), 110, 8
    cell = max(4.0, min(28.0, (_WIDTH - left) / max(size, 1)))
    parts = []
    for i, row in enumerate(rows):
        whole = sum(row) or 1
        y = top + i * cell
        if cell >= 9:
            parts.append(
                f'<text x="{left - 6}" y="{y + cell * 0.7:.1f}" text-anchor="end"'
                f' font-size="{min(11, cell):.0f}">{_short(names[i], 16)}</text>'
            )
        for j, value in enumerate(row):
            if not value and i != j:
                continue
            what = "right" if i == j else f"taken for {names[j]}"
            colour = "line2" if i == j else "heat"
            parts.append(
                f'<rect x="{left + j * cell:.1f}" y="{y:.1f}" width="{cell:.1f}"'
                f' height="{cell:.1f}" fill="var(--{colour})"'
                f' fill-opacity="{_share(value, whole)}">'
                f"<title>{escaped(f'{names[i]} {what}: {_figure(value)}')}</title></rect>"
            )
    parts.append(
        f'<rect x="{left}" y="{top}" width="{size * cell:.1f}" height="{size * cell:.1f}"'
        ' fill="none" stroke="var(--grid)"/>'
    )
    return _svg(left + size * cell + 2, top + size * cell + 6, parts, "confusion matrix")


class _Scale:
    """From values to pixels of one axis, and where its ticks are."""

    def __init__(self, low: float, high: float):
        self.ticks = _ticks(low, high)
        self._low, self._high = min(low, self.ticks[0]), max(high, self.ticks[-1])
        self._from, self._to = 0.0, 1.0

    @classmethod
    def over(cls, values: Sequence[float]) -> "_Scale":
        low, high = min(values), max(values)
        largest = max(abs(low), abs(high))
        if high - low <= max(_SAME * largest, _SMALLEST):
            reach = largest / 2 if largest > _SMALLEST else 0.5
            low, high = low - reach, high + reach
        return cls(low, high)

    def on(self, start: float, end: float) -> "_Scale":
        """The same between two pixels."""
        self._from, self._to = start, end
        return self

    def place(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return self._from + share * (self._to - self._from)


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers from `low` to `high` or a little beyond."""
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 7)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def _labels(ticks: Sequence[float], most: int) -> list[str]:
    """Ticks with the digits that tell each from the next; as 1.5e-06 where others are too long."""
    places = math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9)
    plain = [f"{tick:,.{max(0, -places)}f}" for tick in ticks]
    if max(map(len, plain)) <= most:
        return plain
    digits = math.floor(math.log10(max(map(abs, ticks)))) - places
    return min(
        plain, [f"{tick:.{digits}e}" for tick in ticks], key=lambda all_: max(map(len, all_))
    )


def _figure(value: float) -> str:
    """Whole numbers in full, others with four digits."""
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.4g}"


def _frame(x: _Scale, y: _Scale, x_label: str, y_label: str) -> str:
    x.on(_LEFT, _WIDTH - _RIGHT)
    y.on(_HEIGHT - _BOTTOM, _TOP)
    lines = []
    for tick, label in zip(y.ticks, _labels(y.ticks, _BESIDE)):
        at = y.place(tick)
        lines.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"'
            f' stroke="var(--grid)"/>'
            f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{label}</text>'
        )
    for tick, label in zip(x.ticks, _labels(x.ticks, _BELOW)):
        at, below = x.place(tick), _HEIGHT - _BOTTOM + 16
        lines.append(f'<text x="{at:.1f}" y="{below}" text-anchor="middle">{label}</text>')
    middle = (_HEIGHT - _BOTTOM + _TOP) / 2
    lines.append(
        f'<text x="{(_WIDTH + _LEFT) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">'
        f"{escaped(x_label)}</text>"
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">'
        f"{escaped(y_label)}</text>"
    )
    return "".join(lines)


def _legend(names: Sequence[str]) -> tuple[str, int]:
    """Names of the lines, where there are several, below the frame; and the height of that."""
    if len(names) < 2:
        return "", 0
    rows = [
        f'<text x="{_LEFT}" y="{_HEIGHT + 10 + 16 * number}" fill="var(--line{number % _COLOURS})">'
        f"{_short(name, 80)}</text>"
        for number, name in enumerate(names)
    ]
    return "".join(rows), 16 * len(names) + 4


def _svg(width: float, height: float, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escaped(label)}"'
        f' font-size="12" fill="var(--ink)">{"".join(parts)}</svg>'
    )


def _finite(xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in zip(xs, ys) if abs(x) <= _LARGEST and abs(y) <= _LARGEST]


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most so many points: of each stretch the lowest and the highest."""
    if len(points) <= _MOST_POINTS:
        return points
    stretch = math.ceil(2 * len(points) / _MOST_POINTS)
    kept = []
    for start in range(0, len(points), stretch):
        some = range(start, min(start + stretch, len(points)))
        ends = {min(some, key=lambda i: points[i][1]), max(some, key=lambda i: points[i][1])}
        kept += [points[i] for i in sorted(ends)]
    return kept


def _short(text: str, most: int) -> str:
    return escaped(text if len(text) <= most else text[: most - 1] + "…")


def _share(value: float, whole: float) -> str:
    # Few errors among many records would not be seen on a scale that is straight.
    return f"{math.sqrt(value / whole):.3f}"
