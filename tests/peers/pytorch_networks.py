"""PyTorch's side of the comparison, in a process of its own: two frameworks in one do not mix.

  python pytorch_networks.py NAME FOLDER

Writes model.safetensors (random weights), answers.npz (images and logits in inference, at two
sizes; a training batch and its loss) and step.safetensors (what a training step on it gives: a
gradient in the place of each parameter, running statistics as they are afterwards).
"""

import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional


class Pad(nn.Module):
    """Shortcut A."""

    def forward(self, x):
        channels = x.shape[1] // 2
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, channels, channels))


class Block(nn.Module):
    """The block of the well-known CIFAR ResNets, with its names."""

    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = Pad() if stride == 2 else nn.Sequential()

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class CifarResNet(nn.Module):
    """6n + 2 layers."""

    def __init__(self, depth):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        for number, (before, after) in enumerate(((16, 16), (16, 32), (32, 64)), start=1):
            stage = [Block(before, after, after // before)]
            stage += [Block(after, after, 1) for _ in range((depth - 2) // 6 - 1)]
            setattr(self, f"layer{number}", nn.Sequential(*stage))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(torch.mean(x, dim=(2, 3)))


def transformers_resnet(depth):
    """`ResNetForImageClassification` with random weights; v1.5."""
    import transformers

    config = transformers.ResNetConfig(
        layer_type="basic" if depth < 50 else "bottleneck",
        hidden_sizes=[64, 128, 256, 512] if depth < 50 else [256, 512, 1024, 2048],
        depths=[2, 2, 2, 2] if depth == 18 else [3, 4, 6, 3],
        num_labels=11,
    )
    return transformers.ResNetForImageClassification(config)


NETWORKS = {
    "cifar_resnet20": (lambda: CifarResNet(20), 32, "module."),
    "cifar_resnet56": (lambda: CifarResNet(56), 32, ""),
    "resnet18": (lambda: transformers_resnet(18), 224, ""),
    "resnet34": (lambda: transformers_resnet(34), 224, ""),
    "resnet50": (lambda: transformers_resnet(50), 224, ""),
}
LAST_NORMS = ("bn2.weight", "layer.1.normalization.weight", "layer.2.normalization.weight")


def randomize(network):
    """Batch norms far from the identity; branches small enough for deep nets to stay tame."""
    for name, tensor in network.state_dict().items():
        if tensor.dim() == 1:
            low, high = (0.5, 1.5) if name.endswith(("running_var", "weight")) else (-0.2, 0.2)
            tensor.uniform_(low, high)
            if name.endswith(LAST_NORMS):
                tensor.mul_(0.3)


def logits(network, images):
    output = network(torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))))
    return getattr(output, "logits", output)


def main(name, folder):
    torch.manual_seed(0)
    make, size, prefix = NETWORKS[name]
    network = make()
    with torch.no_grad():
        randomize(network)
    save(network, prefix, folder / "model.safetensors")
    random, answers = np.random.default_rng(1), {}
    network.eval()
    for key, side in (("usual", size), ("odd", size - 23)):
        images = random.normal(size=(2, side, side, 3)).astype(np.float32)
        with torch.no_grad():
            answers |= {f"images_{key}": images, f"logits_{key}": logits(network, images).numpy()}
    images, labels = random.normal(size=(8, 64, 64, 3)).astype(np.float32), np.arange(8)
    network.train()
    loss = functional.cross_entropy(logits(network, images), torch.from_numpy(labels))
    loss.backward()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.grad)
    save(network, prefix, folder / "step.safetensors")
    answers |= {"batch": images, "labels": labels, "loss": loss.item()}
    np.savez(folder / "answers.npz", **answers)


def save(network, prefix, path):
    save_file({prefix + k: v.contiguous() for k, v in network.state_dict().items()}, path)


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
