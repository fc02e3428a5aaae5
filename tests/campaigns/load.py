"""Long runs, and runs on a machine that has other things to do."""

import os
import pathlib
import signal
import time

import numpy as np

from campaigns import campaign, runs

_STEPS = 10_000  # of the slope
_FIRST, _LEAST = 60.0, 2.0  # seconds


def overloaded(folder: pathlib.Path, count: int, workers: int) -> campaign.Result:
    """Beside four busy loops a core: no false alarm, and the same bits.

    A run lasts no longer than the watchdog's patience, so that has seconds in place of minutes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    undisturbed = runs.finish(folder / "undisturbed")
    alone = time.monotonic() - begin
    loops = [_busy() for _ in range(4 * os.cpu_count())]

    def case(place, number):
        begin = time.monotonic()
        assert runs.finish(place / "run", prepare=_impatient) == undisturbed
        return {"seconds": time.monotonic() - begin}

    def figures(found):
        seconds = campaign.spread(fact["seconds"] for fact in found)
        return f"{alone:.3g} s without the loops; with them {seconds}"

    promise = (
        f"beside {len(loops)} busy loops a run raises no alarm, with a watchdog that waits for"
        f" {_FIRST:g} s at first and then for {_LEAST:g} or more, and ends in the same bits"
    )
    try:
        return campaign.run("overload", promise, case, range(count), folder, 1, figures)
    finally:
        for pid in loops:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _impatient() -> None:
    from resnet_tf import watchdog

    watchdog._FIRST, watchdog._LEAST = _FIRST, _LEAST


def _busy() -> int:
    pid = os.fork()
    if not pid:
        os.setsid()  # else all of them together may get no more than the one run
        while os.getppid() != 1:
            sum(range(100_000))
        os._exit(0)
    return pid


def soak(folder: pathlib.Path, count: int, workers: int) -> campaign.Result:
    """So many steps of one run: memory and open files stay, and nothing is traced again."""
    steps = ("--steps_per_call=50", f"--steps={count}", f"--save_every_steps={count // 20}",
             f"--eval_every_steps={count // 10}", "--log_every_steps=500",
             "--model_options=depth=8,width_multiplier=0.125", "--batch_size=8")  # fmt: skip

    def case(place, number):
        process = runs.train(place / "run", *steps, prepare=_tell_traces)
        memory, files = [], []
        while process.poll() is None:
            step = _last_step(place / "run")
            try:
                pages = int(pathlib.Path(f"/proc/{process.pid}/statm").read_text().split()[1])
                open_files = len(os.listdir(f"/proc/{process.pid}/fd"))
            except (OSError, IndexError):
                break
            if step >= count * 0.2:  # the first evaluations are over
                memory.append((step, pages * os.sysconf("SC_PAGE_SIZE") / 1e6))
                files.append(open_files)
            time.sleep(0.5)
        assert process.wait() == 0, process.stderr
        (slope, _) = np.polyfit(*zip(*memory), 1) * _STEPS
        traces = [int(line.split()[1]) for line in process.stderr.splitlines()
                  if line.startswith("traces: ")]  # fmt: skip
        assert traces and max(traces) == 1, f"traced {traces} times"
        assert max(files) - min(files) <= 3, f"{min(files)} to {max(files)} open files"
        most, least = (f(megabytes for _, megabytes in memory) for f in (max, min))
        assert slope < 1, f"{slope:.2f} MB more in 10,000 steps"
        return {"slope": slope, "least": least, "most": most, "files": max(files)}

    def figures(found):
        fact = found[0]
        return (
            f"{count:,} steps: {fact['slope']:+.2f} MB in 10,000 steps, {fact['least']:.0f} to"
            f" {fact['most']:.0f} MB, at most {fact['files']} open files, traced once"
        )

    promise = "a long run grows by less than 1 MB in 10,000 steps and traces its step once"
    return campaign.run("soak", promise, case, range(1), folder, 1, figures)


def _last_step(run: pathlib.Path) -> int:
    try:
        with open(run / "steps.csv", "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 200))
            line = file.read().splitlines()[-2]
        return int(line.split(b",")[0])
    except (OSError, IndexError, ValueError):
        return 0


def _tell_traces() -> None:
    """Says at the end how often the step was traced."""
    import sys

    from resnet_tf.training import command, run

    made, real, train = [], run.make_train_step, command.train

    def make(*arguments, **options):
        made.append(real(*arguments, **options))
        return made[-1]

    def and_tell(*arguments, **options):
        done = train(*arguments, **options)
        for step in made:
            print(f"traces: {step.experimental_get_tracing_count()}", file=sys.stderr)
        return done

    run.make_train_step, command.train = make, and_tell
