"""2,560 random pictures in the size of CIFAR-10, as records.

python random_pictures.py --output=DIR
"""

import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import resnet_tf  # noqa: F401  prepares the process for TensorFlow  # isort: skip
import numpy as np
import tensorflow as tf

from resnet_tf.preparation import Listing, Picture, write_dataset

SPLITS = {"train": 2560, "test": 100}


def main(output: str) -> None:
    random = np.random.default_rng(0)

    def pictures(number):
        for i in range(number):
            pixels = random.integers(0, 256, (32, 32, 3), np.uint8)
            encoded = tf.io.encode_png(pixels).numpy()
            yield Picture(lambda encoded=encoded: encoded, len(encoded), i % 10, f"{i}.png")

    splits = {split: list(pictures(number)) for split, number in SPLITS.items()}
    classes = [str(i) for i in range(10)]
    write_dataset(pathlib.Path(output), Listing("random", "none", tuple(classes), splits))
    print(json.dumps({"output": output, **SPLITS}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", required=True)
    main(**vars(parser.parse_args()))
