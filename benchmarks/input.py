"""Speed of the input, beside bare loops and its peers on this machine.

  python benchmarks/input.py --data_dir=DIR --folder=DIR --cifar_dir=DIR
      [--torch_python=PYTHON] [--rounds=5] [--parts jpeg cifar stages resident]

`--data_dir`: ImageNet's JPEGs as records; `--folder`: the same files in class folders;
`--cifar_dir`: CIFAR-10 as records, by default random pictures of its size. What has no data is
left out. Contenders run one after
another in processes of their own, in turn (A B C, then C B A); the figures are medians over
rounds, with minimum and maximum, of the ratio of each to our pipeline in the same round. A
round in which a matrix product before and after it drifts by more than `--drift` is thrown away.

Every figure is given twice: by pictures a second, and by processor time a picture, which other
work on the machine disturbs less. Tables go to stderr, JSON lines to stdout.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from benchmarks.rounds import CONTENDERS, gemm_probe, run
from benchmarks.train_step import write_random_pictures

JPEG = ("pipeline", "in memory", "sequential", "bare decode", "bare decode, resize")
PARTS = ("jpeg", "cifar", "stages", "resident")


def jpeg_contenders(data_dir: str, folder: str | None, torch_python: str | None) -> dict:
    """name -> function that runs it once and returns what it printed."""
    commands = {what: _ours(data_dir, what) for what in JPEG}
    if folder:
        keras = [sys.executable, str(CONTENDERS / "input_keras.py"), f"--folder={folder}"]
        commands["Keras, random boxes"] = [*keras, "--what=boxes"]
        commands["Keras, RandomCrop and RandomFlip"] = [*keras, "--what=layers"]
    if folder and torch_python:
        torch = [torch_python, str(CONTENDERS / "input_torch.py"), f"--folder={folder}"]
        commands["PyTorch DataLoader, Pillow, 2 workers"] = torch
    return {name: lambda command=command: run(command) for name, command in commands.items()}


def cifar_contenders(cifar_dir: str, folder: str) -> dict:
    """The pipeline of CIFAR-10 and the bare training step of ResNet-20, both on the host's CPU."""
    bare = [sys.executable, str(CONTENDERS / "bare_step.py"), f"--start={folder}/start.npz"]
    run([*bare, "--write_start"])
    return {
        "pipeline": lambda: run(_ours(cifar_dir, "cifar")),
        "ResNet-20, bare step": lambda: {"images_per_second": run(bare)["images_per_second"]},
    }


def _ours(data_dir: str, what: str) -> list[str]:
    script = str(CONTENDERS / "input_ours.py")
    return [sys.executable, script, f"--data_dir={data_dir}", f"--what={what}"]


def in_rounds(part: str, contenders: dict, rounds: int, drift: float) -> list[dict]:
    """What the contenders printed in each round that is kept: name -> figures."""
    kept = []
    for number in range(rounds):
        before = gemm_probe()
        order = list(contenders)[:: 1 if number % 2 == 0 else -1]
        found = {name: contenders[name]() for name in order}
        after = gemm_probe()
        steady = abs(after / before - 1) <= drift
        print(json.dumps({"event": "round", "part": part, "kept": steady,
                          "gemm_gflops": [before, after], **found}), flush=True)  # fmt: skip
        if steady:
            kept.append(found)
    if not kept:
        sys.exit(f"{part}: the machine's speed drifted in every round; see --drift")
    return kept


def compare(part: str, rounds: list[dict]) -> None:
    """The table of pipelines, as Markdown; the first contender is divided by each."""
    first, *_ = rounds[0]
    rows = {}
    for name, figures in rounds[0].items():
        speed = [each[first]["images_per_second"] / each[name]["images_per_second"]
                 for each in rounds]  # fmt: skip
        rows[name] = {
            "img/s": _median(rounds, name, "images_per_second"), "pipeline ÷ it": _spread(speed)
        }  # fmt: skip
        if "processor_ms" in figures:
            ratios = [each[name]["processor_ms"] / each[first]["processor_ms"] for each in rounds]
            rows[name]["processor ms a picture"] = _median(rounds, name, "processor_ms")
            rows[name]["pipeline ÷ it, by processor time"] = _spread(ratios)
    show(part, len(rounds), rows)


def compare_stages(rounds: list[dict]) -> None:
    """The table of stages: what each adds to crop and mirror, in % of their processor time."""
    rows = {}
    for name in rounds[0]["stages"]:
        stages = [each["stages"] for each in rounds]
        base = "crop, mirror"
        added = [100 * (each[name] / each[base] - 1) for each in stages]
        rows[name] = {
            "processor ms a picture": statistics.median(each[name] for each in stages),
            "% more than crop and mirror": _spread(added),
        }
    show("stages", len(rounds), rows)


def show(part: str, rounds: int, rows: dict[str, dict]) -> None:
    """A table on stderr and the same as a JSON line on stdout."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = [f"\n{part}, median (min to max) of {rounds} rounds\n", "| | " + " | ".join(columns)]
    lines[-1] += " |\n" + "|---" * (1 + len(columns)) + "|"
    for name, row in rows.items():
        cells = (_cell(row.get(column)) for column in columns)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    print("\n".join(lines), file=sys.stderr, flush=True)
    print(json.dumps({"event": "result", "part": part, "rounds": rounds, **rows}), flush=True)


def _cell(value) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return "{:.2f} ({:.2f} to {:.2f})".format(*value)
    return f"{value:.0f}" if value >= 20 else f"{value:.3f}"


def _median(rounds, name, field) -> float:
    return statistics.median(each[name][field] for each in rounds)


def _spread(values: list[float]) -> list[float]:
    return [statistics.median(values), min(values), max(values)]


def main(flags: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RESNET_TF_CACHE"] = folder
        if not flags.data_dir:
            print("without --data_dir: only the part cifar", file=sys.stderr)
        if "jpeg" in flags.parts and flags.data_dir:
            contenders = jpeg_contenders(flags.data_dir, flags.folder, flags.torch_python)
            compare("jpeg", in_rounds("jpeg", contenders, flags.rounds, flags.drift))
        if "cifar" in flags.parts:
            if not flags.cifar_dir:
                write_random_pictures(pathlib.Path(folder, "data"))
            contenders = cifar_contenders(flags.cifar_dir or f"{folder}/data", folder)
            compare("cifar", in_rounds("cifar", contenders, flags.rounds, flags.drift))
        if "stages" in flags.parts and flags.data_dir:
            script = str(CONTENDERS / "input_stages.py")
            command = [sys.executable, script, f"--data_dir={flags.data_dir}"]
            stages = {"stages": lambda: run(command)}
            compare_stages(in_rounds("stages", stages, flags.rounds, flags.drift))
        if "resident" in flags.parts and flags.data_dir:
            found = run(_ours(flags.data_dir, "resident"))
            print(json.dumps({"event": "result", "part": "resident", **found}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", help="records of JPEGs, split train")
    parser.add_argument("--folder", help="the same pictures in class folders")
    parser.add_argument("--cifar_dir", help="records of CIFAR-10")
    parser.add_argument("--torch_python", help="a Python that has PyTorch and Pillow")
    parser.add_argument("--helpshort", action="help", help="the same as --help")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--drift", type=float, default=0.05)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    main(parser.parse_args())
