"""A network as one ONNX file, from pixels to probabilities, by tf2onnx."""

import logging
import os
import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.evaluation import LoadedModel
from resnet_tf.exporting.folding import Folded

_OPSET = 17


def refuse_without_packages() -> None:
    """To be called before anything takes time.

    Raises:
      UserError: 66 where tf2onnx or onnxruntime is not installed.
    """
    try:
        import onnxruntime  # noqa: F401
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise UserError(
            errors.MISSING_INPUT,
            f"the package {error.name} is not installed",
            "--format=onnx",
            "pip install -e '.[onnx]'",
        ) from error


def write(loaded: LoadedModel, path: str | os.PathLike) -> None:
    """Writes a file that takes pixels and gives probabilities.

    `images` are float32 `[N, H, W, C]` in pixel units, `probabilities` float32 `[N, classes]`.

    Args:
      loaded: the network.
      path: of the file.
    """
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel("WARNING")
    how = loaded.pictures
    folded = Folded(loaded.model, how.height, how.width)
    shape = [None, how.height, how.width, how.channels]
    images = tf.TensorSpec(shape, tf.float32, "images")

    @tf.function(autograph=False, input_signature=[images])
    def answer(images):
        return {"probabilities": tf.nn.softmax(folded(loaded.preprocess(images)))}

    made, _ = tf2onnx.convert.from_function(answer, [images], opset=_OPSET)
    pathlib.Path(path).write_bytes(made.SerializeToString())


def reader(path: str | os.PathLike) -> Callable[[np.ndarray], np.ndarray]:
    """A function from pixels uint8 `[N, H, W, C]` to probabilities float32 `[N, classes]`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])

    def answer(pixels: np.ndarray) -> np.ndarray:
        given = {"images": pixels.astype(np.float32)}
        return session.run(["probabilities"], given)[0]

    return answer
