"""Makes data/digits again from scikit-learn's copy of the UCI handwritten digits.

    python data/make_digits.py OUTPUT

Needs scikit-learn. The 1,797 pictures are 8x8 with 17 grey levels, 0 (paper) to 16 (ink);
they are stored as 8-bit PNG, level · 255 / 16 rounded. 360 of them, the same share of each
class, are the test split.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from resnet_tf.preparation import Listing, Picture, write_dataset

LICENCE = (
    "CC BY 4.0. E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits,"
    " UCI Machine Learning Repository, 1998, doi 10.24432/C50P49"
)


def main(output: str) -> None:
    import numpy as np
    import tensorflow as tf
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)

    def picture(i: int) -> Picture:
        encoded = tf.io.encode_png(pixels[i][..., None], compression=9).numpy()
        label = int(digits.target[i])
        return Picture(lambda: encoded, len(encoded), label, f"{label}/digit_{i:04d}.png")

    train, test = train_test_split(
        range(len(pixels)), test_size=360, stratify=digits.target, random_state=0
    )
    splits = {"train": [picture(i) for i in train], "test": [picture(i) for i in test]}
    classes = tuple(str(digit) for digit in range(10))
    write_dataset(output, Listing("digits", LICENCE, classes, splits))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
