"""Training speed of one network beside its peers on this machine.

  python benchmarks/train_step.py [--network=cifar_resnet20|cifar_resnet32|resnet50]
      [--torch_python=PYTHON] [--rounds=5] [--write] [--quick] [--only NAME …] [--skip NAME …]

Contenders run one after another in processes of their own, in turn (A B C, then C B A), each
from the same weights and batch. A figure is the median over rounds of the ratio of our bare step
of the same mathematics to it, with minimum and maximum. A ratio whose matrix products, run before
and after each of its two processes, drift by more than `--drift` is thrown away, and a contender
whose losses are not ours shows no speed. The table goes to stderr, with `--write` to README.md too;
stdout has a JSON line for each process. With `--torch_python`, a Python that has PyTorch, PyTorch
takes part; `--quick` is one round of a few steps, to see that all runs.
"""

import argparse
import glob
import json
import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from benchmarks import machine, tables
from benchmarks.contenders.cases import CASES, PEERS
from benchmarks.rounds import CONTENDERS, ROOT, Contender, run, run_round

README = ROOT / "benchmarks" / "README.md"
LOOP_STEPS, STEPS_A_CALL = 80, 10
TCMALLOC = "/usr/lib/*/libtcmalloc_minimal.so.4"


def make_contenders(flags: argparse.Namespace, folder: pathlib.Path) -> list[Contender]:
    """All that can take part, in the order of their rows."""
    contenders = [*ours(flags, folder), *keras(flags, folder)]
    return contenders + (pytorch(flags, folder) if flags.torch_python else [])


def ours(flags: argparse.Namespace, folder: pathlib.Path) -> list[Contender]:
    """The loop on a small picture's network, and bare steps of each peer's mathematics."""
    torch, keras = (_command(flags, folder, "bare_step.py", peer) for peer in PEERS)
    bare = [
        Contender("bare step", torch, "bare step"),
        Contender("bare step, oneDNN off", torch, "bare step", {"TF_ENABLE_ONEDNN_OPTS": "0"}),
        Contender("bare step, allocator as it is", torch, "bare step", {"RESNET_TF_MALLOPT": "0"}),
        Contender(_beside_keras(flags.network), keras, _beside_keras(flags.network)),
    ]
    if not flags.network.startswith("cifar_"):
        return bare
    steps = 20 if flags.quick else LOOP_STEPS
    loop = (
        sys.executable, "train.py", f"--recipe={flags.network.replace('cifar_', 'cifar10_')}",
        f"--data_dir={folder / 'data'}", "--learning_rate=0.001",
        f"--steps={steps}", "--save_every_steps=0", "--eval_every_steps=0",
    )  # fmt: skip
    one = (*loop, f"--model_dir={folder / 'one'}{{round}}")
    several = (
        *loop, f"--model_dir={folder / 'several'}{{round}}", f"--devices=cpu:{flags.threads}",
        "--intra_op_threads=1",
    )  # fmt: skip
    return [
        Contender("train.py", one, "bare step"),
        Contender("train.py, a device a thread", several, "bare step"),
        *bare,
    ]


def _beside_keras(network: str) -> str:
    variant = ", v1 with biases" if network == "resnet50" else ""
    return f"bare step{variant}, no decay"


def keras(flags: argparse.Namespace, folder: pathlib.Path) -> list[Contender]:
    """`fit` as it comes and with our settings, one step a call and several."""
    contenders = []
    for settings, called in (("keras", "as it comes"), ("ours", "our oneDNN and allocator")):
        for steps in (1, 2 if flags.quick else STEPS_A_CALL):
            name = f"Keras fit, {called}" + (f", {steps} steps a call" if steps > 1 else "")
            command = _command(flags, folder, "keras_step.py", "keras")
            options = (f"--settings={settings}", f"--steps_a_call={steps}")
            reference = _beside_keras(flags.network)
            contenders.append(Contender(name, (*command, *options), reference))
    return contenders


def pytorch(flags: argparse.Namespace, folder: pathlib.Path) -> list[Contender]:
    """Eager and compiled, in both layouts, plain and with tcmalloc."""
    script = _command(flags, folder, "torch_step.py", "torch")
    command = (flags.torch_python, *script[1:])
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor")}
    libraries = {"": cache}
    if flags.tcmalloc:
        libraries[", tcmalloc"] = cache | {"LD_PRELOAD": flags.tcmalloc}
    return [
        Contender(f"PyTorch {mode}, {layout}{allocator}",
                  (*command, f"--layout={layout}", *(["--compile"] if mode == "compiled" else [])),
                  "bare step", environment)
        for allocator, environment in libraries.items()
        for mode in ("eager", "compiled")
        for layout in ("contiguous", "channels_last")
    ]  # fmt: skip


def _command(flags, folder, script, peer) -> tuple[str, ...]:
    return (
        sys.executable, str(CONTENDERS / script), f"--network={flags.network}",
        f"--peer={peer}", f"--start={folder / peer}.npz", *(["--quick"] if flags.quick else []),
    )  # fmt: skip


def select(contenders: list[Contender], only: list[str], skip: list[str]) -> list[Contender]:
    """Those whose name holds a part of `only` and none of `skip`, and their references."""
    chosen = [
        contender for contender in contenders
        if (not only or any(part in contender.name for part in only))
        and not any(part in contender.name for part in skip)
    ]  # fmt: skip
    needed = {c.name for c in chosen} | {c.reference for c in chosen}
    return [contender for contender in contenders if contender.name in needed]


def write_random_pictures(output: pathlib.Path) -> None:
    """2,560 random pictures in the size of CIFAR-10, as records.

    In a process of its own: what this one holds in memory, its children would be counted as
    having held.
    """
    run([sys.executable, str(CONTENDERS / "random_pictures.py"), f"--output={output}"])


def prepare(flags: argparse.Namespace, folder: pathlib.Path, chosen: list[Contender]) -> None:
    """What the chosen contenders start from: pictures, and each peer's weights and batch."""
    if any(contender.name == "train.py" for contender in chosen):
        write_random_pictures(folder / "data")
    for peer in PEERS:
        if any(f"--peer={peer}" in contender.command for contender in chosen):
            run([*_command(flags, folder, "bare_step.py", peer), "--write_start"])


def notes(flags: argparse.Namespace) -> list[str]:
    """What is missing from the table, and why."""
    if not flags.torch_python:
        return ["PyTorch: not measured, no `--torch_python` was named."]
    if not flags.tcmalloc:
        return [f"PyTorch with tcmalloc: not measured, there is no `{TCMALLOC}`."]
    return []


def tell(**event) -> None:
    print(json.dumps(event), flush=True)


def main(flags: argparse.Namespace) -> None:
    # So that neither library takes more threads than the other.
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(flags.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        chosen = select(make_contenders(flags, folder), flags.only, flags.skip)
        prepare(flags, folder, chosen)
        rounds = [run_round(number, chosen, tell) for number in range(flags.rounds)]
    show(flags, chosen, rounds)


def show(flags: argparse.Namespace, chosen: list[Contender], rounds: list[dict]) -> None:
    """The table with all that belongs above and below it."""
    figures = [found for each in rounds for found in each.values()]
    probes = [probe for found in figures for probe in found["gemm_gflops"]]
    versions = {k: v for found in figures for k, v in found.get("versions", {}).items()}
    case = CASES[flags.network]
    parts = [
        f"`{flags.network}`, batch {case.batch} at {case.size}x{case.size}, {len(rounds)} rounds."
        f" {machine.describe(versions, probes, flags.threads)}",
        tables.make(chosen, rounds, flags.drift),
        *(tables.share(name, case, peer, rounds, max(probes), flags.drift)
          for name, peer in (("bare step", "torch"), (_beside_keras(flags.network), "keras"))
          if name in rounds[0]),
        *notes(flags),
    ]  # fmt: skip
    table = "\n\n".join(part for part in parts if part)
    print(f"\n{table}", file=sys.stderr, flush=True)
    if flags.write:
        tables.write(README, f"train_step {flags.network}", table)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The flags, with what they leave open filled in."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=CASES, default="cifar_resnet20")
    parser.add_argument("--torch_python", help="a Python that has PyTorch")
    parser.add_argument("--tcmalloc", help=f"libtcmalloc_minimal.so; by default {TCMALLOC}")
    parser.add_argument("--threads", type=int, default=machine.cores(), help="of each contender")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--drift", type=float, default=0.05, help="of the probes, at most")
    parser.add_argument("--only", nargs="*", default=[], help="parts of contenders' names")
    parser.add_argument("--skip", nargs="*", default=[], help="parts of contenders' names")
    parser.add_argument("--quick", action="store_true", help="one round, two steps")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    parser.add_argument("--helpshort", action="help", help="the same as --help")
    flags = parser.parse_args(arguments)
    if flags.quick and flags.write:
        parser.error("--quick measures nothing that is worth --write")
    flags.rounds = 1 if flags.quick else flags.rounds
    flags.tcmalloc = flags.tcmalloc or next(iter(sorted(glob.glob(TCMALLOC))), None)
    return flags


if __name__ == "__main__":
    main(parse())
