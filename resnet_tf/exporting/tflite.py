"""A network as one TFLite file, from pixels to probabilities."""

import os
import pathlib
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from resnet_tf.evaluation import LoadedModel

KINDS = ("float32", "float16", "int8")


def write(
    loaded: LoadedModel,
    path: str | os.PathLike,
    kind: str,
    calibration: Iterable[np.ndarray] | None,
) -> None:
    """Writes a file that takes pixels `[1, H, W, C]` and gives probabilities `[1, classes]`.

    Args:
      loaded: the network.
      path: of the file.
      kind: "float32"; "float16", of weights only; or "int8", of weights and activations, with
        pixels uint8 in place of float32.
      calibration: uint8 `[H, W, C]`, of which int8 learns the ranges of the activations; no
        other kind takes any.
    """
    how = loaded.pictures

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec([1, how.height, how.width, how.channels], tf.float32)],
    )
    def answer(pixels):
        return tf.nn.softmax(loaded.model(loaded.preprocess(pixels), training=False))

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [answer.get_concrete_function()], loaded.model
    )
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind == "int8":
        converter.representative_dataset = lambda: (
            [picture[None].astype(np.float32)] for picture in calibration
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.float32
    pathlib.Path(path).write_bytes(converter.convert())


def reader(path: str | os.PathLike) -> Callable[[np.ndarray], np.ndarray]:
    """A function from pixels uint8 `[N, H, W, C]` to probabilities float32 `[N, classes]`."""
    interpreter = tf.lite.Interpreter(model_path=os.fspath(path))
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()

    def answer(pixels: np.ndarray) -> np.ndarray:
        rows = []
        for picture in pixels:
            interpreter.set_tensor(taken["index"], picture[None].astype(taken["dtype"]))
            interpreter.invoke()
            rows.append(interpreter.get_tensor(given["index"])[0])
        return np.stack(rows)

    return answer
