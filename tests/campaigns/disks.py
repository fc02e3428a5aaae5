"""Disks that flip bits, and disks that are full: what is committed stays, and what is not shows."""

import collections
import math
import pathlib
import random
import resource
import signal

from campaigns import campaign, runs
from resnet_tf import checkpoint

_STAGES = ("begin", "data", "sync", "manifest", "rename", "renamed")


def flipped_bits(folder: pathlib.Path, count: int, workers: int) -> campaign.Result:
    """A bit of the newest commit flipped, anywhere: it is noticed, and the one before taken."""
    run = folder / "run"
    folder.mkdir(parents=True, exist_ok=True)
    runs.finish(run)
    commits = run / "checkpoints"
    newest, before = checkpoint.commits(commits)[:2]
    files = sorted(newest.iterdir())
    sizes = [file.stat().st_size for file in files]

    def case(place, number):
        chance = random.Random(number)
        # Every other one in the two small files, which are most of what could go wrong.
        weights = sizes if number % 2 else [size < 100_000 for size in sizes]
        (file,) = chance.choices(files, weights)
        copy = place / "checkpoints"
        for commit in (newest, before):
            (copy / commit.name).mkdir(parents=True)
            for there in commit.iterdir():
                (copy / commit.name / there.name).hardlink_to(there)
        damaged = copy / newest.name / file.name
        data = bytearray(file.read_bytes())
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        damaged.unlink()
        damaged.write_bytes(data)
        found: list = []
        taken = checkpoint.newest(copy, found)
        assert taken.path.name == before.name, f"{taken.path.name} was taken"
        assert [path.name for path, _ in found] == [newest.name], found
        assert checkpoint.newest(commits, []).path == newest
        return {"file": file.name}

    def figures(found):
        count = collections.Counter(fact["file"] for fact in found)
        return ", ".join(f"{number:,} in {file}" for file, number in sorted(count.items()))

    promise = "a flipped bit of the newest commit is noticed, and the commit before is taken"
    return campaign.run("flips", promise, case, range(count), folder, workers, figures)


def full(folder: pathlib.Path, count: int, workers: int) -> campaign.Result:
    """A save that finds no room, at each of its stages or at a random byte of its file."""
    folder.mkdir(parents=True, exist_ok=True)
    undisturbed = runs.finish(folder / "undisturbed")
    data = (
        checkpoint.commits(folder / "undisturbed/checkpoints")[0] / "variables.data-00000-of-00001"
    )
    size = data.stat().st_size

    def case(place, number):
        chance, run, limit = random.Random(number), place / "run", math.inf
        if number % 2:
            point = f"save.{chance.choice(_STAGES)}:{chance.randint(1, 12)}:full"
            process = runs.train(run, fault=point)
        else:
            runs.train(run, fault=f"save.renamed:{chance.randint(1, 11)}").wait()
            point, before = "a limit of bytes", runs.committed(run)
            limit = chance.randrange(1, size)
            process = runs.train(run, prepare=lambda: _limit(limit))
        code = process.wait()
        events = [event["event"] for event in process.events]
        assert code in (0, 74), f"{point}: code {code}\n{process.stderr}"
        assert code == 74 or "save_failed" in events, f"{point}: no save failed"
        cut = len(process.stderr) >= limit  # which holds for that file, too
        assert code == 0 or cut or process.stderr.splitlines()[-1].startswith("ERROR 74: ")
        assert "Traceback" not in process.stderr
        after = runs.committed(run)
        for name in after:
            checkpoint.find(run / "checkpoints" / name)  # verifies
        if not number % 2:
            assert after == before, "what was committed is not what was left"
        digest = process.events[-1]["digest"] if code == 0 else runs.finish(run)
        assert digest == undisturbed
        return {"went on": code == 0}

    def figures(found):
        went_on = sum(fact["went on"] for fact in found)
        return f"{went_on} went on to the end, {len(found) - went_on} ended with 74"

    promise = (
        "a save that finds no room loses no commit; the run goes on, or ends with 74 and is resumed"
    )
    return campaign.run("full disks", promise, case, range(count), folder, workers, figures)


def _limit(size: int) -> None:
    """No file of the process gets longer."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
