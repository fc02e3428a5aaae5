"""Durations in steps, by hand arithmetic."""

import pytest

from resnet_tf import durations


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("900", (900.0, "steps")),
        ("0", (0.0, "steps")),
        ("900step", (900.0, "steps")),
        ("900steps", (900.0, "steps")),
        ("81epochs", (81.0, "epochs")),
        ("1epoch", (1.0, "epochs")),
        ("0.5epochs", (0.5, "epochs")),
        ("28800examples", (28800.0, "examples")),
        ("1example", (1.0, "examples")),
        ("5%", (5.0, "%")),
        ("2.5%", (2.5, "%")),
        (" 20 epochs ", (20.0, "epochs")),
        (400, (400.0, "steps")),
    ],
)
def test_parse(text, expected):
    assert durations.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "steps", "%", "-5", "-5steps", "+5", "1e3", "1.", ".5", "0x10", "nan", "inf"),
        *("5minutes", "5 5", "5,5", "5\n5", "5epochs2", "5stepsx", "5%%", "5epochss", "infepochs"),
    ],
)
def test_parse_refuses(text):
    with pytest.raises(ValueError, match="must be a number with one of steps, epochs, examples, %"):
        durations.parse(text)


@pytest.mark.parametrize("text", ["5s", "5%s"])
def test_seconds_are_no_unit(text):
    with pytest.raises(ValueError, match="must be a number with one of"):
        durations.parse(text)


def test_refusal_shows_what_was_found():
    with pytest.raises(ValueError, match="got '5 minutes'"):
        durations.parse("5 minutes")


@pytest.mark.parametrize(
    ("text", "batch_size", "records", "expected"),
    [
        ("900", 32, 1437, 900),
        ("12.4steps", 1, 1, 12),
        ("20epochs", 32, 1437, 898),  # 20 · 1437 / 32 = 898.125
        ("200epochs", 128, 50_000, 78_125),  # 200 · 50,000 / 128
        ("81epochs", 128, 50_000, 31_641),  # 31,640.625
        ("122epochs", 128, 50_000, 47_656),  # 47,656.25
        ("0.5epochs", 10, 1000, 50),
        ("1epoch", 1024, 100, 0),  # 0.098
        ("28800examples", 32, 1437, 900),
        ("100examples", 32, 7, 3),  # 3.125
        ("0", 32, 1437, 0),
    ],
)
def test_to_steps(text, batch_size, records, expected):
    found = durations.to_steps(text, batch_size=batch_size, records=records)
    assert found == expected
    assert isinstance(found, int)


@pytest.mark.parametrize(
    ("text", "total", "expected"),
    [("5%", 900, 45), ("100%", 900, 900), ("0%", 900, 0), ("2.5%", 78_125, 1953), ("1%", 10, 0)],
)
def test_percent_of_the_run(text, total, expected):
    found = durations.to_steps(text, batch_size=32, records=1437, total_steps=total)
    assert found == expected


def test_total_does_not_matter_to_the_other_units():
    found = durations.to_steps("3epochs", batch_size=10, records=100, total_steps=7)
    assert found == 30


def test_length_of_a_run_cannot_be_a_percentage():
    with pytest.raises(ValueError, match="cannot be a percentage, got '5%'"):
        durations.to_steps("5%", batch_size=32, records=1437)
