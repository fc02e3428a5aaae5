"""What many GPUs should give, by measured parts and data sheets: the tables of docs/scaling.md.

  python benchmarks/scaling_plan.py [--write]

`--write` puts them into that page, in the place of those before. With n GPUs on h hosts, S bytes,
and a rate B that is reached between any two neighbours of the ring:

    ring(n, h) = S · 2 (n - 1) / n / B + latency,  latency = 8.4 µs + 2 (n - h) · hop
                                                             + 2 (h - 1) · 9.6 µs
    tree(n, h) = 2 S / min(0.9 B, 80 GB/s) + 2 ((n / h - 1) · 28 µs + log2(h) · 50 µs)
    all_reduce = the smaller one
    efficiency = compute / (compute · (1 + waiting) + all_reduce),  compute = batch / speed

Nothing of the sum is hidden behind the computation, as in the step of this program.
"""

import argparse
import dataclasses
import math
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

PAGE, NAME = ROOT / "docs" / "scaling.md", "scaling_plan"
GPUS_A_HOST = 8

# Assumed.
REACHED = 0.8  # of a link's rate
WAITING = 0.01  # of a step, for the slowest of all

# NCCL's own model, src/graph/tuning.cc: "Simple" protocol, seconds; bytes a second.
BASE, HOP_NVLINK, HOP_PCIE, HOP_NETWORK = 8.4e-6, 3.4e-6, 5.7e-6, 9.6e-6
PLATEAU = 1.9  # times the latency of a ring over several hosts
TREE_HOP_NVLINK, TREE_HOP_NETWORK, TREE_RATE = 28e-6, 50e-6, 80e9

# Images a second of one H100, from BUILD_NOTES.md, batch 256 at 224x224.
MEASURED = {"float32 (TF32)": 1346, "bfloat16": 1821, "float16": 1966}
PEER = 5676  # PyTorch compiled, bfloat16, same card and batch
# Processor time of a picture in the pipeline, and its bytes, from benchmarks/README.md.
CORE_SECONDS, PICTURE_BYTES = 1.699e-3, 110e3


@dataclasses.dataclass(frozen=True)
class Link:
    """A way between GPUs: bytes a second in each direction, and the seconds of a hop."""

    name: str
    rate: float
    hop: float
    source: str


def _pcie(transfers: float) -> float:
    """Sixteen lanes, of whose 130 bits 128 are data."""
    return transfers * 16 * 128 / 130 / 8


IN_HOST = (
    Link("PCIe 4.0 x16", _pcie(16e9), HOP_PCIE, "PCI-SIG: 16 GT/s a lane"),
    Link("PCIe 5.0 x16", _pcie(32e9), HOP_PCIE, "PCI-SIG: 32 GT/s a lane"),
    Link("NVLink 3 (A100)", 300e9, HOP_NVLINK, "data sheet: 600 GB/s both ways"),
    Link("NVLink 4 (H100)", 450e9, HOP_NVLINK, "data sheet: 900 GB/s both ways"),
)
# Between hosts, whose GPUs share them; inside, NVLink 4.
BETWEEN_HOSTS = (
    Link("1 x 100 Gb/s a host", 12.5e9, HOP_NVLINK, "line rate"),
    Link("1 x 200 Gb/s a host", 25e9, HOP_NVLINK, "line rate"),
    Link("1 x 400 Gb/s a host", 50e9, HOP_NVLINK, "line rate"),
    Link("8 x 400 Gb/s a host", 400e9, HOP_NVLINK, "line rate, as a DGX H100 has them"),
)
NVLINK, SLOW, FAST = IN_HOST[-1], BETWEEN_HOSTS[0], BETWEEN_HOSTS[-1]


@dataclasses.dataclass(frozen=True)
class Network:
    """Of the registry: floats that are summed in a step, and multiply-adds of a picture."""

    name: str
    trained: int
    statistics: int
    macs: int

    @property
    def bytes(self) -> int:
        """Of one all-reduce: gradients, statistics, loss and number right, all float32."""
        return 4 * (self.trained + self.statistics + 2)


def network(name: str) -> Network:
    """A network for ImageNet, at 224x224."""
    from resnet_tf import models
    from resnet_tf.layers import BatchNorm
    from resnet_tf.models.summary import summarize

    model = models.create(name)
    norms = [part for part in model.submodules if isinstance(part, BatchNorm)]
    statistics = sum(2 * norm.moving_mean.shape[0] for norm in norms)
    macs = sum(layer.macs for layer in summarize(model, 224, 224))
    return Network(name, models.count_parameters(model)[1], statistics, macs)


def all_reduce(size: int, gpus: int, link: Link) -> float:
    """Seconds, by the faster of ring and tree."""
    hosts, rate = max(1, gpus // GPUS_A_HOST), REACHED * link.rate
    latency = BASE + 2 * (gpus - hosts) * link.hop + 2 * (hosts - 1) * HOP_NETWORK
    ring = size * 2 * (gpus - 1) / gpus / rate + latency * (PLATEAU if hosts > 1 else 1)
    if hosts == 1:
        return ring
    steps = (gpus // hosts - 1) * TREE_HOP_NVLINK + math.log2(hosts) * TREE_HOP_NETWORK
    return min(ring, 2 * size / min(0.9 * rate, TREE_RATE) + 2 * steps)


def efficiency(compute: float, reduce: float) -> float:
    """Share of n times the speed of one GPU."""
    return compute / (compute * (1 + WAITING) + reduce)


def tables() -> str:
    """All of the page's, as Markdown."""
    small, large = network("resnet50"), network("resnet152")
    return "\n\n".join((
        _sizes(small, large), _links(small, large), _efficiencies(small, large), _input()
    ))  # fmt: skip


def _table(head: str, rows: list[list[str]]) -> str:
    columns = head.split(" | ")
    lines = [head, "|".join(["---"] * len(columns)), *map(" | ".join, rows)]
    return "\n".join(f"|{line}|" if line.startswith("---") else f"| {line} |" for line in lines)


def _sizes(*networks: Network) -> str:
    rows = [
        [f"`{n.name}`", f"{n.trained:,}", f"{n.statistics:,}", f"{n.bytes / 1e6:.1f} MB",
         f"{n.macs / 1e9:.2f}"]
        for n in networks
    ]  # fmt: skip
    return _table("network | trained | batch statistics | one all-reduce | GMAC a picture", rows)


def _links(small: Network, large: Network) -> str:
    rows = []
    for link in IN_HOST + BETWEEN_HOSTS:
        gpus = GPUS_A_HOST if link in IN_HOST else 64
        times = [f"{1e3 * all_reduce(n.bytes, gpus, link):.2f}" for n in (small, large)]
        rows.append([link.name, f"{link.rate / 1e9:.4g}", link.source, str(gpus), *times])
    return _table(
        f"link | GB/s each way | from | GPUs | `{small.name}`, ms | `{large.name}`, ms", rows
    )


def _efficiencies(small: Network, large: Network) -> str:
    half, less = MEASURED["bfloat16"], small.macs / large.macs
    cases = [(small, name, 256, speed, "measured") for name, speed in MEASURED.items()]
    cases += [
        (small, "bfloat16", 64, half, "assumed: as at 256"),
        (small, "bfloat16", 256, PEER, "measured: PyTorch's"),
        (large, "float32 (TF32)", 128, MEASURED["float32 (TF32)"] * less, "assumed: by GMAC"),
        (large, "bfloat16", 128, half * less, "assumed: by GMAC"),
    ]
    rows = []
    for net, precision, batch, speed, source in cases:
        compute = batch / speed
        shares = [
            efficiency(compute, all_reduce(net.bytes, gpus, link))
            for gpus, link in ((8, NVLINK), (64, FAST), (512, FAST), (64, SLOW), (512, SLOW))
        ]
        rows.append([
            f"`{net.name}`", precision, str(batch), f"{speed:,.0f}", source,
            f"{1e3 * compute:.1f}", *(f"{share:.1%}" for share in shares),
        ])  # fmt: skip
    return _table(
        "network | precision | batch a GPU | img/s of one | from | compute, ms | 8 | 64, 8 x 400 |"
        " 512, 8 x 400 | 64, 1 x 100 | 512, 1 x 100",
        rows,
    )


def _input() -> str:
    rows = []
    for what, speed in [*((f"measured, {p}", s) for p, s in MEASURED.items()), ("PyTorch's", PEER)]:
        cores, megabytes = speed * CORE_SECONDS, speed * PICTURE_BYTES / 1e6
        rows.append([
            what, f"{speed:,}", f"{cores:.1f}", f"{GPUS_A_HOST * cores:.0f}",
            f"{GPUS_A_HOST * megabytes / 1e3:.2f}", f"{512 * megabytes / 1e3:.1f}",
        ])  # fmt: skip
    return _table(
        "speed of a GPU | img/s | cores a GPU | cores a host of 8 | GB/s a host | GB/s, 512 GPUs",
        rows,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into docs/scaling.md")
    from benchmarks import tables as markdown

    if parser.parse_args().write:
        markdown.write(PAGE, NAME, tables())
    else:
        print(tables())


if __name__ == "__main__":
    main()
