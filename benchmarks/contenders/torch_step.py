"""The same network, weights, batch and update in PyTorch. Needs only torch and NumPy.

  python torch_step.py --start=FILE.npz --layout=channels_last|contiguous [--network=NAME]
      [--compile]

Pictures are normalised beforehand, as a `DataLoader` would have done it.
"""

# ruff: noqa: E402
import argparse
import time

BEGIN = time.perf_counter()  # before the imports that it times
import numpy as np
import torch
import torch_networks
from cases import MEAN, STD, arguments, case_of, ours
from stepping import measure, report
from torch.nn import functional

IMPORTED = time.perf_counter()


def main(flags: argparse.Namespace) -> None:
    begin, case = time.perf_counter(), case_of(flags)
    torch.set_flush_denormal(True)
    arrays = np.load(flags.start, allow_pickle=False)
    model = torch_networks.create(flags.network, case.classes)
    torch_networks.load(model, arrays)
    images = (torch.from_numpy(arrays["images"]).float() - torch.tensor(MEAN)) / torch.tensor(STD)
    images, labels = images.permute(0, 3, 1, 2).contiguous(), torch.from_numpy(arrays["labels"])
    if flags.layout == "channels_last":
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1],
         "weight_decay": ours(flags.network, flags.peer)[2]},
        {"params": [p for p in model.parameters() if p.ndim == 1]},
    ]  # fmt: skip
    optimizer = torch.optim.SGD(groups, lr=case.rate, momentum=0.9, fused=True)
    forward = torch.compile(model) if flags.compile else model
    build = time.perf_counter() - begin

    def advance(count):
        begin = time.perf_counter()
        for _ in range(count):
            optimizer.zero_grad()
            loss = functional.cross_entropy(forward(images), labels)
            loss.backward()
            optimizer.step()
        return loss.item(), time.perf_counter() - begin

    report(
        import_s=IMPORTED - BEGIN,
        build_s=build,
        versions={"PyTorch": torch.__version__},
        **measure(advance, case),
    )


if __name__ == "__main__":
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--layout", choices=("channels_last", "contiguous"), required=True)
    parser.add_argument("--compile", action="store_true")
    main(parser.parse_args())
