"""Exports: made under another name, run on real pictures beside the checkpoint, then named."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import uuid
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from resnet_tf import errors
from resnet_tf.checkpoint import foreign, weight_files
from resnet_tf.errors import UserError, bad_flag
from resnet_tf.evaluation import LoadedModel, nearest_parent
from resnet_tf.exporting import onnx, serving, tflite, torch_names
from resnet_tf.files import make_directory
from resnet_tf.layers import named_variables

FORMATS = ("saved_model", "tflite", "onnx", "safetensors", "npz")
_BATCH = 64
# How far the probabilities may be from the checkpoint's: in the worst place, and on average, where
# the worst of 8 bits says little.
_LARGEST = {"float32": 1e-5, "float16": 0.02, "int8": 1.0}
_MEAN = {"float32": 1e-5, "float16": 0.02, "int8": 0.1}
# A loss of top-1 of this share is said aloud.
_NOTABLE = 0.01


@dataclasses.dataclass(frozen=True)
class Export:
    """What was made, and how it did beside the checkpoint.

    Attributes:
      path: of the file or directory.
      pictures: how many real pictures it was run on.
      largest_difference: of a probability, over them and all classes.
      mean_difference: 1/2 · sum over classes of |p - q|, the total variation distance of the
        probabilities p of the export and q of the checkpoint; its mean over the pictures.
      agreement: share of them with the same first class.
      top1, checkpoint_top1: share of them that the export and the checkpoint get right; None
        where their labels are not told.
      megabytes: on disk.
    """

    path: str
    pictures: int
    largest_difference: float
    mean_difference: float
    agreement: float
    top1: float | None
    checkpoint_top1: float | None
    megabytes: float

    def loses(self) -> bool:
        """Whether it gets fewer pictures right than the checkpoint, by a point or more."""
        return self.top1 is not None and self.checkpoint_top1 - self.top1 >= _NOTABLE


def refuse(output: str | os.PathLike, form: str, kind: str) -> None:
    """To be called before anything takes time.

    Raises:
      UserError: 64 for words that are no form or kind, or a name that its readers would not
        take, 66 for a form whose packages are missing, 73 for an output that is there or cannot
        be made.
    """
    if form not in FORMATS:
        raise bad_flag("format", f"must be {', '.join(FORMATS)}", repr(form))
    if kind not in tflite.KINDS or (kind != "float32" and form != "tflite"):
        raise bad_flag("kind", f"must be float32, or of tflite {', '.join(tflite.KINDS)}", kind)
    if form in ("safetensors", "npz") and not os.fspath(output).lower().endswith(f".{form}"):
        raise bad_flag("output", f"must end in .{form}, by which it is known", repr(str(output)))
    if form == "onnx":
        onnx.refuse_without_packages()
    nearest_parent(output)
    if os.path.lexists(output):
        raise UserError(errors.CANNOT_CREATE, "the output exists", output, "choose another name")


def export(
    loaded: LoadedModel,
    output: str | os.PathLike,
    form: str,
    pictures: np.ndarray,
    kind: str = "float32",
    *,
    labels: np.ndarray | None = None,
    calibration: np.ndarray | None = None,
) -> Export:
    """Writes a network in another form, and proves it on pictures before it gets its name.

    Args:
      loaded: the network.
      output: file or directory to make, with its parents; must not exist.
      form: one of `FORMATS`.
      pictures: uint8 `[N, H, W, C]`, cut and resized as the network's are.
      kind: of tflite: one of `tflite.KINDS`.
      labels: `[N]`, the true classes of `pictures`, where they are known.
      calibration: uint8 `[M, H, W, C]`, of which int8 learns the ranges of its activations;
        other pictures than those that judge it. None: of no other kind.

    Raises:
      UserError: as of `refuse`; 73 for an output that cannot be made, 70 where what was made
        differs from the checkpoint by more than its kind may.
    """
    refuse(output, form, kind)
    if kind == "int8" and calibration is None:
        raise ValueError("int8 needs pictures to learn from")
    output = pathlib.Path(os.path.abspath(output))
    # The ending stays, since it says what kind of file it is; parents are made at the end.
    temporary = nearest_parent(output) / f".tmp-{uuid.uuid4().hex[:8]}{output.suffix}"
    try:
        answer = _written(loaded, temporary, form, kind, calibration)
        found = _compared(loaded, answer, pictures, labels)
        if found[0] > _LARGEST[kind] or found[1] > _MEAN[kind]:
            raise UserError(
                errors.INTERNAL,
                "what was exported differs from the checkpoint by"
                f" {found[0]:.2g}, {found[1]:.2g} on average",
                output,
                "nothing was kept; "
                + ("report it" if kind == "float32" else "export a finer --kind"),
            )
        size = sum(f.stat().st_size for f in (temporary, *temporary.rglob("*")) if f.is_file())
        make_directory(output.parent)
        os.rename(temporary, output)
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", None) or error
        what = f"cannot make the output: {reason}"
        raise UserError(errors.CANNOT_CREATE, what, output, "choose another name") from error
    finally:
        _remove(temporary)
    return Export(str(output), len(pictures), *found, round(size / 1e6, 3))


def _written(loaded, path, form, kind, calibration) -> Callable[[np.ndarray], np.ndarray]:
    """Writes, and gives a function from pixels to probabilities that uses what was written."""
    if form == "saved_model":
        serving.write(loaded, path)
        run = tf.saved_model.load(os.fspath(path)).signatures["tensors"]
        return lambda pixels: run(images=tf.constant(pixels))["probabilities"].numpy()
    if form == "tflite":
        tflite.write(loaded, path, kind, calibration)
        return tflite.reader(path)
    if form == "onnx":
        onnx.write(loaded, path)
        return onnx.reader(path)
    tensors = {name: v.numpy() for name, v in named_variables(loaded.model).items()}
    weight_files.write(path, torch_names.renamed(tensors), form)
    return _reread(loaded, path)


def _reread(loaded, path):
    """Probabilities of a twin of the network, with the weights that the file gives."""
    twin = type(loaded.model)(loaded.model.options)
    variables = named_variables(twin)
    shapes = {name: tuple(v.shape) for name, v in variables.items()}
    translation = foreign.translate(foreign.read(path), path)
    for name, array in foreign.match(translation, shapes, path).items():
        variables[name].assign(array)
    return lambda pixels: _probabilities(twin, loaded, pixels)


def _probabilities(model, loaded: LoadedModel, pixels: np.ndarray) -> np.ndarray:
    parts = np.array_split(pixels, -(-len(pixels) // _BATCH))
    logits = [model(loaded.preprocess(part), training=False) for part in parts]
    return tf.nn.softmax(tf.concat(logits, axis=0)).numpy()


def _compared(loaded: LoadedModel, answer: Callable, pictures, labels) -> tuple:
    """Of an `Export`: its differences, its agreement, and both shares that are right."""
    ours, theirs = _probabilities(loaded.model, loaded, pictures), answer(pictures)
    apart = np.abs(ours - theirs)
    first, first_theirs = ours.argmax(axis=1), theirs.argmax(axis=1)
    right = (None, None)
    if labels is not None:
        right = (float((first_theirs == labels).mean()), float((first == labels).mean()))
    same = float((first == first_theirs).mean())
    return float(apart.max()), float(apart.sum(axis=1).mean() / 2), same, *right


def _remove(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
