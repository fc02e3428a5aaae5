"""One number for the whole state of a run."""

import hashlib
from collections.abc import Mapping

import numpy as np


def digest_of(tensors: Mapping[str, np.ndarray]) -> str:
    """sha256 over name, dtype, shape and bytes of every tensor, in the order of names.

    Two runs with equal digests are equal to the last bit: weights, moving statistics,
    optimizer slots, step. No clock goes into it.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.asarray(tensors[name])
        digest.update(f"{name}\0{array.dtype.name}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
