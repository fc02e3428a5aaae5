"""`reporting.page`: everything that it is given is shown, whole and harmless."""

import base64
import html.parser
import re

import pytest

from resnet_tf.reporting.page import Curves, Page, Picture, render, results_of

PNG = b"\x89PNG\r\n\x1a\nnot a real one"
VOID = {"meta", "img", "br"}


class Reader(html.parser.HTMLParser):
    """The text of a page; fails where tags do not close as they open."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def events(scale=1.0):
    for step in (50, 100, 150):
        speed = 0.0 if step == 50 else 900.0
        yield {"event": "train", "step": step, "top1": step / 200 * scale,
               "images_per_second": speed, "input_wait_share": 0.01}  # fmt: skip
    yield {"event": "eval", "step": 150, "top1": 0.8 * scale}
    yield {"event": "done", "step": 150}


def steps():
    return [
        {"step": str(s), "loss": str(2 / s), "gradient_norm": "nan" if s == 9 else "1.5",
         "learning_rate": "0.1", "order": "1", "pictures": "2"}
        for s in range(1, 151)
    ]  # fmt: skip


def full(classes=3):
    names = [f"class {i}" for i in range(classes - 1)] + ["<b>bold</b>"]
    confusion = [
        [5 if i == j else int((i + 1) % classes == j) for j in range(classes)]
        for i in range(classes)
    ]
    return Page(
        title="runs/a & b",
        facts=[("top-1", "98.4 %"), ("steps", "900")],
        runs=[Curves("a", list(events()), steps())],
        names=names,
        confused=[("class 0", "class 1", 7)],
        confusion=confusion,
        classes=[(name, 0.5, 0.25, i / classes, 6) for i, name in enumerate(names)],
        calibration=[(0.25, 0.3, 4), (0.9, 0.8, 14)],
        samples=[Picture(PNG, ["class 0", "record 7"])],
        wrong=[Picture(PNG, ["<b>bold</b>", "class 1 93 %"])],
        data=[("name", "digits"), ("licence", "CC BY 4.0")],
        configuration=[("seed", "3", True), ("pad", "0", False)],
        environment=[("tensorflow", "2.21.0")],
    )  # fmt: skip


def test_everything_is_shown():
    text = render(full())
    words = " ".join(Reader(text).words)
    for shown in ("runs/a & b", "98.4 %", "Loss of a step", "Right first class", "Learning rate",
                  "Gradient norm", "Speed", "Waiting for input", "class 1", "<b>bold</b>",
                  "Confusion", "most confused", "7", "25.0%", "record 7", "class 1 93 %", "digits",
                  "CC BY 4.0", "seed", "2.21.0", "As it was trained on", "Not recognised",
                  "as often as it says"):  # fmt: skip
        assert shown in words, shown
    assert "<b>bold</b>" not in text  # nothing that is told becomes a tag
    assert text.count(base64.b64encode(PNG).decode()) == 2
    assert "<tr class=told><td>seed</td>" in text and "<tr><td>pad</td>" in text


def test_the_page_needs_nothing_else():
    reader = Reader(render(full()))
    assert not {tag for tag, _ in reader.tags} & {"script", "link", "iframe", "object"}
    for tag, attributes in reader.tags:
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:"), tag
    assert "url(" not in render(full()) and "@import" not in render(full())


def test_what_is_not_there_is_left_out():
    words = Reader(render(Page(title="empty"))).words
    assert words.count("empty") == 2
    assert not {"Curves", "Classes", "Calibration", "Data", "Configuration"} & set(words)


def test_several_runs_are_drawn_over_each_other():
    runs = [Curves(f"run {i}", list(events(1 - i / 10)), steps()) for i in range(3)]
    reader = Reader(render(Page(title="three", runs=runs)))
    words = set(reader.words)
    assert {"run 0", "run 2", "run 0 · in training", "run 1 · held out"} <= words
    assert sum(tag == "polyline" for tag, _ in reader.tags) == 3 * 7


def test_a_thousand_classes_stay_small():
    """Well under the 5 MB that a page may take."""
    text = render(full(1000))
    assert len(text) < 300_000
    assert "The 40 classes with most errors, of 1,000." in text


@pytest.mark.parametrize("runs", [[], [Curves("a", [], [])]])
def test_a_run_that_has_just_begun(runs):
    assert "Curves" not in Reader(render(Page(title="new", runs=runs))).words


STRANGE = (None, "soon", True, [1], {"a": 1}, float("nan"), float("-inf"), 10**400)


def test_events_of_strange_numbers_are_left_out():
    """Of each kind, and each of their fields; what is sound is drawn."""
    words = Reader(render(Page(title="sound", runs=[Curves("a", list(events()), steps())]))).words
    odd = [
        {**event, name: value} for event in events() for name in event if name != "event"
        for value in STRANGE
    ]  # fmt: skip
    odd += [{"event": kind} for kind in ("train", "eval", "done", "goodput")]
    odd += [{"event": "goodput", "seconds": value} for value in STRANGE]
    odd += [{"event": "goodput", "seconds": {"steps": value}} for value in STRANGE]
    run = Curves("a", [*odd, *events()], steps())
    text = render(Page(title="sound", runs=[run], results=results_of([run])))
    assert {"Right first class", "Speed"} <= set(words) & set(Reader(text).words)
    assert "nan" not in text and "inf" not in text.replace("information", "")
    last = Curves("a", [{"event": "eval", "top1": "high"}, {"event": "train", "loss": [1]}], [])
    assert results_of([last])[1] == ("a", "-", "-", "-", "-", "-")


def test_times_of_a_command_that_are_sound():
    told = {"steps": 3.5, "saving": 0, "report": "long", "evaluation": -1}
    run = Curves("a", [{"event": "goodput", "seconds": told}], [])
    words = Reader(render(Page(title="times", runs=[run]))).words
    assert {"3.5 s", "0 s"} <= set(words) and not {"report", "evaluation"} & set(words)


def test_the_style_is_of_what_there_is():
    text = render(full())
    style, body = text.split("</style>")
    used = {name for names in re.findall(r'class="?([a-z ]+)', body) for name in names.split()}
    assert set(re.findall(r"\.([a-z]+)\b(?=[^{};]*\{)", style)) == used
