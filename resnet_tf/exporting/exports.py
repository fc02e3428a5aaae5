"""Exports: made under another name, run on real pictures beside the checkpoint, then named."""

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
from resnet_tf.evaluation import LoadedModel
from resnet_tf.exporting import onnx, serving, tflite, torch_names
from resnet_tf.layers import named_variables

FORMATS = ("saved_model", "tflite", "onnx", "safetensors", "npz")
_BATCH = 64
# Largest difference of a probability to the checkpoint's.
_WITHIN = {"float32": 1e-5, "float16": 0.02, "int8": 0.5}


@dataclasses.dataclass(frozen=True)
class Export:
    """What was made, and how it did beside the checkpoint.

    Attributes:
      path: of the file or directory.
      pictures: how many real pictures it was run on.
      largest_difference: of a probability, over them and all classes.
      agreement: share of them with the same first class.
      megabytes: on disk.
    """

    path: str
    pictures: int
    largest_difference: float
    agreement: float
    megabytes: float


def refuse(output: str | os.PathLike, form: str, kind: str) -> None:
    """To be called before anything takes time.

    Raises:
      UserError: 64 for words that are no form or kind, 66 for one whose packages are missing, 73
        for an output that is there.
    """
    if form not in FORMATS:
        raise bad_flag("format", f"must be {', '.join(FORMATS)}", repr(form))
    if kind not in tflite.KINDS or (kind != "float32" and form != "tflite"):
        raise bad_flag("kind", f"must be float32, or of tflite {', '.join(tflite.KINDS)}", kind)
    if form == "onnx":
        onnx.refuse_without_packages()
    if os.path.lexists(output):
        raise UserError(errors.CANNOT_CREATE, "the output exists", output, "choose another name")


def export(
    loaded: LoadedModel,
    output: str | os.PathLike,
    form: str,
    pictures: np.ndarray,
    kind: str = "float32",
) -> Export:
    """Writes a network in another form, and proves it on pictures before it gets its name.

    Args:
      loaded: the network.
      output: file or directory to make; must not exist.
      form: one of `FORMATS`.
      pictures: uint8 `[N, H, W, C]`, cut and resized as the network's are; for int8 they also
        teach the ranges of the activations.
      kind: of tflite: one of `tflite.KINDS`.

    Raises:
      UserError: as of `refuse`; 73 for an output that cannot be made, 70 where what was made
        differs from the checkpoint by more than its kind may.
    """
    refuse(output, form, kind)
    output = pathlib.Path(os.path.abspath(output))
    # The ending stays, since it says what kind of file it is.
    temporary = output.with_name(f".tmp-{uuid.uuid4().hex[:8]}-{output.name}")
    try:
        answer = _written(loaded, temporary, form, kind, pictures)
        found = _compared(loaded, answer, pictures)
        if not found[0] <= _WITHIN[kind]:
            raise UserError(
                errors.INTERNAL,
                f"what was exported differs from the checkpoint by {found[0]:.2g}",
                output,
                "nothing was kept; report it",
            )
        size = sum(f.stat().st_size for f in (temporary, *temporary.rglob("*")) if f.is_file())
        os.rename(temporary, output)
    except OSError as error:
        what = f"cannot make the output: {error.strerror or error}"
        raise UserError(errors.CANNOT_CREATE, what, output, "choose another name") from error
    finally:
        _remove(temporary)
    return Export(str(output), len(pictures), *found, round(size / 1e6, 3))


def _written(loaded, path, form, kind, pictures) -> Callable[[np.ndarray], np.ndarray]:
    """Writes, and gives a function from pixels to probabilities that uses what was written."""
    if form == "saved_model":
        serving.write(loaded, path)
        run = tf.saved_model.load(os.fspath(path)).signatures["tensors"]
        return lambda pixels: run(images=tf.constant(pixels))["probabilities"].numpy()
    if form == "tflite":
        tflite.write(loaded, path, kind, pictures)
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


def _compared(loaded: LoadedModel, answer: Callable, pictures: np.ndarray) -> tuple[float, float]:
    """The largest difference of a probability, and the share with the same first class."""
    ours = _probabilities(loaded.model, loaded, pictures)
    theirs = answer(pictures)
    same = (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean()
    return float(np.abs(ours - theirs).max()), float(same)


def _remove(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
