"""Weights of other frameworks, under our names and in our layouts.

    tensors = match(translate(read(path), path), shapes, path)

Names that are known, with what becomes of them (`module.`, `_orig_mod.` or `model.` in front is
dropped):

    torchvision, timm, PyTorch's CIFAR ResNets          transformers
      conv1, bn1               stem, stem_norm            embedder.embedder.{convolution,…}
      conv1.{0,1,3,4,6}        stem/{conv1,norm1,…}       (timm's deep stem)
      layer2.0.{conv1,bn1}     stage2/0/{conv1,norm1}     encoder.stages.1.layers.0.layer.0.…
      layer2.0.downsample.N    stage2/0/shortcut/…        ….shortcut.{convolution,…}
      layer2.0.shortcut.N      stage2/0/shortcut/…        (PyTorch's CIFAR ResNets)
      layer2.0.se.fc{1,2}      ….excitation/{squeeze,excite}
      fc, linear, classifier   head                       classifier.1

    TF1: EX6_NET/Concat_4a/Branch_1/Conv2d_0b_1x7/…     concat4a/branch1/conv0b/{conv,norm}/…
         EX6_NET/Logits/Logits/…                        head

and our own names. PyTorch's kernels `[out, in, h, w]` become `[h, w, in, out]`, its dense kernels
are transposed. Counters, optimizer slots and averages of weights are left out, and said.
"""

import dataclasses
import re
from collections.abc import Mapping

import numpy as np

from resnet_tf import errors
from resnet_tf.checkpoint.weight_files import checkpoint_prefix, read
from resnet_tf.errors import UserError

__all__ = ["Translation", "checkpoint_prefix", "match", "read", "translate"]

_STATISTICS = {"running_mean": "moving_mean", "running_var": "moving_variance"}
_TORCH_PATHS = [
    (r"conv1", "stem"),
    (r"bn1", "stem_norm"),
    (r"conv1\.(?P<n>[036])", "stem/conv{deep}"),
    (r"conv1\.(?P<n>[14])", "stem/norm{deep}"),
    (r"layer(?P<s>\d+)\.(?P<b>\d+)\.conv(?P<k>\d)", "stage{s}/{b}/conv{k}"),
    (r"layer(?P<s>\d+)\.(?P<b>\d+)\.bn(?P<k>\d)", "stage{s}/{b}/norm{k}"),
    (r"layer(?P<s>\d+)\.(?P<b>\d+)\.(downsample|shortcut)\.\d", "stage{s}/{b}/shortcut/{kind}"),
    (r"layer(?P<s>\d+)\.(?P<b>\d+)\.(se|se_module)\.fc1", "stage{s}/{b}/excitation/squeeze"),
    (r"layer(?P<s>\d+)\.(?P<b>\d+)\.(se|se_module)\.fc2", "stage{s}/{b}/excitation/excite"),
    (r"(fc|linear|classifier|classifier\.1|last_linear)", "head"),
    (r"(resnet\.)?embedder\.embedder\.convolution", "stem"),
    (r"(resnet\.)?embedder\.embedder\.normalization", "stem_norm"),
    (
        r"(resnet\.)?encoder\.stages\.(?P<s0>\d+)\.layers\.(?P<b>\d+)\.layer\.(?P<k0>\d)"
        r"\.(convolution|normalization)",
        "stage{s}/{b}/{kind}{k}",
    ),
    (
        r"(resnet\.)?encoder\.stages\.(?P<s0>\d+)\.layers\.(?P<b>\d+)\.shortcut"
        r"\.(convolution|normalization)",
        "stage{s}/{b}/shortcut/{kind}",
    ),
]
_SLIM_LEAVES = {
    "weights": "conv/kernel",
    "biases": "conv/bias",
    "BatchNorm/gamma": "norm/scale",
    "BatchNorm/beta": "norm/offset",
    "BatchNorm/moving_mean": "norm/moving_mean",
    "BatchNorm/moving_variance": "norm/moving_variance",
}
# Counters, optimizer slots and averages of weights, in PyTorch, in TF1 and in ours.
_LEFT_OUT = re.compile(
    r"(.*\.)?num_batches_tracked|(.*/)?global_step|(.*/)?beta[12]_power(_\d+)?"
    r"|.*/(Momentum|Adam|Adam_1|RMSProp|RMSProp_1|ExponentialMovingAverage)"
    r"|optimizer/.*|step"
)


@dataclasses.dataclass(frozen=True)
class Translation:
    """Tensors of a file under our names.

    Attributes:
      tensors: float32, in our layout, by our name.
      origin: the name in the file by our name.
      unknown: shape by name in the file, where no rule applies.
      left_out: names in the file of counters, optimizer slots and averages of weights.
    """

    tensors: dict[str, np.ndarray]
    origin: dict[str, str]
    unknown: dict[str, tuple[int, ...]]
    left_out: list[str]


def translate(tensors: Mapping[str, np.ndarray], where: object) -> Translation:
    """Renames and turns every tensor of `read`; `where` is the file, for errors.

    Raises:
      UserError: 65 where two tensors mean the same variable, or one is no array of finite
        floats.
    """
    result = Translation({}, {}, {}, [])
    for name in sorted(tensors):
        array = np.asarray(tensors[name])
        plain = re.sub(r"^((module|_orig_mod|model)\.)+", "", name)
        if _LEFT_OUT.fullmatch(plain):
            result.left_out.append(name)
            continue
        ours = _own(plain) or _torch(plain, array, tensors, name) or _slim(plain)
        if ours is None:
            result.unknown[name] = array.shape
            continue
        if ours in result.tensors:
            what = f"{name} and {result.origin[ours]} are both {ours}"
            raise UserError(errors.BAD_DATA, what, where, "take one of them out")
        result.tensors[ours] = _checked(_turned(array) if "." in plain else array, name, where)
        result.origin[ours] = name
    return result


def _own(name: str) -> str | None:
    match = re.fullmatch(
        r"(model/)?(?P<own>[a-z][a-z0-9_/]*/(kernel|bias|scale|offset|moving_mean|moving_variance))",
        name,
    )
    return match["own"] if match else None


def _torch(name: str, array: np.ndarray, tensors: Mapping, full_name: str) -> str | None:
    path, _, leaf = name.rpartition(".")
    normalizes = array.ndim == 1 and full_name.rpartition(".")[0] + ".running_mean" in tensors
    if leaf == "weight":
        leaf = "scale" if normalizes else "kernel"
    elif leaf == "bias":
        leaf = "offset" if normalizes else "bias"
    elif leaf in _STATISTICS:
        leaf = _STATISTICS[leaf]
    else:
        return None
    for pattern, ours in _TORCH_PATHS:
        match = re.fullmatch(pattern, path)
        if match:
            found = match.groupdict()
            # transformers counts from 0; timm's deep stem is conv, norm, ReLU, conv, norm, …
            found |= {key[0]: int(found[key]) + 1 for key in ("s0", "k0") if key in found}
            found["deep"] = int(found.get("n") or 0) // 3 + 1
            found["kind"] = "norm" if normalizes else "conv"
            return f"{ours.format(**found)}/{leaf}"
    return None


def _slim(name: str) -> str | None:
    head = re.fullmatch(r"EX6_NET/Logits/Logits/(weights|biases)", name)
    if head:
        return "head/kernel" if head[1] == "weights" else "head/bias"
    match = re.fullmatch(r"EX6_NET/(?:Concat_(\d\w)/Branch_(\d)/)?Conv2d_(\d\w)_\dx\d/(.+)", name)
    if match is None or match[4] not in _SLIM_LEAVES:
        return None
    concat, branch, conv, leaf = match.groups()
    scope = f"concat{concat}/branch{branch}/" if concat else ""
    return f"{scope}conv{conv}/{_SLIM_LEAVES[leaf]}"


def _turned(array: np.ndarray) -> np.ndarray:
    """PyTorch's layout in ours: `[o, i, h, w]` to `[h, w, i, o]`, `[o, i]` to `[i, o]`."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def _checked(array: np.ndarray, name: str, where: object) -> np.ndarray:
    # bfloat16 is of NumPy's kind "V".
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        what = f"{name} is of type {array.dtype.name}, no floating point"
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            array = np.ascontiguousarray(array, dtype=np.float32)
        if np.isfinite(array).all():
            return array
        what = f"{name} holds values that are not finite in float32"
    raise UserError(errors.BAD_DATA, what, where, "give weights of a trained network")


def match(
    translation: Translation, wanted: Mapping[str, tuple[int, ...]], where: object
) -> dict[str, np.ndarray]:
    """The translated tensors, once it is certain that they are the network's, all of them.

    Args:
      translation: of a file.
      wanted: the network's shapes by name.
      where: the file, for errors.

    Raises:
      UserError: 78, with a table of what is left over or missing on either side, or has
        another shape.
    """
    found = {name: array.shape for name, array in translation.tensors.items()}
    origin = translation.origin
    left_over = [("-", name, shape, None) for name, shape in sorted(translation.unknown.items())]
    left_over += [(n, origin[n], found[n], None) for n in sorted(found.keys() - wanted)]
    missing = [(n, "-", None, wanted[n]) for n in sorted(wanted.keys() - found)]
    other = [
        (n, origin[n], found[n], wanted[n])
        for n in sorted(found.keys() & wanted)
        if found[n] != wanted[n]
    ]
    if not left_over + missing + other:
        return translation.tensors
    head = ("variable", "in the file", "its shape, turned", "in the network")
    rows = [row for rows in (other, left_over, missing) for row in _shown(rows)]
    raise UserError(
        errors.MISMATCH,
        f"the weights are not the network's: {len(left_over)} tensors too many, {len(missing)}"
        f" variables without one, {len(other)} of another shape",
        where,
        "give the --model and --model_options that the weights are of",
        details=errors.table([head, *rows], most=100),
    )


def _shown(rows: list[tuple], most: int = 25) -> list[tuple[str, ...]]:
    """Some rows of each kind, so that no kind crowds out the others."""
    shown = [
        (ours, theirs, _shape(there), _shape(here)) for ours, theirs, there, here in rows[:most]
    ]
    more = (f"… and {len(rows) - most} more", "", "", "")
    return [*shown, more] if len(rows) > most else shown


def _shape(shape: tuple[int, ...] | None) -> str:
    return "-" if shape is None else str(list(shape))
