"""Which features of a TFDS data set are the picture, its label and its key, and their values."""

import functools
import json
import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError

_KEYS = ("file_name", "filename", "image/filename", "image_name", "image_id", "id")
_OWN = "tensorflow_datasets."


def refuse_foreign_code(path: pathlib.Path) -> None:
    """Refuses a `features.json` for which TFDS would import modules that are not its own.

    Raises:
      UserError: 65, also for a file that is no JSON.
    """

    def check(node: dict) -> dict:
        for key in ("pythonClassName", "python_class_name", "type"):
            name = node.get(key)
            if isinstance(name, str) and "." in name and not name.startswith(_OWN):
                raise ValueError(f"a feature of foreign code, {name}")
        return node

    try:
        json.loads(path.read_bytes(), object_hook=check)
    except (ValueError, RecursionError) as error:
        raise UserError(
            errors.BAD_DATA, f"cannot be used: {error}", path, "prepare the set again with TFDS"
        ) from error


class Example:
    """Reads records of one data set.

    The picture and the label are the set's `supervised_keys`, else its only picture and its
    only `ClassLabel`. A picture is an `Image`, or a `Tensor` [height, width, channels] of a
    fixed shape, of uint8 with 1 or 3 channels. The key is a text or an integer under one of
    the usual names (file_name, filename, image/filename, image_name, image_id, id).

    Attributes:
      classes: names by label.

    Args:
      info: the set's `DatasetInfo`.
      where: the set, for messages.

    Raises:
      UserError: 65, with the features there are, where picture or label cannot be told.
    """

    def __init__(self, info, where: object):
        import tensorflow_datasets as tfds

        features = dict(info.features) if hasattr(info.features, "items") else {}
        images = [name for name, feature in features.items() if _is_picture(feature)]
        labels = [
            name
            for name, feature in features.items()
            if isinstance(feature, tfds.features.ClassLabel) and feature.num_classes
        ]
        keys = info.supervised_keys
        if isinstance(keys, tuple) and keys[0] in images and keys[1] in labels:
            images, labels = [keys[0]], [keys[1]]
        if len(images) != 1 or len(labels) != 1:
            raise UserError(
                errors.BAD_DATA,
                "needs one picture of uint8 with 1 or 3 channels, and one ClassLabel; has "
                + (", ".join(map(_described, features.items())) or str(info.features)),
                where,
                "choose a set of labelled pictures",
            )
        self._image, self._label = images[0], labels[0]
        self._key = next((name for name in _KEYS if _is_key(features.get(name))), None)
        self.classes = tuple(features[self._label].names)
        is_file = isinstance(features[self._image], tfds.features.Image)
        self._as_stored = {self._image: tfds.decode.SkipDecoding()} if is_file else None
        self._picture = _only(info.features, self._image)
        self._others = _only(info.features, self._label, *([self._key] if self._key else []))

    def label_and_key(self, record: bytes, where: object) -> tuple[int, str]:
        """The stored label, and the key ("" where the set has none).

        Args:
          record: a serialised example.
          where: the record, for the message.

        Raises:
          UserError: 65 for a record without them.
        """
        try:
            fields = self._others.deserialize_example_np(record)
            label, key = int(fields[self._label]), fields[self._key] if self._key else b""
        except Exception as error:  # protobuf's errors are no public API
            raise UserError(
                errors.BAD_DATA,
                f"the record has no {self._label!r}",
                where,
                "prepare the set again with TFDS",
            ) from error
        return label, key.decode("utf-8", "surrogateescape") if hasattr(key, "decode") else str(key)

    def reader(self, read: Callable[[], bytes]) -> Callable[[], bytes]:
        """From how to read a record to how to read its picture, as a JPEG or PNG file."""
        return functools.partial(self._encoded, read)

    def _encoded(self, read: Callable[[], bytes]) -> bytes:
        fields = self._picture.deserialize_example_np(read(), decoders=self._as_stored)
        picture = fields[self._image]
        return tf.io.encode_png(picture).numpy() if isinstance(picture, np.ndarray) else picture


def _only(features, *names: str):
    import tensorflow_datasets as tfds

    return tfds.decode.PartialDecoding(dict.fromkeys(names, True)).extract_features(features)


def _is_picture(feature) -> bool:
    import tensorflow_datasets as tfds

    shape = feature.shape
    if feature.np_dtype != np.uint8 or len(shape) != 3 or shape[2] not in (1, 3):
        return False
    if type(feature) is tfds.features.Tensor:
        return None not in shape
    # A LabeledImage is a mask.
    kinds, masks = tfds.features.Image, tfds.features.LabeledImage
    return isinstance(feature, kinds) and not isinstance(feature, masks)


def _is_key(feature) -> bool:
    import tensorflow_datasets as tfds

    if feature is None or isinstance(feature, tfds.features.ClassLabel) or feature.shape != ():
        return False
    return isinstance(feature, tfds.features.Text) or np.issubdtype(feature.np_dtype, np.integer)


def _described(item) -> str:
    name, feature = item
    shape = "x".join(map(str, getattr(feature, "shape", ()) or ()))
    return f"{name} ({type(feature).__name__}{' ' + shape if shape else ''})"
