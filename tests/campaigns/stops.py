"""SIGTERM at random moments, of train.py and eval.py; and starts of many in one directory."""

import collections
import json
import pathlib
import random
import re
import signal
import time

from campaigns import campaign, runs
from resnet_tf import checkpoint

# Saves and evaluations often enough that many signals meet one.
_OFTEN = ("--steps=200", "--save_every_steps=4", "--eval_every_steps=8", "--keep=2")
# So long that the slowest to start finds the first still there.
_LONG = ("--steps=1200", "--save_every_steps=50", "--eval_every_steps=0")
_FIRST_CALL, _ATTEMPTS = 4, 8
_TIMED = 100  # cases
_STARTERS = 3


def sigterms(folder: pathlib.Path, count: int, workers: int) -> campaign.Result:
    """One signal a run; one in five is sent to eval.py.

    How long it takes to end is judged in full campaigns alone, a case at a time: a sample may run
    beside anything.
    """
    timed = count >= _TIMED
    folder.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    undisturbed = runs.finish(folder / "undisturbed", *_OFTEN)
    length = time.monotonic() - begin
    first_step, save = _slowest(folder / "undisturbed")
    begin = time.monotonic()
    assert _eval(folder / "undisturbed", folder).wait() == 0
    length_of_eval = time.monotonic() - begin

    def case(place, number):
        chance = random.Random(number)
        if number % 5 == 4:
            seconds = _of_eval(folder / "undisturbed", place, chance, length_of_eval)
            assert not timed or seconds < 1, f"{seconds:.2f} s of eval.py"
            return {"when": "in eval.py", "seconds": seconds}
        # Where the run was through before the signal came, another one is sent it sooner.
        for attempt in range(_ATTEMPTS):
            run, latest = place / f"run{attempt}", 0.9 * length / 2**attempt
            process = runs.train(run, *_OFTEN)
            code, seconds = _terminate(process, chance.uniform(0, latest))
            if code:
                break
        assert code == 143, f"code {code}\n{process.stderr}"
        last = process.stderr.splitlines()[-1]
        assert last.startswith("ERROR 143: stopped by SIGTERM "), last
        reached = re.search(r"at step (\d+), which is committed", last)
        if reached:
            assert checkpoint.find(run).step == int(reached[1]), last
        else:
            assert not checkpoint.commits(run / "checkpoints"), last
        # The first step, which is traced, is the only long one.
        allowed = save + 1 + (0 if reached and int(reached[1]) > _FIRST_CALL else first_step)
        assert not timed or seconds < allowed, f"{seconds:.2f} s, {allowed:.2f} allowed"
        assert runs.finish(run, *_OFTEN) == undisturbed
        return {"when": "in training" if reached else "in start-up", "seconds": seconds}

    def figures(found):
        when = collections.defaultdict(list)
        for fact in found:
            when[fact["when"]].append(fact["seconds"])
        return "; ".join(
            f"{len(seconds)} {name}: {campaign.spread(seconds)}"
            for name, seconds in sorted(when.items())
        )

    promise = (
        "SIGTERM ends with code 143, within the step under way (start-up, where that is the first)"
        " + one save + 1 s, and a commit of the step that it names, from which the run ends in the"
        " same bits (least, median and most seconds from the signal to the end)"
    )
    workers = 1 if timed else workers
    return campaign.run("SIGTERMs", promise, case, range(count), folder, workers, figures)


def _slowest(run: pathlib.Path) -> tuple[float, float]:
    """Seconds of a run until its first step was made, and of its longest save."""
    events = list(map(json.loads, (run / "journal.jsonl").read_text().splitlines()))
    (start_up,) = [e["seconds"]["start-up"] for e in events if e["event"] == "goodput"]
    return start_up, max(e["seconds"] for e in events if e["event"] == "save")


def _of_eval(run: pathlib.Path, place: pathlib.Path, chance: random.Random, length: float) -> float:
    before = runs.committed(run)
    for attempt in range(_ATTEMPTS):
        process = _eval(run, place)
        code, seconds = _terminate(process, chance.uniform(0, 0.9 * length / 2**attempt))
        if code:
            break
    assert code == 143, f"code {code}\n{process.stderr}"
    assert process.stderr.splitlines()[-1].startswith("ERROR 143: stopped by SIGTERM ")
    assert process.events == [] and runs.committed(run) == before
    return seconds


def _eval(run: pathlib.Path, place: pathlib.Path) -> runs.Process:
    return runs.start(
        f"--checkpoint={run}", "--devices=cpu", "--batch_size=1", "--crops=5", "--flip",
        script="eval.py", output=place / "eval.out",
    )  # fmt: skip


def _terminate(process: runs.Process, moment: float) -> tuple[int, float]:
    """The code with which it ends, and the seconds that it takes."""
    time.sleep(moment)
    process.kill(signal.SIGTERM)
    begin = time.monotonic()
    code = process.wait()
    return code, time.monotonic() - begin


def simultaneous(folder: pathlib.Path, count: int, workers: int) -> campaign.Result:
    """So many starts in one directory at once: one has it, the others change nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    undisturbed = runs.finish(folder / "undisturbed", *_LONG)

    def case(place, number):
        run = place / "run"
        processes = []
        for starter in range(_STARTERS):
            output = place / f"{starter}.out"
            processes.append(runs.start(f"--model_dir={run}", *runs.MICRO, *_LONG, output=output))
        codes = [process.wait() for process in processes]
        assert sorted(codes) == [0, 77, 77], codes
        winner = processes[codes.index(0)]
        assert winner.events[-1]["digest"] == undisturbed
        for process in processes:
            if process is not winner:
                last = process.stderr.splitlines()[-1]
                assert f"pid {winner.pid}," in last or "has not said which" in last, last
                assert process.events == []
        lines = (run / "journal.jsonl").read_text()
        assert lines.count('"event": "start"') == 1
        return {}

    promise = (
        f"of {_STARTERS} starts in one directory one trains, to the bits of a run alone; the others"
        " end with 77 and change nothing"
    )
    return campaign.run("starts", promise, case, range(count), folder, workers)
