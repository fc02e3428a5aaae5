"""Contenders in processes of their own, in turn, and the ratios of what they report.

A probe, a fixed matrix product, stands between any two processes. A figure goes with the probes
before and after its process. Two figures of one round make a ratio if their four probes agree
within `drift`: else the machine had another speed for the one than for the other.
"""

import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONTENDERS = ROOT / "benchmarks" / "contenders"
# Settings of whoever runs this, and of a parent that has imported our package, are no
# contender's. Each gets those it is about and no others.
CLEARED = (
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE",
    "TF_XLA_FLAGS",
    "RESNET_TF_MALLOPT",
    "LD_PRELOAD",
)


@dataclasses.dataclass(frozen=True)
class Contender:
    """A process to be timed.

    Attributes:
      name: of its row.
      command: prints a JSON line last, with `images_per_second`; `{round}` in it is replaced by
        the number of the round.
      reference: name of the contender whose speed is divided by this one's, and whose losses
        this one's must equal where it has any. None: of none.
      environment: added to the cleared one.
    """

    name: str
    command: tuple[str, ...]
    reference: str | None = None
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


def run(command: list[str], **environment: str) -> dict:
    """The last JSON line that a contender prints.

    Raises:
      SystemExit: with what it wrote on stderr, where it fails.
    """
    kept = {key: value for key, value in os.environ.items() if key not in CLEARED}
    process = subprocess.run(
        command, env={**kept, **environment}, cwd=ROOT, capture_output=True, text=True
    )
    if process.returncode:
        sys.exit(f"{' '.join(command)}\n{process.stderr}")
    return json.loads(process.stdout.splitlines()[-1])


def gemm_probe() -> float:
    """GFLOP/s of a fixed matrix product."""
    import numpy as np

    a = np.random.default_rng(0).random((1536, 1536), np.float32)
    best = min(_timed(lambda: a @ a) for _ in range(5))
    return 2 * 1536**3 / best / 1e9


def _timed(function: Callable[[], object]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def run_round(number: int, contenders: list[Contender], tell: Callable[..., None]) -> dict:
    """name -> figures of one round, forwards in even rounds and backwards in odd ones.

    Figures are what the contender printed and `gemm_gflops`, the probes before and after it; or
    `failed`, the last line of its complaint, so that one that fails does not cost the others.
    """
    found = {}
    before = gemm_probe()
    for contender in contenders[:: 1 if number % 2 == 0 else -1]:
        command = [part.replace("{round}", str(number)) for part in contender.command]
        try:
            figures = run(command, **contender.environment)
        except SystemExit as end:
            figures = {"failed": str(end.code).strip().splitlines()[-1]}
        after = gemm_probe()
        found[contender.name] = figures = {**figures, "gemm_gflops": [before, after]}
        tell(event="figures", round=number, contender=contender.name, figures=figures)
        before = after
    return {contender.name: found[contender.name] for contender in contenders}


def why_void(ours: list[float], theirs: list[float], within: float, first: float) -> str | None:
    """Why a contender whose losses are `theirs` does not compute what we do; None if it does.

    Args:
      ours: losses, a number a step.
      theirs: the same, or means of k steps each where they are k times as few.
      within: largest difference of a loss.
      first: the same for that of the first step, before which no update lies.
    """
    steps = len(ours) // max(len(theirs), 1)
    if not theirs or steps * len(theirs) != len(ours):
        return f"{len(theirs)} losses beside our {len(ours)}"
    means = [statistics.fmean(ours[i : i + steps]) for i in range(0, len(ours), steps)]
    for number, (mine, other) in enumerate(zip(means, theirs)):
        most = first if number == 0 and steps == 1 else within
        if not abs(mine - other) <= most:  # a NaN is not
            where = f"step {number}" if steps == 1 else f"steps {number * steps} on"
            return f"loss of {where} is {other:.6g}, ours {mine:.6g}"
    return None


def ratios(rounds: list[dict], name: str, reference: str, drift: float) -> list[float]:
    """How many times as fast as `name` the reference was, in each round that counts."""
    pairs = [(found[reference], found[name]) for found in rounds]
    return [
        ours["images_per_second"] / theirs["images_per_second"]
        for ours, theirs in pairs
        if "failed" not in ours and "failed" not in theirs
        and steady(ours["gemm_gflops"] + theirs["gemm_gflops"], drift)
    ]  # fmt: skip


def steady(probes: list[float], drift: float) -> bool:
    """Whether the largest is at most `drift` above the smallest."""
    return max(probes) <= (1 + drift) * min(probes)
