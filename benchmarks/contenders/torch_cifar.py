"""ResNet-20 on CIFAR-10's JPEGs in plain PyTorch, for so many minutes: the reference of accuracy.

  python torch_cifar.py --data=DIR --epochs=N [--minutes=M] [--seed=0] [--threads=N]

DIR holds train/<class>/*.jpg and test/<class>/*.jpg. Pictures are decoded once, then padded by
4, cropped, mirrored and normalised a batch at a time. SGD with Nesterov momentum 0.9 at batch
128, decay 5e-4 of all parameters, one cycle of the rate to 0.2 and back over `--epochs`, which is
to be chosen so that it ends in time. Prints a JSON line an epoch: {"epoch", "steps",
"train_loss", "test_top1", "seconds" (since the process began, decoding and tests included)}. When
`--minutes` are over it stops where it is and tests once more. Needs torch, NumPy and Pillow.
"""

# ruff: noqa: E402
import argparse
import pathlib
import time

BEGIN = time.perf_counter()  # before the imports, which are part of the minutes
import numpy as np
import torch
from PIL import Image
from stepping import report
from torch import nn
from torch.nn import functional
from torch_networks import CifarResNet

BATCH, SIZE, PAD, TEST_BATCH = 128, 32, 4, 500
MEAN, STD = (125.27, 122.93, 113.86), (62.53, 61.91, 66.46)  # of this copy, in pixel units


def read(folder: pathlib.Path) -> tuple[torch.Tensor, torch.Tensor]:
    """uint8 `[N, 3, 32, 32]` and labels, classes in the order of their names."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    pixels, labels = [], []
    for label, path in enumerate(classes):
        for file in sorted(path.glob("*.jpg")):
            with Image.open(file) as image:
                pixels.append(np.asarray(image.convert("RGB")))
            labels.append(label)
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels)


def augment(padded: torch.Tensor) -> torch.Tensor:
    """A random 32x32 part of each `[N, 3, 40, 40]`, half of them mirrored."""
    count = len(padded)
    columns = torch.randint(0, 2 * PAD + 1, (count, 1)) + torch.arange(SIZE)
    rows = torch.randint(0, 2 * PAD + 1, (count, 1)) + torch.arange(SIZE)
    columns = torch.where(torch.rand(count, 1) < 0.5, columns, columns.flip(1))
    picture, channel = torch.arange(count)[:, None, None, None], torch.arange(3)[:, None, None]
    return padded[picture, channel, rows[:, None, :, None], columns[:, None, None, :]]


def normalize(images: torch.Tensor) -> torch.Tensor:
    """float32, channels_last."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return ((images.float() - mean) / std).to(memory_format=torch.channels_last)


def make_network() -> nn.Module:
    """Kernels He normal (fan-in), as ours are."""
    network = CifarResNet(20)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    nn.init.zeros_(network.head.bias)
    return network.to(memory_format=torch.channels_last)


@torch.no_grad()
def top1(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of the pictures that are recognised; every one counts once."""
    network.eval()
    correct = sum(
        (network(normalize(batch)).argmax(1) == truth).sum().item()
        for batch, truth in zip(images.split(TEST_BATCH), labels.split(TEST_BATCH))
    )
    network.train()
    return correct / len(labels)


def over(minutes: float) -> bool:
    return time.perf_counter() - BEGIN > 60 * minutes


def train_epoch(network, padded, labels, optimizer, schedule, minutes) -> list[float]:
    """The losses of an epoch's steps, fewer where the minutes end; an unfull batch is left out."""
    losses = []
    order = torch.randperm(len(labels))[: len(labels) // BATCH * BATCH]
    for chosen in order.split(BATCH):
        optimizer.zero_grad()
        logits = network(normalize(augment(padded[chosen])))
        loss = functional.cross_entropy(logits, labels[chosen])
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if over(minutes):
            break
    return losses


def main(data: str, epochs: int, minutes: float, seed: int, threads: int | None) -> None:
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads or torch.get_num_threads())
    torch.manual_seed(seed)
    train, labels = read(pathlib.Path(data, "train"))
    test = read(pathlib.Path(data, "test"))
    padded = functional.pad(train, (PAD, PAD, PAD, PAD))
    network, steps = make_network(), len(labels) // BATCH
    optimizer = torch.optim.SGD(
        network.parameters(), lr=0.2, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.2, total_steps=epochs * steps, cycle_momentum=False
    )
    for epoch in range(1, epochs + 1):
        losses = train_epoch(network, padded, labels, optimizer, schedule, minutes)
        report(
            epoch=epoch,
            steps=len(losses),
            train_loss=float(np.mean(losses)),
            test_top1=top1(network, *test),
            seconds=time.perf_counter() - BEGIN,
        )
        if over(minutes):
            break


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder with train/ and test/")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    main(**vars(parser.parse_args()))
