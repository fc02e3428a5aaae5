"""Where a network looks: Grad-CAM as a picture over the picture."""

import os
import pathlib

import numpy as np
import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.evaluation.saved import LoadedModel

# Colours of the heat from none to most, in pixel units: dark blue, teal, yellow.
_HEAT = np.array([(13, 8, 135), (33, 145, 140), (253, 231, 37)], np.float32)
_STRENGTH = 0.6
# Bytes of a file's name, on the file systems that are in use.
_LONGEST_NAME = 255


def grad_cam(loaded: LoadedModel, images: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """The share of each place of the last feature maps in a class's logit.

    Selvaraju et al. 2017 (arXiv 1610.02391): relu(sum over k of a_k · A_k), with a_k the mean
    over places of the gradient of the logit in map A_k. Here the mean of A_k goes into a dense
    head, so that a_k = head kernel[k, class] / (h · w).

    Args:
      loaded: the network.
      images: its input, float32 `[N, H, W, C]`.
      classes: int32 `[N]`.

    Returns:
      float32 `[N, H, W]`, the largest of each picture 1, unless all are 0.
    """
    maps = tf.cast(loaded.model.features(images, training=False)["final"], tf.float32)
    kernel = tf.gather(loaded.model.head.kernel, classes, axis=1)  # [k, N]
    places = maps.shape[1] * maps.shape[2]
    heat = tf.nn.relu(tf.einsum("nhwk,kn->nhw", maps, kernel) / places)
    heat = tf.image.resize(heat[..., None], images.shape[1:3])[..., 0]
    return tf.math.divide_no_nan(heat, tf.reduce_max(heat, axis=(1, 2), keepdims=True))


def overlay(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The picture with the heat over it: uint8 `[H, W, C]` and `[H, W]` to uint8 `[H, W, 3]`."""
    place = np.clip(heat, 0, 1) * (len(_HEAT) - 1)
    below = np.minimum(place.astype(int), len(_HEAT) - 2)
    share = (place - below)[..., None]
    colours = _HEAT[below] * (1 - share) + _HEAT[below + 1] * share
    mixed = (1 - _STRENGTH * heat[..., None]) * pixels + _STRENGTH * heat[..., None] * colours
    return np.clip(np.round(mixed), 0, 255).astype(np.uint8)


class Explainer:
    """Writes the heat of each picture's first class over the picture.

    Args:
      loaded: the network.
      folder: of the PNG files; made where it is missing.

    Raises:
      UserError: 73 where the folder cannot be made or written in.
    """

    def __init__(self, loaded: LoadedModel, folder: str | os.PathLike):
        self._loaded, self._folder = loaded, pathlib.Path(folder)
        self._cam = tf.function(
            lambda pixels, classes: grad_cam(loaded, loaded.preprocess(pixels), classes),
            autograph=False,
            reduce_retracing=True,
        )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._cannot(error.strerror) from error

    def write(self, number: int, path: str, pixels: np.ndarray, klass: int) -> str:
        """Explains one picture, uint8 `[H, W, C]`; gives the name of the file."""
        heat = self._cam(pixels[None], tf.constant([klass]))[0].numpy()
        mixed = tf.io.encode_png(overlay(pixels, heat)).numpy()
        file = self._folder / _name(f"{number:05d}_", pathlib.Path(path).stem, ".png")
        try:
            file.write_bytes(mixed)
        except OSError as error:
            raise self._cannot(error.strerror) from error
        return str(file)

    def _cannot(self, why: str) -> UserError:
        what = f"cannot be written: {why}"
        return UserError(errors.CANNOT_CREATE, what, self._folder, "give another --explain")


def _name(before: str, stem: str, after: str) -> str:
    """The three together, with the stem cut where that is longer than a file's name may be."""
    room = _LONGEST_NAME - len(before) - len(after)
    if len(os.fsencode(stem)) > room:
        stem = os.fsencode(stem)[:room].decode("utf-8", "ignore")  # no half of a character
    return before + stem + after
