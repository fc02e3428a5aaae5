"""Our weights under torchvision's names and in its layouts, as `checkpoint.foreign` reads them.

    stem, stem_norm            conv1, bn1
    stem/conv{1,2,3}           conv1.{0,3,6}       (timm's deep stem; stem/norm{1,2}: conv1.{1,4})
    stage2/0/{conv1,norm1}     layer2.0.{conv1,bn1}
    stage2/0/shortcut/…        layer2.0.downsample.{0,1}
    ….excitation/…             layer2.0.se.fc{1,2}
    head                       fc

A network with any other variable keeps our names and layouts throughout: half of a translation
would be of no use to anyone. `tools/import_weights.py` reads both.
"""

import re
from collections.abc import Mapping

import numpy as np

_PATHS = [
    (r"stem", "conv1"),
    (r"stem_norm", "bn1"),
    (r"stem/conv(?P<n>[123])", "conv1.{conv}"),
    (r"stem/norm(?P<n>[12])", "conv1.{norm}"),
    (r"stage(?P<s>\d+)/(?P<b>\d+)/conv(?P<k>\d)", "layer{s}.{b}.conv{k}"),
    (r"stage(?P<s>\d+)/(?P<b>\d+)/norm(?P<k>\d)", "layer{s}.{b}.bn{k}"),
    (r"stage(?P<s>\d+)/(?P<b>\d+)/shortcut/conv", "layer{s}.{b}.downsample.0"),
    (r"stage(?P<s>\d+)/(?P<b>\d+)/shortcut/norm", "layer{s}.{b}.downsample.1"),
    (r"stage(?P<s>\d+)/(?P<b>\d+)/excitation/squeeze", "layer{s}.{b}.se.fc1"),
    (r"stage(?P<s>\d+)/(?P<b>\d+)/excitation/excite", "layer{s}.{b}.se.fc2"),
    (r"head", "fc"),
]
_LEAVES = {
    "kernel": "weight",
    "bias": "bias",
    "scale": "weight",
    "offset": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def renamed(variables: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All variables of a network under torchvision's names, or all under ours.

    Args:
      variables: float32 by our names.

    Returns:
      float32 by name; with torchvision's names kernels are `[out, in, h, w]` or `[out, in]`.
    """
    names = {name: _torch(name) for name in variables}
    if None in names.values() or len(set(names.values())) < len(names):
        return dict(variables)
    return {names[name]: _turned(array) for name, array in variables.items()}


def _torch(name: str) -> str | None:
    path, _, leaf = name.rpartition("/")
    for pattern, theirs in _PATHS:
        if match := re.fullmatch(pattern, path):
            found = match.groupdict()
            # conv, norm, ReLU, conv, norm, ReLU, conv
            number = 3 * (int(found.get("n") or 1) - 1)
            return f"{theirs.format(**found, conv=number, norm=number + 1)}.{_LEAVES[leaf]}"
    return None


def _turned(array: np.ndarray) -> np.ndarray:
    """`[h, w, i, o]` to `[o, i, h, w]`, `[i, o]` to `[o, i]`."""
    return np.ascontiguousarray(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T)
