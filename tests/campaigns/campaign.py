"""What a campaign is: cases, each of which holds or not, and a sentence of figures."""

import dataclasses
import json
import multiprocessing
import pathlib
import shutil
import time
import traceback
from collections.abc import Callable, Iterable

Case = Callable[[pathlib.Path, int], dict]


@dataclasses.dataclass(frozen=True)
class Result:
    """How a campaign went.

    Attributes:
      name, promise: what it is called, and what each case should show.
      cases: their number; `held` of them did.
      figures: a sentence.
      seconds: that it took.
      failures: what the others said.
    """

    name: str
    promise: str
    cases: int
    held: int
    figures: str
    seconds: float
    failures: list[str]


def run(
    name: str,
    promise: str,
    case: Case,
    numbers: Iterable[int],
    folder: pathlib.Path,
    workers: int,
    figures: Callable[[list[dict]], str] = lambda found: "",
) -> Result:
    """Runs a case for each number, each in a folder of its own, which goes where it held.

    Args:
      case: takes the folder and the number; gives facts for `figures`, and raises where what was
        promised does not hold.
      workers: processes that run cases.
      figures: a sentence of the facts.
    """
    numbers, begin = list(numbers), time.monotonic()
    context, answers = multiprocessing.get_context("fork"), folder / f"{name}.jsonl"
    answers.parent.mkdir(parents=True, exist_ok=True)

    def work(share):
        for number in share:
            answer = json.dumps(_tried(case, folder / name / str(number), number))
            with open(answers, "a") as file:  # a line is written at once
                file.write(answer + "\n")

    processes = [
        context.Process(target=work, args=(numbers[first::workers],)) for first in range(workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = [json.loads(line) for line in answers.read_text().splitlines()]
    assert len(found) == len(numbers), "a worker has died"
    facts = [fact for fact, failure in found if not failure]
    failures = [failure for _, failure in found if failure]
    return Result(
        name, promise, len(numbers), len(facts), figures(facts) if facts else "",
        round(time.monotonic() - begin, 1), failures,
    )  # fmt: skip


def _tried(case: Case, place: pathlib.Path, number: int) -> tuple[dict, str]:
    place.mkdir(parents=True)
    try:
        facts = case(place, number)
    except Exception:
        return {}, f"case {number}, see {place}: {traceback.format_exc()}"
    shutil.rmtree(place, ignore_errors=True)
    return facts, ""


def spread(values: Iterable[float], unit: str = "s") -> str:
    """Least, median and most of some numbers."""
    values = sorted(values)
    return f"{values[0]:.3g}, {values[len(values) // 2]:.3g} and {values[-1]:.3g} {unit}"
