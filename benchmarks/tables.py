"""The table of a comparison as Markdown, and its place in the README."""

import pathlib
import statistics

from benchmarks.contenders.cases import Case
from benchmarks.rounds import Contender, ratios, steady, why_void

# Losses of two right programs differ by rounding alone, which grows from step to step.
FIRST_WITHIN, WITHIN = 1e-4, 1e-2
COLUMNS = ("contender", "img/s", "ours ÷ it", "rounds", "train.py ÷ it", "import s", "build s",
           "first call s", "step ms", "peak MB")  # fmt: skip


def make(contenders: list[Contender], rounds: list[dict], drift: float) -> str:
    """The table; a contender that does not compute the same has no speed in it.

    Args:
      contenders: in the order of their rows.
      rounds: of each, name -> figures, as `rounds.run_round` returns them.
      drift: of the probes, at most.
    """
    rows = [
        _row(contender, rounds, drift, any(c.name == "train.py" for c in contenders))
        for contender in contenders
    ]
    lines = [" | ".join(COLUMNS), "|".join(["---"] * len(COLUMNS)), *map(" | ".join, rows)]
    return "\n".join(f"| {line} |" if "---" not in line else f"|{line}|" for line in lines)


def void(contender: Contender, rounds: list[dict]) -> str | None:
    """Why a contender's speed means nothing, from the first round that shows it."""
    for found in rounds:
        figures = found[contender.name]
        if "failed" in figures:
            return figures["failed"]
        if contender.reference and "losses" in figures:
            ours = found[contender.reference].get("losses", [])
            reason = why_void(ours, figures["losses"], WITHIN, FIRST_WITHIN)
            if reason:
                return reason
    return None


def _row(contender: Contender, rounds: list[dict], drift: float, loop: bool) -> list[str]:
    name = contender.name
    reason = void(contender, rounds)
    if reason:
        return [name, f"void: {reason.replace('|', '/')}", *[""] * (len(COLUMNS) - 2)]
    figures = [found[name] for found in rounds]
    speeds = [f["images_per_second"] for f in figures if steady(f["gemm_gflops"], drift)]
    against = ratios(rounds, name, contender.reference, drift) if contender.reference else []
    against_loop = ratios(rounds, name, "train.py", drift) if loop and name != "train.py" else []
    return [
        name, _median(speeds, "{:.0f}" if speeds and min(speeds) >= 20 else "{:.2f}"),
        spread(against), str(len(against)) if contender.reference else "",
        spread(against_loop), *(
            _median([f[key] * factor for f in chosen if key in f], form)
            for key, factor, form, chosen in (
                ("import_s", 1, "{:.1f}", figures),
                ("build_s", 1, "{:.1f}", figures),
                # Later rounds may find what the first one compiled.
                ("first_call_s", 1, "{:.1f}", figures[:1]),
                ("step_s", 1e3, "{:.0f}", figures),
                ("peak_memory_mb", 1, "{:.0f}", figures),
            )
        ),
    ]  # fmt: skip


def share(name: str, case: Case, peer: str, rounds: list[dict], peak: float, drift: float) -> str:
    """A line: which part of the GEMM peak the convolutions of a contender's step make use of.

    A step is taken as three forward passes of two operations a multiply-add.
    """
    figures = [found[name] for found in rounds]
    speeds = [f["images_per_second"] for f in figures
              if "failed" not in f and steady(f["gemm_gflops"], drift)]  # fmt: skip
    if not speeds:
        return ""
    rate = 6 * case.macs[peer] * statistics.median(speeds) / 1e9
    return f"{name}: {rate:.0f} GFLOP/s, {rate / peak:.0%} of the GEMM peak."


def spread(values: list[float]) -> str:
    """Median, minimum and maximum; nothing of nothing."""
    if not values:
        return ""
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def _median(values: list[float], form: str) -> str:
    return form.format(statistics.median(values)) if values else ""


def replace(text: str, name: str, table: str) -> str:
    """`text` with `table` between `<!-- table: name -->` and the next `<!-- end -->`.

    Raises:
      ValueError: where the markers are not there once.
    """
    begin, end = f"<!-- table: {name} -->", "<!-- end -->"
    if text.count(begin) != 1:
        raise ValueError(f"the text must have {begin} once, has it {text.count(begin)} times")
    head, rest = text.split(begin)
    inside, found, tail = rest.partition(end)
    if not found or "<!-- table:" in inside:
        raise ValueError(f"{begin} must be followed by {end}")
    return f"{head}{begin}\n\n{table}\n\n{end}{tail}"


def write(path: pathlib.Path, name: str, table: str) -> None:
    """Puts the table into the file, in the place of the one before."""
    path.write_text(replace(path.read_text(), name, table))
