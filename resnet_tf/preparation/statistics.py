"""Sizes, channels, mean and standard deviation of pictures, gathered shard by shard.

All sums are whole numbers, so that they are exact and do not depend on the order in which
shards are finished:

    mean = S / n        std = sqrt(n·Q - S²) / n        S = Σ x,  Q = Σ x²,  over n pixels
"""

import math

import numpy as np

_CHUNK = 2**20  # pixels that are counted at a time
_LEVELS = np.arange(256)


class Statistics:
    """What a manifest says of the pictures.

    Attributes:
      pictures: how many were looked at.
      measured: how many of them mean and standard deviation are taken over.
    """

    def __init__(self):
        self.pictures = self.measured = 0
        self.pixels = 0
        self._sizes: set[tuple[int, int]] = set()  # two of them say as much as all
        self._grey = True
        self._sum = [0, 0, 0]
        self._squares = [0, 0, 0]
        self._waiting: dict[int, list[np.ndarray]] = {1: [], 3: []}
        self._waiting_pixels = 0

    def look(self, height: int, width: int, channels: int) -> None:
        """Takes in a picture's header."""
        self.pictures += 1
        if len(self._sizes) < 2:
            self._sizes.add((height, width))
        self._grey &= channels < 3

    def measure(self, image: np.ndarray) -> None:
        """Takes in pixels: uint8 `[H, W, C]`, grey (1, or 2 with alpha) or RGB (3, 4)."""
        colours = 1 if image.shape[2] < 3 else 3
        values = image[..., :colours].reshape(-1, colours)
        self.measured += 1
        self.pixels += len(values)
        self._waiting[colours].append(values)
        self._waiting_pixels += len(values)
        if self._waiting_pixels >= _CHUNK:
            self._count()

    def _count(self) -> None:
        for colours, arrays in self._waiting.items():
            values = np.concatenate(arrays) if arrays else np.empty((0, colours), np.uint8)
            for start in range(0, len(values), _CHUNK):
                part = values[start : start + _CHUNK]
                for channel in range(3):
                    if channel < colours:
                        counts = np.bincount(part[:, channel], minlength=256)
                    self._sum[channel] += int(counts @ _LEVELS)
                    self._squares[channel] += int(counts @ _LEVELS**2)
            arrays.clear()
        self._waiting_pixels = 0

    def add(self, other: "Statistics") -> None:
        """Takes in what another one has gathered."""
        other._count()
        self.pictures += other.pictures
        self.measured += other.measured
        self.pixels += other.pixels
        self._sizes |= other._sizes
        self._grey &= other._grey
        self._sum = [a + b for a, b in zip(self._sum, other._sum)]
        self._squares = [a + b for a, b in zip(self._squares, other._squares)]

    def summary(self) -> dict:
        """Manifest fields height, width (None where they vary), channels, mean and std."""
        self._count()
        height, width = next(iter(self._sizes)) if len(self._sizes) == 1 else (None, None)
        channels = 1 if self._grey else 3
        n = self.pixels
        mean = [total / n for total in self._sum[:channels]]
        spread = [n * q - s * s for s, q in zip(self._sum, self._squares)][:channels]
        # A set of constant pictures has no spread to divide by.
        std = [math.sqrt(value) / n if value else 1.0 for value in spread]
        return {
            "height": height,
            "width": width,
            "channels": channels,
            "mean": tuple(round(value, 4) for value in mean),
            "std": tuple(max(round(value, 4), 1e-4) for value in std),
        }

    def to_json(self) -> dict:
        """A dictionary of JSON's own types."""
        self._count()
        return {
            "pictures": self.pictures, "measured": self.measured, "pixels": self.pixels,
            "sizes": sorted(self._sizes), "grey": self._grey,
            "sum": self._sum, "squares": self._squares,
        }  # fmt: skip

    @classmethod
    def from_json(cls, fields: dict) -> "Statistics":
        """The inverse of `to_json`."""
        made = cls()
        made.pictures, made.measured = fields["pictures"], fields["measured"]
        made.pixels = fields["pixels"]
        made._sizes = {tuple(size) for size in fields["sizes"]}
        made._grey = fields["grey"]
        made._sum, made._squares = list(fields["sum"]), list(fields["squares"])
        return made
