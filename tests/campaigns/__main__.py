"""Runs campaigns, and puts the row of each that was run in full into docs/reliability.md.

cd tests && python -m campaigns                        all, in full: about four hours on two cores
cd tests && python -m campaigns --count=5 --steps=240 kills starts
"""

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import resnet_tf  # noqa: F401, I001  first: it prepares the process for TensorFlow
import tensorflow as tf
from campaigns import clusters, disks, kills, load, runs, states, stops
from resnet_tf.training import command  # noqa: F401  loaded once, for all that are forked

# Name: the campaign and its count in full.
CAMPAIGNS = {
    "kills": (kills.at_random, 200),
    "stages": (kills.at_stages, 71),
    "over_and_over": (kills.over_and_over, 25),
    "flips": (disks.flipped_bits, 1000),
    "full_disks": (disks.full, 50),
    "sigterms": (stops.sigterms, 100),
    "starts": (stops.simultaneous, 100),
    "not_finite": (states.not_finite, 100),
    "mismatches": (states.mismatches, 42),
    "overload": (load.overloaded, 20),
    "victims": (clusters.victims, 45),
    "restarts": (clusters.restarts, 50),
    "soak": (load.soak, 100_000),
}
_PAGE = runs.ROOT / "docs/reliability.md"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CAMPAIGNS))
    parser.add_argument("--count", type=int, help="of cases, in place of the full number")
    parser.add_argument("--workers", type=int, default=2, help="cases at a time; default 2")
    parser.add_argument("--steps", type=int, help="of a run, in place of 600; 240 or more")
    told = parser.parse_args()
    if told.steps:
        runs.MICRO.append(f"--steps={told.steps}")  # the last flag counts
    unknown = set(told.names) - CAMPAIGNS.keys()
    if unknown:
        parser.error(f"no campaign is called {', '.join(sorted(unknown))}")
    folder, failed = pathlib.Path(tempfile.mkdtemp(prefix="campaigns-")), 0
    rows = _rows()
    for name in told.names or CAMPAIGNS:
        campaign, full = CAMPAIGNS[name]
        result = campaign(folder / name, told.count or full, told.workers)
        print(json.dumps(dataclasses.asdict(result)), flush=True)
        for failure in result.failures:
            print(failure, file=sys.stderr, flush=True)
        failed += len(result.failures)
        rows[name] = _row(name, result)
        if not (told.count or told.steps):
            _write(rows)
    if not failed:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(bool(failed))


def _row(name: str, result) -> str:
    today = datetime.date.today()
    return (
        f"| `{name}` | {result.promise} | {result.held:,} of {result.cases:,} | {result.figures} |"
        f" {today}, {result.seconds / 60:.1f} min |"
    )


def _rows() -> dict[str, str]:
    """Those of the page as it is, by name: a campaign that is run alone leaves the others."""
    lines = _PAGE.read_text().splitlines() if _PAGE.exists() else []
    return {line.split("`")[1]: line for line in lines if line.startswith("| `")}


def _write(rows: dict[str, str]) -> None:
    table = "\n".join(rows[name] for name in CAMPAIGNS if name in rows)
    _PAGE.write_text(_TEXT.format(table=table, machine=_machine()))


def _machine() -> str:
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if "model name" in line), "?")
    versions = f"Python {platform.python_version()}, TensorFlow {tf.__version__}"
    return f"{os.cpu_count()} cores of {model}, {versions}"


_TEXT = """# Reliability, counted

Each row is a campaign of `make test-faults`, which runs them all and writes this page; a part of
each but the soak runs in CI. Unless its campaign needs another, a case is a run of its own with a
network of depth 8 on the digits in `data/`: 600 steps, a commit every 20, an evaluation every 200;
processes are forked once TensorFlow is loaded, but those of `victims` and `restarts`. One campaign
alone: `cd tests && python -m campaigns kills`.

| campaign | what each case shows | held | figures | when, how long |
|---|---|---|---|---|
{table}

On {machine}; two cases at a time, one where time is judged. Some ran beside other work.
"""


if __name__ == "__main__":
    main()
