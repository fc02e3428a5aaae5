"""The same network, weights, batch and update in PyTorch, eager. Needs only torch and NumPy.

python torch_step.py --start=FILE.npz [--layout=channels_last|contiguous]
"""

import argparse
import json
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

COMPARED, TIMED = 20, 40
MEAN, STD = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)


class Block(nn.Module):
    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.new = channels - channels_in

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.new:
            half = self.new // 2
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half))
        return F.relu(y + x)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(16)
        self.stage1 = nn.Sequential(Block(16, 16, 1), Block(16, 16, 1), Block(16, 16, 1))
        self.stage2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.stage3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.stem_norm(self.stem(x)))
        return self.head(self.stage3(self.stage2(self.stage1(x))).mean((2, 3)))


NAMES = {"scale": "weight", "offset": "bias", "moving_mean": "running_mean",
         "moving_variance": "running_var", "kernel": "weight", "bias": "bias"}  # fmt: skip


def load(model, arrays):
    """Copies our weights: kernels from HWIO to OIHW, the dense one transposed."""
    state = {}
    for name in arrays.files:
        if name in ("images", "labels"):
            continue
        *path, last = name.split("/")
        value = torch.from_numpy(arrays[name])
        if last == "kernel":
            value = value.permute(3, 2, 0, 1) if value.ndim == 4 else value.T
        state[".".join([*path, NAMES[last]])] = value.contiguous()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)


def main(start: str, layout: str) -> None:
    torch.set_flush_denormal(True)
    arrays = np.load(start, allow_pickle=False)
    model = ResNet20()
    load(model, arrays)
    images = (torch.from_numpy(arrays["images"]).float() - torch.tensor(MEAN)) / torch.tensor(STD)
    images, labels = images.permute(0, 3, 1, 2).contiguous(), torch.from_numpy(arrays["labels"])
    if layout == "channels_last":
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    kernels = [p for n, p in model.named_parameters() if p.ndim > 1]
    others = [p for n, p in model.named_parameters() if p.ndim == 1]
    groups = [{"params": kernels, "weight_decay": 1e-4}, {"params": others}]
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9, fused=True)

    def step():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    losses = [step() for _ in range(COMPARED)]
    seconds = []
    for _ in range(TIMED):
        begin = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begin)
    speed = len(images) / float(np.median(seconds))
    print(json.dumps({"images_per_second": speed, "losses": losses}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--start", required=True)
    parser.add_argument("--layout", default="channels_last")
    main(**vars(parser.parse_args()))
