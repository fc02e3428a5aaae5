"""SIGKILL, at random moments and at named points: the same command ends in the same bits."""

import collections
import pathlib
import random
import time

from campaigns import campaign, runs

_SAVE = ("begin", "data", "sync", "manifest", "rename", "renamed")
STEPS = 480  # a kill, of the run that is killed over and over
_OTHERS = ("step", "sweep.begin", "sweep.mid", "restore", "evaluation", "report")


def flags_of(number: int) -> tuple[str, ...]:
    """Every other case writes its commits beside the steps."""
    return ("--async_save",) if number % 2 else ()


def at_random(folder: pathlib.Path, count: int, workers: int) -> campaign.Result:
    """One kill a run, at any moment of it."""
    undisturbed, length = _undisturbed(folder / "undisturbed")

    def case(place, number):
        moment = random.Random(number).uniform(0, length)
        process = runs.train(place / "run", *flags_of(number))
        time.sleep(moment)
        process.kill()
        code, before = process.wait(), runs.committed(place / "run")
        _finish_as(undisturbed, place / "run", before, *flags_of(number))
        return {"ended": code == 0, "committed": bool(before)}

    def figures(found):
        count = collections.Counter(
            "after the end"
            if fact["ended"]
            else "after a commit"
            if fact["committed"]
            else "before the first commit"
            for fact in found
        )
        return "killed " + ", ".join(f"{number} {when}" for when, number in sorted(count.items()))

    promise = "a run killed at a random moment ends in the bits of the undisturbed one"
    return campaign.run("kills", promise, case, range(count), folder, workers, figures)


def at_stages(folder: pathlib.Path, count: int, workers: int) -> campaign.Result:
    """Killed at the n-th time of each of the six stages of a commit, and at other points."""
    undisturbed, _ = _undisturbed(folder / "undisturbed")
    # Each point once, at different times; then all others.
    points = [(f"save.{stage}", n) for n, stage in enumerate(_SAVE, start=1)]
    points += [(point, 1) for point in _OTHERS]
    saves = [(f"save.{stage}", n) for n in range(1, 11) for stage in _SAVE]
    others = [(point, 2) for point in _OTHERS if point != "report"]
    points += [point for point in (*saves, *others) if point not in points]
    points = points[:count]

    def case(place, number):
        point, n = points[number]
        model_dir, flags = place / "run", (*flags_of(n), "--keep=1")
        if point == "restore":
            runs.train(model_dir, *flags, fault=f"save.renamed:{3 + n}").wait()
        before = runs.committed(model_dir)
        process = runs.train(model_dir, *flags, fault=f"{point}:{1 if point == 'restore' else n}")
        code = process.wait()
        assert code == -9, f"{point}:{n}: code {code}\n{process.stderr}"
        after = runs.committed(model_dir)
        assert all(after[name] == before[name] for name in before.keys() & after.keys())
        assert not before or max(after) >= max(before)
        _finish_as(undisturbed, model_dir, after, *flags)
        left = [path.name for path in (model_dir / "checkpoints").iterdir()]
        assert len(left) == 1, f"left behind: {left}"

    figures = f"{sum(point.startswith('save') for point, _ in points)} of them in a commit"
    promise = "a run killed at a named point keeps its commits, and ends in the same bits"
    return campaign.run(
        "stages", promise, case, range(len(points)), folder, workers, lambda found: figures
    )


def over_and_over(folder: pathlib.Path, count: int, workers: int) -> campaign.Result:
    """One run that is killed so many times."""
    length = STEPS * count
    steps = (f"--steps={length}", "--save_every_steps=10", "--eval_every_steps=1000")
    undisturbed, _ = _undisturbed(folder / "undisturbed", *steps)
    moments = random.Random(0)

    def case(place, number):
        for _ in range(count):
            last = max(runs.committed(place / "run"), default="")
            process = runs.train(place / "run", *steps)
            while max(runs.committed(place / "run"), default="") <= last:
                assert process.poll() is None, process.stderr
                time.sleep(0.05)
            time.sleep(moments.uniform(0, 1))
            process.kill()
            assert process.wait() == -9, "it was through before it was killed"
        last = max(runs.committed(place / "run"))
        _finish_as(undisturbed, place / "run", {}, *steps)
        return {"reached": int(last[5:])}

    def figures(found):
        return f"{count} kills, the last after step {found[0]['reached']:,} of {length:,}"

    promise = "one run killed over and over ends in the bits of the undisturbed one"
    return campaign.run("over and over", promise, case, range(1), folder, 1, figures)


def _undisturbed(model_dir: pathlib.Path, *flags: str) -> tuple[str, float]:
    model_dir.parent.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    digest = runs.finish(model_dir, *flags)
    return digest, time.monotonic() - begin


def _finish_as(undisturbed: str, model_dir: pathlib.Path, before: dict, *flags: str) -> None:
    digest = runs.finish(model_dir, *flags)
    assert digest == undisturbed, f"digest {digest} and not {undisturbed}"
    after = runs.committed(model_dir)
    assert all(after[name] == before[name] for name in before.keys() & after.keys())
