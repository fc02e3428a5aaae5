"""The bar on a terminal, plain lines elsewhere."""

import pytest

from resnet_tf.preparation import Bar, Progress, progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on only when it is told to."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_every_ten_seconds(clock, capsys):
    bar = Bar(terminal=False)
    bar.start(1000, 40_000_000)
    for seconds in (4, 9, 12, 15, 25):
        clock[0] = seconds
        bar.advance(2_000_000)
    bar.close()
    assert capsys.readouterr().err.splitlines() == [
        "3 of 1,000 pictures, 0 MB/s, 68 s left",  # 6 MB in 12 s, 34 MB are left
        "5 of 1,000 pictures, 0 MB/s, 75 s left",  # 10 MB in 25 s, 30 MB are left
    ]


def test_a_bar_on_a_terminal(capsys):
    bar = Bar(terminal=True)
    bar.start(2, 3_000_000)
    bar.advance(1_000_000)
    bar.say("going on")
    bar.advance(2_000_000)
    bar.close()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "going on" in shown.err
    assert "3.00M/3.00M" in shown.err
    assert "2 pictures" in shown.err


def test_lines_before_the_start_and_a_close_without_one(capsys):
    bar = Bar(terminal=True)
    bar.say("going on")
    bar.close()
    assert capsys.readouterr().err == "going on\n"


def test_silence(capsys):
    quiet = Progress()
    quiet.start(1, 1)
    quiet.advance(1)
    quiet.say("going on")
    quiet.close()
    assert capsys.readouterr() == ("", "")
