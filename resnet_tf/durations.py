"""Durations: every length of training time that a user may write becomes steps here."""

import re

_UNITS = ("steps", "epochs", "examples", "%")
_MOST_STEPS = 2**31
_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:(step|epoch|example)s?|(%))?\s*")


def parse(text: str) -> tuple[float, str]:
    """ "81epochs" to (81.0, "epochs"); a bare number counts steps.

    Raises:
      ValueError: for anything that is not a number and one of the units.
    """
    match = _FORM.fullmatch(str(text))
    if not match:
        raise ValueError(f"must be a number with one of {', '.join(_UNITS)}, got {text!r}")
    number, unit, percent = match.groups()
    return float(number), percent or f"{unit or 'step'}s"


def to_steps(text: str, *, batch_size: int, records: int, total_steps: int | None = None) -> int:
    """Steps in a duration, rounded to the nearest.

    steps = s      epochs: e · records / batch_size      examples: x / batch_size
    percent: p / 100 · total_steps

    Args:
      text: such as "900", "900steps", "20epochs", "28800examples", "5%".
      batch_size: examples a step, over all replicas.
      records: examples an epoch.
      total_steps: of the run, for percentages.

    Raises:
      ValueError: for another form, more than 2**31 steps, or a percentage where there is no
        total.
    """
    number, unit = parse(text)
    if unit == "%" and total_steps is None:
        raise ValueError(f"the length of a run cannot be a percentage, got {text!r}")
    factor = {
        "steps": 1,
        "epochs": records / batch_size,
        "examples": 1 / batch_size,
        "%": (total_steps or 0) / 100,
    }[unit]
    steps = number * factor
    if steps > _MOST_STEPS:
        raise ValueError(f"must be at most {_MOST_STEPS} steps, got {text!r}")
    return round(steps)
