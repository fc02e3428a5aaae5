"""A network as a TensorFlow SavedModel, which needs nothing of ours to run."""

import os

import tensorflow as tf

from resnet_tf.evaluation import LoadedModel
from resnet_tf.exporting.folding import Folded
from resnet_tf.input import decode_and_fit

_ENCODED = "image/encoded"


class Server(tf.Module):
    """What a server answers, with everything that a picture needs inside.

    Signatures, each giving `logits` and `probabilities` float32 `[N, classes]` and `classes`, the
    names by column, string `[N, classes]`:

        encoded    encoded: string [N], whole JPEG or PNG files; the default
        tensors    images: uint8 [N, H, W, C], pixels that are cut and resized already
        examples   examples: string [N], serialised tf.Examples with image/encoded

    Its batch norms are folded into the convolutions before them, see `Folded`.

    Args:
      loaded: the network.
    """

    def __init__(self, loaded: LoadedModel):
        super().__init__()
        self.model = Folded(loaded.model, loaded.pictures.height, loaded.pictures.width)
        self._preprocess, self._pictures = loaded.preprocess, loaded.pictures
        self._names = tf.constant(loaded.class_names)

    def signatures(self) -> dict:
        """By their names, traced for any number of pictures."""
        pictures = self._pictures
        shape = [None, pictures.height, pictures.width, pictures.channels]
        answers = {
            "encoded": (self.encoded, tf.TensorSpec([None], tf.string, "encoded")),
            "tensors": (self.tensors, tf.TensorSpec(shape, tf.uint8, "images")),
            "examples": (self.examples, tf.TensorSpec([None], tf.string, "examples")),
        }
        traced = {
            name: tf.function(answer, autograph=False).get_concrete_function(spec)
            for name, (answer, spec) in answers.items()
        }
        return {"serving_default": traced["encoded"], **traced}

    def tensors(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """uint8 `[N, H, W, C]`."""
        logits = tf.cast(self.model(self._preprocess(images)), tf.float32)
        names = tf.tile(self._names[None], [tf.shape(logits)[0], 1])
        return {"logits": logits, "probabilities": tf.nn.softmax(logits), "classes": names}

    def encoded(self, encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        """Strings `[N]`."""
        pictures = self._pictures
        shape = [pictures.height, pictures.width, pictures.channels]
        pixels = tf.map_fn(
            lambda picture: decode_and_fit(picture, pictures),
            encoded,
            fn_output_signature=tf.TensorSpec(shape, tf.uint8),
        )
        return self.tensors(pixels)

    def examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Strings `[N]`."""
        fields = {_ENCODED: tf.io.FixedLenFeature([], tf.string)}
        return self.encoded(tf.io.parse_example(examples, fields)[_ENCODED])


def write(loaded: LoadedModel, path: str | os.PathLike) -> None:
    """Writes a SavedModel directory."""
    server = Server(loaded)
    tf.saved_model.save(server, os.fspath(path), signatures=server.signatures())
