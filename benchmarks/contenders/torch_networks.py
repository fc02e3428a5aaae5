"""The same networks in plain PyTorch, their parts named as ours are. Needs only torch."""

import torch
from torch import nn
from torch.nn import functional

DEPTHS = {"cifar_resnet20": 20, "cifar_resnet32": 32}
NAMES = {
    "kernel": "weight", "bias": "bias", "scale": "weight", "offset": "bias",
    "moving_mean": "running_mean", "moving_variance": "running_var",
}  # fmt: skip


def create(network: str, classes: int) -> nn.Module:
    """The network called so among ours."""
    return ResNet50(classes) if network == "resnet50" else CifarResNet(DEPTHS[network], classes)


def conv(channels_in: int, channels: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels, size, stride, size // 2, bias=False)


class PaddedShortcut(nn.Module):
    """Shortcut A: every second pixel, zeros for the new channels."""

    def forward(self, x):
        half = x.shape[1] // 2
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half))


class BasicBlock(nn.Module):
    """conv BN ReLU, conv BN, add, ReLU."""

    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1, self.norm1 = conv(channels_in, channels, 3, stride), nn.BatchNorm2d(channels)
        self.conv2, self.norm2 = conv(channels, channels, 3), nn.BatchNorm2d(channels)
        self.shortcut = PaddedShortcut() if stride > 1 else nn.Identity()

    def forward(self, x):
        y = functional.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return functional.relu(y + self.shortcut(x))


class CifarResNet(nn.Module):
    """6n + 2 layers with shortcut A (He et al. 2015, arXiv 1512.03385, section 4.2)."""

    def __init__(self, depth, classes=10):
        super().__init__()
        self.stem, self.stem_norm = conv(3, 16, 3), nn.BatchNorm2d(16)
        for number, (before, after) in enumerate(((16, 16), (16, 32), (32, 64)), start=1):
            blocks = [BasicBlock(before, after, after // before)]
            blocks += [BasicBlock(after, after, 1) for _ in range((depth - 2) // 6 - 1)]
            setattr(self, f"stage{number}", nn.Sequential(*blocks))
        self.head = nn.Linear(64, classes)

    def forward(self, x):
        x = functional.relu(self.stem_norm(self.stem(x)))
        return self.head(self.stage3(self.stage2(self.stage1(x))).mean((2, 3)))


class Projection(nn.Module):
    """conv 1x1, BN."""

    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv, self.norm = conv(channels_in, channels, 1, stride), nn.BatchNorm2d(channels)

    def forward(self, x):
        return self.norm(self.conv(x))


class Bottleneck(nn.Module):
    """conv 1x1 BN ReLU, conv 3x3/s BN ReLU, conv 1x1 BN, add, ReLU."""

    def __init__(self, channels_in, channels, stride):
        super().__init__()
        out = 4 * channels
        self.conv1, self.norm1 = conv(channels_in, channels, 1), nn.BatchNorm2d(channels)
        self.conv2, self.norm2 = conv(channels, channels, 3, stride), nn.BatchNorm2d(channels)
        self.conv3, self.norm3 = conv(channels, out, 1), nn.BatchNorm2d(out)
        same = channels_in == out
        self.shortcut = nn.Identity() if same else Projection(channels_in, out, stride)

    def forward(self, x):
        y = functional.relu(self.norm1(self.conv1(x)))
        y = functional.relu(self.norm2(self.conv2(y)))
        return functional.relu(self.norm3(self.conv3(y)) + self.shortcut(x))


class ResNet50(nn.Module):
    """v1.5: the stride of a bottleneck in its 3x3."""

    def __init__(self, classes=1000):
        super().__init__()
        self.stem, self.stem_norm = conv(3, 64, 7, 2), nn.BatchNorm2d(64)
        channels_in = 64
        for number, blocks in enumerate((3, 4, 6, 3), start=1):
            channels, stage = 64 * 2 ** (number - 1), []
            for block in range(blocks):
                stride = 2 if number > 1 and block == 0 else 1
                stage.append(Bottleneck(channels_in, channels, stride))
                channels_in = 4 * channels
            setattr(self, f"stage{number}", nn.Sequential(*stage))
        self.head = nn.Linear(2048, classes)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.stem_norm(self.stem(x))), 3, 2, 1)
        x = self.stage4(self.stage3(self.stage2(self.stage1(x))))
        return self.head(x.mean((2, 3)))


def load(model: nn.Module, arrays) -> None:
    """Copies our weights, all of them and nothing else: kernels from HWIO to OIHW."""
    state = {}
    for name in set(arrays.files) - {"images", "labels"}:
        *path, last = name.split("/")
        value = torch.from_numpy(arrays[name])
        if last == "kernel":
            value = value.permute(3, 2, 0, 1) if value.ndim == 4 else value.T
        state[".".join([*path, NAMES[last]])] = value.contiguous()
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(f"not in both networks: {', '.join([*missing, *unexpected])}")
