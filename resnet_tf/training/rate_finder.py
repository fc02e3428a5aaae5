"""A learning-rate finder: train while the rate rises, and see where the loss falls fastest.

Smith 2015, arXiv 1506.01186, section 3.3. What is here is its mathematics and its picture; the
training is the caller's: steps at the rates of `ramp`, until `has_diverged` says stop, then
`suggest`. Loss i is that of step i before its update, which is made with rate i.

Losses are smoothed by a bias-corrected exponential mean, with β = 0.9:

    m_i = β · m_(i-1) + (1 - β) · loss_i, m_(-1) = 0        smoothed_i = m_i / (1 - β^(i+1))

It looks at about 10 losses, and lags up to β / (1 - β) = 9 steps behind them. Over a ramp of 7
decades in 200 steps that is a factor of 2 in the rate (10^(9 · 7 / 199)); in 100 steps, of 4.
"""

import dataclasses
import itertools
import os
from collections.abc import Sequence

import numpy as np

from resnet_tf.training import schedules
from resnet_tf.training.schedules import Schedule

_DECAY = 0.9
_DIVERGED_AT = 4.0
# The first smoothed losses are means of so few that they jump about: no slope is read there.
_UNSETTLED = 10
_FEWEST = 2 * _UNSETTLED
# Less is noise, or rounding.
_LEAST_FALL = 0.01


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """What a ramp has shown; see `suggest`.

    Attributes:
      rate: where the smoothed loss falls fastest against the logarithm of the rate.
      lowest: where the smoothed loss is lowest.
      diverged: the rate at which the loss had diverged, None where it did not.
    """

    rate: float
    lowest: float
    diverged: float | None


def ramp(low: float, high: float, steps: int) -> Schedule:
    """rate(s) = low · (high / low)^(s / (steps - 1)): from low at step 0 to high at the last.

    Raises:
      ValueError: unless 0 < low < high and there are 2 steps or more.
    """
    if not 0 < low < high:
        raise ValueError(f"rates must be above 0 and rise, got {low} to {high}")
    if steps < 2:
        raise ValueError(f"a ramp needs 2 steps or more, got {steps}")
    return schedules.exponential(low, high / low, steps - 1)


def smooth(losses: Sequence[float]) -> np.ndarray:
    """The smoothed losses, float64 `[steps]`, by the formula above."""
    terms = ((1 - _DECAY) * float(loss) for loss in losses)
    means = list(itertools.accumulate(terms, lambda mean, term: _DECAY * mean + term))
    return np.array(means) / (1 - _DECAY ** np.arange(1, len(means) + 1))


def has_diverged(losses: Sequence[float]) -> bool:
    """Whether the smoothed loss has been above 4 times its lowest so far, or not finite."""
    return _settled_end(smooth(losses)) < len(losses)


def suggest(rates: Sequence[float], losses: Sequence[float]) -> Suggestion:
    """Reads a ramp, from its 10th loss on.

    The slope is (smoothed_(i+1) - smoothed_i) / (log rate_(i+1) - log rate_i), up to the
    lowest; the suggestion is rate i of the steepest, whose update made it fall.

    Args:
      rates: above 0 and rising, one a step.
      losses: training losses, above 0, one a rate.

    Raises:
      ValueError: for other rates, another number of losses, fewer than 20 losses before they
        diverge, or losses that fall by less than 1 %.
    """
    rates, smoothed = np.asarray(rates, np.float64), smooth(losses)
    if len(rates) != len(smoothed):
        raise ValueError(f"each rate needs a loss, got {len(rates)} and {len(smoothed)}")
    if not ((rates > 0).all() and (np.diff(rates) > 0).all()):
        raise ValueError("rates must be above 0 and rise")
    end = _settled_end(smoothed)
    if end < _FEWEST:
        raise ValueError(f"{_FEWEST} losses before they diverge are needed, got {end}")
    first = _UNSETTLED - 1
    lowest = first + int(np.argmin(smoothed[first:end]))
    fall = 1 - smoothed[lowest] / smoothed[first]
    if fall < _LEAST_FALL:
        raise ValueError(f"the loss never falls: by {fall:.2%} after its first {_UNSETTLED} steps")
    falling = slice(first, lowest + 1)
    slopes = np.diff(smoothed[falling]) / np.diff(np.log(rates[falling]))
    return Suggestion(
        rate=float(rates[first + np.argmin(slopes)]),
        lowest=float(rates[lowest]),
        diverged=float(rates[end]) if end < len(rates) else None,
    )


def draw(
    rates: Sequence[float],
    losses: Sequence[float],
    suggestion: Suggestion,
    path: str | os.PathLike,
) -> None:
    """Writes a PNG of raw and smoothed loss against the rate, with the suggestion marked.

    Args:
      rates: as for `suggest`.
      losses: as for `suggest`; those that are not finite are left out.
      suggestion: of these rates and losses.
      path: file to write.

    Raises:
      ImportError: without matplotlib.
      OSError: where the file cannot be written.
    """
    from matplotlib.figure import Figure

    smoothed = smooth(losses)
    figure = Figure(figsize=(8, 5), layout="constrained", dpi=120)
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.plot(rates, losses, color="tab:blue", alpha=0.35, linewidth=1, label="loss")
    axes.plot(rates, smoothed, color="tab:blue", linewidth=2, label="smoothed loss")
    _mark(axes, rates, smoothed, suggestion)
    axes.set_ylim(*_span(np.asarray(losses, np.float64), smoothed))
    axes.set_title(f"Suggested learning rate: {suggestion.rate:.2g}")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
    figure.savefig(path, format="png")


def _mark(axes, rates: Sequence[float], smoothed: np.ndarray, suggestion: Suggestion) -> None:
    """A dot and a line for each rate of the suggestion."""
    marks = [
        ("suggested", suggestion.rate, "tab:red", "-"),
        ("lowest", suggestion.lowest, "tab:green", "--"),
        ("diverged", suggestion.diverged, "tab:grey", ":"),
    ]
    for name, rate, color, style in marks:
        if rate is not None:
            axes.axvline(rate, color=color, linestyle=style, label=f"{name}: {rate:.2g}")
            axes.plot(rate, np.interp(rate, rates, smoothed), "o", color=color)


def _span(losses: np.ndarray, smoothed: np.ndarray) -> tuple[float, float]:
    """Limits of the axis of losses: how far they went up after they diverged tells nothing."""
    lowest = int(np.argmin(smoothed[: _settled_end(smoothed)]))
    seen = losses[np.isfinite(losses)]
    high = max(losses[: lowest + 1].max(), _DIVERGED_AT * smoothed[lowest])
    low, high = seen.min(), min(seen.max(), high)
    room = 0.08 * (high - low)
    return low - room, high + room


def _settled_end(smoothed: np.ndarray) -> int:
    """Number of smoothed losses before the first that has diverged."""
    diverged = ~np.isfinite(smoothed) | (smoothed > _DIVERGED_AT * np.fmin.accumulate(smoothed))
    return int(np.argmax(diverged)) if diverged.any() else len(smoothed)
