"""Training speed of ResNet-20 on 32x32, batch 128, beside its peers on this machine.

  python benchmarks/train_step.py [--rounds=5] [--torch_python=PYTHON]

Contenders run one after another in processes of their own, in turn (A B C, then C B A), each
round with the same weights and batch. The figure is the median over rounds of the ratio to
`bare step`, with minimum and maximum. A round in which a matrix product before and after it
drifts by more than `--drift` is thrown away. With `--torch_python`, a Python that has PyTorch,
PyTorch takes part; before any timing, its losses of 20 steps must agree with ours.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
CONTENDERS = ROOT / "benchmarks" / "contenders"
TRAIN_STEPS = 80


def run(command: list[str], **environment: str) -> dict:
    """The last JSON line that a contender prints."""
    process = subprocess.run(
        command, env={**os.environ, **environment}, cwd=ROOT, capture_output=True, text=True
    )
    if process.returncode:
        sys.exit(f"{' '.join(command)}\n{process.stderr}")
    return json.loads(process.stdout.splitlines()[-1])


def make_contenders(folder: pathlib.Path, torch_python: str | None) -> dict:
    """name -> function that runs it once and returns what it printed."""
    start = str(folder / "start.npz")
    bare = [sys.executable, str(CONTENDERS / "bare_step.py"), f"--start={start}"]
    run([*bare, "--write_start"])
    write_random_pictures(folder / "data")
    train = [
        sys.executable, "train.py", "--recipe=cifar10_resnet20", f"--data_dir={folder / 'data'}",
        f"--steps={TRAIN_STEPS}", "--save_every_steps=0", "--eval_every_steps=0",
        "--learning_rate=0.001",
    ]  # fmt: skip
    runs = iter(range(10**6))
    contenders = {
        "train.py": lambda: run([*train, f"--model_dir={folder / f'run{next(runs)}'}"]),
        "bare step": lambda: run(bare),
        "bare step, oneDNN off": lambda: run(bare, TF_ENABLE_ONEDNN_OPTS="0"),
        "bare step, allocator as it is": lambda: run(bare, RESNET_TF_MALLOPT="0"),
    }
    for layout in ("channels_last", "contiguous") if torch_python else ():
        command = [torch_python, str(CONTENDERS / "torch_step.py"), f"--start={start}"]
        contenders[f"PyTorch eager, {layout}"] = lambda command=command, layout=layout: run(
            [*command, f"--layout={layout}"]
        )
    return contenders


def write_random_pictures(output: pathlib.Path) -> None:
    """2,560 random pictures in the size of CIFAR-10, as records."""
    from resnet_tf import runtime

    runtime.configure()
    import numpy as np
    import tensorflow as tf

    from resnet_tf.preparation import Listing, Picture, write_dataset

    random = np.random.default_rng(0)

    def pictures(number):
        for i in range(number):
            pixels = random.integers(0, 256, (32, 32, 3), np.uint8)
            encoded = tf.io.encode_png(pixels).numpy()
            yield Picture(lambda encoded=encoded: encoded, len(encoded), i % 10, f"{i}.png")

    splits = {"train": list(pictures(2560)), "test": list(pictures(100))}
    classes = [str(i) for i in range(10)]
    write_dataset(output, Listing("random", "none", tuple(classes), splits))


def check_mathematics(contenders: dict) -> None:
    """The losses of 20 steps from the same weights must agree, or no speed is shown."""
    ours = contenders["bare step"]()["losses"]
    for name, contender in contenders.items():
        if not name.startswith("PyTorch"):
            continue
        theirs = contender()["losses"]
        apart = [abs(a - b) for a, b in zip(ours, theirs)]
        print(f"losses, ours and {name}: step 0 apart {apart[0]:.1e}, 20 steps {max(apart):.1e}")
        if apart[0] > 1e-4 or max(apart) > 2e-2:
            sys.exit(f"{name} does not compute the same: {ours} {theirs}")


def gemm_probe() -> float:
    """GFLOP/s of a fixed matrix product."""
    import numpy as np

    a = np.random.default_rng(0).random((1536, 1536), np.float32)
    best = min(_timed(lambda: a @ a) for _ in range(5))
    return 2 * 1536**3 / best / 1e9


def _timed(function) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def main(rounds: int, torch_python: str | None, drift: float, skip: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        contenders = {
            name: contender
            for name, contender in make_contenders(pathlib.Path(folder), torch_python).items()
            if not any(part in name for part in skip)
        }
        check_mathematics(contenders)
        speeds: dict[str, list[float]] = {name: [] for name in contenders}
        probes = []
        for number in range(rounds):
            before = gemm_probe()
            order = list(contenders)[:: 1 if number % 2 == 0 else -1]
            found = {name: contenders[name]()["images_per_second"] for name in order}
            after = gemm_probe()
            probes += [before, after]
            kept = abs(after / before - 1) <= drift
            shown = ", ".join(f"{name} {found[name]:.0f}" for name in contenders)
            print(f"round {number + 1}: {shown} img/s; GEMM {before:.0f} to {after:.0f} GFLOP/s"
                  f"{'' if kept else ' - thrown away'}", flush=True)  # fmt: skip
            for name, speed in found.items() if kept else ():
                speeds[name].append(speed)
    show(speeds, probes)


def show(speeds: dict[str, list[float]], probes: list[float]) -> None:
    """The table, as Markdown."""
    from resnet_tf import runtime

    machine = runtime.describe()
    print(f"\n{machine['cpu']}, {machine['cores']} cores, {platform.system()},"
          f" TensorFlow {machine['tensorflow']}, Python {machine['python']},"
          f" GEMM {min(probes):.0f}-{max(probes):.0f} GFLOP/s\n")  # fmt: skip
    print("| contender | img/s, median | bare step ÷ it: median (min–max) |\n|---|---|---|")
    for name, found in speeds.items():
        if not found:
            continue
        ratios = [a / b for a, b in zip(speeds["bare step"], found)]
        print(f"| {name} | {statistics.median(found):.0f} | {statistics.median(ratios):.2f}"
              f" ({min(ratios):.2f}–{max(ratios):.2f}) |")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch_python", help="a Python that has PyTorch")
    parser.add_argument("--drift", type=float, default=0.05)
    parser.add_argument("--skip", nargs="*", default=[], help="parts of contenders' names")
    main(**vars(parser.parse_args()))
