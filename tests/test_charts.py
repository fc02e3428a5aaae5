"""`reporting.charts`: SVG that is well formed, and shows the numbers that it was given."""

import math
import xml.etree.ElementTree as ElementTree

import pytest

from resnet_tf.reporting import charts

SVG = "{http://www.w3.org/2000/svg}"


def parsed(text):
    return ElementTree.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" '))


def texts(svg):
    return [element.text for element in svg.iter(f"{SVG}text")]


def lines(svg):
    return [
        [tuple(map(float, point.split(","))) for point in line.get("points").split()]
        for line in svg.iter(f"{SVG}polyline")
    ]


def test_points_are_where_the_ticks_say():
    svg = parsed(charts.line_chart([("loss", [0, 50, 100], [1.0, 3.0, 2.0])], "step", "loss"))
    ((a, b, c),) = lines(svg)
    assert a[0] < b[0] < c[0] and b[0] - a[0] == pytest.approx(c[0] - b[0], abs=0.2)
    assert b[1] < c[1] < a[1] and c[1] - b[1] == pytest.approx(a[1] - c[1], abs=0.2)
    assert {"0", "20", "100", "1.0", "1.5", "3.0", "step", "loss"} <= set(texts(svg))
    tick = next(t for t in svg.iter(f"{SVG}text") if t.text == "20")
    assert float(tick.get("x")) == pytest.approx(a[0] + (c[0] - a[0]) / 5, abs=0.2)


def test_names_are_shown_where_there_are_several():
    one = texts(parsed(charts.line_chart([("a run", [1, 2], [1, 2])], "x", "y")))
    two = texts(
        parsed(charts.line_chart([("a run", [1, 2], [1, 2]), ("<&>", [1, 2], [2, 1])], "x", "y"))
    )
    assert "a run" not in one and {"a run", "<&>"} <= set(two)


def test_names_lie_on_no_line():
    series = [(f"run {number}", [1, 2], [number, 2]) for number in range(6)]
    svg = parsed(charts.line_chart(series, "x", "y"))
    lowest = max(y for line in lines(svg) for _, y in line)
    named = [t for t in svg.iter(f"{SVG}text") if t.text.startswith("run ")]
    height = float(svg.get("viewBox").split()[3])
    assert len(named) == 6 and all(lowest + 12 < float(t.get("y")) < height for t in named)


def test_what_is_not_finite_is_left_out():
    nan, inf = math.nan, math.inf
    svg = parsed(charts.line_chart([("a", [1, 2, 3, 4], [nan, 5, inf, 7])], "x", "y"))
    assert [len(line) for line in lines(svg)] == [2]
    svg = parsed(charts.line_chart([("a", [1, 2, 3, 10**400], [-1e308, 1e308, 5, 5])], "x", "y"))
    assert [len(line) for line in lines(svg)] == [1]
    assert charts.line_chart([("a", [1, 2], [nan, inf]), ("b", [], [])], "x", "y") == ""
    assert charts.line_chart([], "x", "y") == ""


@pytest.mark.parametrize(
    ("low", "high", "first", "last"),
    [
        (0, 50_000, "0", "50,000"),
        (0, 2_500_000, "0", "2,500,000"),
        (123_456, 123_460, "123,456", "123,460"),
        (0.99312, 0.99318, "0.99312", "0.99318"),
        (1e-5, 2e-5, "0.000010", "0.000020"),
        (1e-7, 2e-7, "1.0e-07", "2.0e-07"),
        (0, 3e7, "0.0e+00", "3.0e+07"),
        (0, 1, "0.0", "1.0"),
    ],
)
def test_ticks_can_be_told_apart_and_read(low, high, first, last):
    svg = parsed(charts.line_chart([("a", [1, 2], [low, high])], "x", "y"))
    beside = [t.text for t in svg.iter(f"{SVG}text") if t.get("text-anchor") == "end"]
    assert (beside[0], beside[-1]) == (first, last) and len(set(beside)) == len(beside)
    assert max(map(len, beside)) <= 9


@pytest.mark.parametrize("low, high", [(1, 1 + 1e-12), (0, 5e-324), (1e9, 1e9 + 0.5)])
def test_what_no_axis_tells_apart_is_flat(low, high):
    svg = parsed(charts.line_chart([("a", [1, 2], [low, high])], "x", "y"))
    (((_, left), (_, right)),) = lines(svg)
    beside = [t.text for t in svg.iter(f"{SVG}text") if t.get("text-anchor") == "end"]
    assert left == right and len(set(beside)) == len(beside)


@pytest.mark.parametrize("value", [0.0, 5.0, -3.0, 1e-12, 1e12])
def test_one_point_or_a_flat_line(value):
    svg = parsed(charts.line_chart([("a", [10], [value]), ("b", [10, 10], [value] * 2)], "x", "y"))
    assert len(list(svg.iter(f"{SVG}circle"))) == 1
    for line in lines(svg):
        assert all(0 <= x <= 640 and 0 <= y <= 300 for x, y in line)


def test_a_long_series_is_thinned_and_keeps_its_peaks():
    ys = [0.0] * 100_000
    ys[31_234], ys[77_777] = 9.0, -9.0
    text = charts.line_chart([("a", range(100_000), ys)], "x", "y")
    ((*points,),) = lines(parsed(text))
    assert len(points) <= 402 and len(text) < 20_000
    high, low = min(y for _, y in points), max(y for _, y in points)
    assert sum(y == high for _, y in points) == sum(y == low for _, y in points) == 1
    assert [x for x, _ in points] == sorted(x for x, _ in points)


def test_bars():
    svg = parsed(charts.bar_chart(["a & b", "a name that is much too long to stand there"], [2, 1]))
    widths = [float(bar.get("width")) for bar in svg.iter(f"{SVG}rect")]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.2)
    assert "a & b" in texts(svg) and any(text.endswith("…") for text in texts(svg))
    svg = parsed(charts.bar_chart(["a", "b", "c"], [1_281_167, 1234.5, 0.5], " s"))
    assert {"1,281,167 s", "1,234 s", "0.5 s"} <= set(texts(svg))
    assert charts.bar_chart([], []) == ""
    assert len(list(parsed(charts.bar_chart(["a"], [0])).iter(f"{SVG}rect"))) == 1


def test_heat_map():
    svg = parsed(charts.heat_map([[9, 1, 0], [0, 0, 0], [2, 2, 4]], ["a", "b<", "c"]))
    titles = [title.text for title in svg.iter(f"{SVG}title")]
    assert titles == [
        "a right: 9", "a taken for b<: 1", "b< right: 0", "c taken for a: 2", "c taken for b<: 2",
        "c right: 4",
    ]  # fmt: skip
    opacity = [float(cell.get("fill-opacity", 1)) for cell in svg.iter(f"{SVG}rect")]
    assert opacity[1] == pytest.approx(math.sqrt(0.1), abs=1e-3)
