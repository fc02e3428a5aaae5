"""PyTorch's `DataLoader` on class folders of pictures. Needs only torch, NumPy and Pillow.

  python input_torch.py --folder=DIR [--workers=2]

Random resized crop to 224 and mirror as torchvision has them, in Pillow: the whole picture is
decoded, converted to RGB and cut, the part resized bilinearly as Pillow does it, and the batch
collated as uint8. Processor time is not told, because the workers' counts only once they have
ended.
"""

import argparse
import json
import math
import pathlib
import random

import numpy as np
import torch
from PIL import Image
from timing import timed
from torch.utils.data import DataLoader, Dataset, RandomSampler

BATCH, SIZE, SCALE, RATIO = 64, 224, (0.08, 1.0), (3 / 4, 4 / 3)


class Folder(Dataset):
    """Pictures in class folders, augmented."""

    def __init__(self, folder: str):
        self.paths = sorted(path for path in pathlib.Path(folder).glob("*/*") if path.is_file())
        classes = sorted({path.parent.name for path in self.paths})
        self.labels = [classes.index(path.parent.name) for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int):
        with open(self.paths[number], "rb") as file:
            image = Image.open(file).convert("RGB")
        left, top, width, height = box(*image.size)
        image = image.crop((left, top, left + width, top + height))
        image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        return pixels, self.labels[number]


def box(width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of a random part; the middle after ten tries."""
    for _ in range(10):
        area = width * height * random.uniform(*SCALE)
        ratio = math.exp(random.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return random.randint(0, width - w), random.randint(0, height - h), w, h
    w, h = min(width, round(height * RATIO[1])), min(height, round(width / RATIO[0]))
    return (width - w) // 2, (height - h) // 2, w, h


def main(folder: str, workers: int) -> None:
    pictures = Folder(folder)
    sampler = RandomSampler(pictures, replacement=True, num_samples=10**6)
    loader = DataLoader(pictures, BATCH, sampler=sampler, num_workers=workers)
    speed = timed(loader, BATCH)
    print(json.dumps({"images_per_second": speed["images_per_second"]}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True)
    parser.add_argument("--workers", type=int, default=2)
    main(**vars(parser.parse_args()))
