"""Where the time went: all of it, under the right names."""

import time

import pytest
from test_page import Reader

from resnet_tf import runtime
from resnet_tf.reporting import goodput
from resnet_tf.reporting.goodput import Goodput
from resnet_tf.reporting.page import Curves, Page, render


@pytest.fixture
def now(monkeypatch):
    """A clock that stands until it is set on."""

    class Now:
        seconds = 100.0

    monkeypatch.setattr(goodput.time, "perf_counter", lambda: Now.seconds)
    return Now


def test_parts_add_up_to_the_whole(now):
    clock = Goodput(elapsed=2.0)
    now.seconds += 3
    clock.enter(goodput.STEPS)
    now.seconds += 10
    with clock.during(goodput.SAVING):
        now.seconds += 1
        with clock.during(goodput.EVALUATION):
            now.seconds += 4
        now.seconds += 0.5
    now.seconds += 5
    clock.move(2.25, goodput.STEPS, goodput.INPUT)
    assert clock.seconds() == {
        "steps": 12.75, "start-up": 5.0, "evaluation": 4.0, "input wait": 2.25, "saving": 1.5,
    }  # fmt: skip
    now.seconds += 1
    assert clock.seconds()["steps"] == 13.75, "it goes on"


def test_a_part_that_fails_ends_too(now):
    clock = Goodput()
    with pytest.raises(OSError), clock.during(goodput.SAVING):
        now.seconds += 1
        raise OSError
    now.seconds += 2
    assert clock.seconds() == {"start-up": 2.0, "saving": 1.0}


def test_no_more_is_moved_than_there_is(now):
    clock = Goodput()
    now.seconds += 1
    clock.enter(goodput.STEPS)
    clock.move(3.0, goodput.START, goodput.INPUT)
    assert clock.seconds() == {"input wait": 1.0, "start-up": 0.0, "steps": 0.0}


def test_steps_that_were_made_before_count_apart(now):
    clock = Goodput()
    clock.replays(20)
    for first, seconds, waited in ((10, 4, 1), (15, 3, 1), (20, 2, 0.5), (25, 2, 0)):
        now.seconds += seconds
        clock.steps_made(first, waited)
    assert clock.seconds() == {
        "start-up": 4.0, "steps": 3.5, "steps made before": 2.0, "input wait": 1.5,
    }  # fmt: skip
    clock.replays(30)  # the run went back
    clock.replays(5)
    now.seconds += 1
    clock.steps_made(29, 0)
    now.seconds += 1
    clock.steps_made(30, 0)
    assert clock.seconds() == {
        "start-up": 4.0, "steps": 4.5, "steps made before": 3.0, "input wait": 1.5,
    }  # fmt: skip


def test_a_line_for_people():
    told = goodput.line({"steps": 3000.0, "start-up": 900.04, "saving": 100.0})
    assert (
        told
        == "time: steps 3,000.0 s, start-up 900.0 s, saving 100.0 s; 75.0% of 4,000.0 s in steps"
    )
    assert goodput.line({}) == "time: ; 0.0% of 1.0 s in steps"


def test_age_of_this_process():
    first = runtime.process_age()
    time.sleep(0.05)
    assert 0 < first < runtime.process_age() < first + 60


def test_a_page_draws_the_last_command_of_each_run():
    events = [{"event": "goodput", "seconds": {"steps": n, "saving": 2.0}} for n in (7.0, 31.0)]
    page = Page(title="a", runs=[Curves("x", events, []), Curves("y", events[:1], [])])
    words = Reader(render(page)).words
    assert "Where the time went" in words and "31 s" in words and "7 s" in words
    assert words.count("steps") == 2
    assert "Where the time went" not in render(Page(title="a", runs=[Curves("x", [], [])]))
