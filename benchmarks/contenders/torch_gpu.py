"""The same network and update in PyTorch on one GPU; see `gpu_step.py`. Needs only torch.

  python torch_gpu.py [--network=resnet50] [--batch=256] [--size=224] [--classes=1000]
      [--modes float32 bfloat16+compile float16+compile float32+graph …] [--lock=FILE]

Layout is channels_last, 16 bits are autocast, float16 with a GradScaler, float32 uses TF32.
`compile` is `torch.compile`, `graph` that with CUDA graphs (mode "reduce-overhead").
"""

import argparse
import contextlib
import time

import torch
import torch_networks
from cases import MEAN, STD
from stepping import alone, report, windows
from torch.nn import functional

RATE, WINDOWS, CALL = 0.01, 5, 10
COMPILED = {"": None, "compile": "default", "graph": "reduce-overhead"}


def make(flags: argparse.Namespace, mode: str):
    """A function of one step, which returns its loss."""
    precision, _, how = mode.partition("+")
    model = torch_networks.create(flags.network, flags.classes).cuda()
    model = model.to(memory_format=torch.channels_last)
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": kernels, "weight_decay": 1e-4}, {"params": others}]
    optimizer = torch.optim.SGD(groups, lr=RATE, momentum=0.9, fused=True)
    scaler = torch.amp.GradScaler(enabled=precision == "float16")
    images = torch.randint(0, 256, (flags.batch, 3, flags.size, flags.size), dtype=torch.uint8)
    images = images.cuda().to(memory_format=torch.channels_last)
    labels = torch.randint(0, flags.classes, (flags.batch,)).cuda()
    mean, std = (torch.tensor(v, device="cuda")[:, None, None] for v in (MEAN, STD))
    lower = contextlib.nullcontext()
    if precision != "float32":
        lower = torch.autocast("cuda", dtype=getattr(torch, precision))

    def forward(images, labels):
        with lower:
            logits = model((images - mean) / std)
            return functional.cross_entropy(logits.float(), labels)

    if COMPILED[how]:
        forward = torch.compile(forward, mode=COMPILED[how])

    def step():
        optimizer.zero_grad()
        loss = forward(images, labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss

    return step


def measure(flags: argparse.Namespace, mode: str) -> None:
    begin, step, losses = time.perf_counter(), make(flags, mode), []

    def advance(steps):
        begin = time.perf_counter()
        for _ in range(steps):
            loss = step()
        losses.append(loss.item())
        return time.perf_counter() - begin

    advance(CALL)
    first_call = time.perf_counter() - begin
    torch.cuda.reset_peak_memory_stats()
    with alone(flags.lock):
        found = windows(advance, flags.batch, CALL, WINDOWS)
    report(
        network=flags.network, batch=flags.batch, size=flags.size, mode=mode,
        card=torch.cuda.get_device_name(), torch=torch.__version__,
        first_call_s=first_call, **found,
        peak_memory_mb=torch.cuda.max_memory_allocated() / 2**20,
        first_loss=losses[0], last_loss=losses[-1],
    )  # fmt: skip


def main(flags: argparse.Namespace) -> None:
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    for mode in flags.modes:
        measure(flags, mode)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--modes", nargs="*", default=["float32", "bfloat16+compile"])
    parser.add_argument("--lock", help="a file that is locked while a mode is timed")
    main(parser.parse_args())
