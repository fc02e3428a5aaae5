"""Pictures made smaller on purpose: fewer pixels, or fewer bytes a pixel."""

import dataclasses

import tensorflow as tf

from resnet_tf.errors import bad_flag
from resnet_tf.input import headers, images

_QUALITY = 95  # of a JPEG that is written anew because it is shrunk, where none is given


@dataclasses.dataclass(frozen=True)
class Recode:
    """How pictures are encoded anew.

    With `max_side`, a picture whose longer side L is above it is shrunk, antialiased, to

        longer = max_side        shorter = max(1, round(shorter · max_side / L))

    and keeps its format (a JPEG gets `quality`, or 95); smaller ones keep their bytes. With
    `quality`, every picture becomes a JPEG of it, whatever it was, and alpha is dropped.
    EXIF turns are ignored here as in training, and not written on.

    Attributes:
      max_side: pixels, 1 or more; None: sizes stay.
      quality: of JPEG, 1 to 100; None: formats stay.

    Raises:
      UserError: 64 for other values.
    """

    max_side: int | None = None
    quality: int | None = None

    def __post_init__(self):
        if self.max_side is not None and self.max_side < 1:
            raise bad_flag("max_side", "must be 1 or more", self.max_side)
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise bad_flag("quality", "must be from 1 to 100", self.quality)

    def __call__(self, encoded: bytes, header: headers.Header) -> bytes:
        """The picture's bytes, new or as they were.

        Raises:
          tf.errors.InvalidArgumentError: for one that cannot be decoded.
        """
        shrink = self.max_side is not None and max(header.height, header.width) > self.max_side
        if not shrink and self.quality is None:
            return encoded
        to_jpeg = header.format == "jpeg" or self.quality is not None
        colours = 1 if header.channels < 3 else 3
        with tf.device("cpu:0"):  # the same pixels on every machine
            image = images.decode(tf.constant(encoded), colours if to_jpeg else 0)
            if shrink:
                image = self._shrunk(image)
            if to_jpeg:
                return tf.io.encode_jpeg(image, quality=self.quality or _QUALITY).numpy()
            return tf.io.encode_png(image).numpy()

    def _shrunk(self, image: tf.Tensor) -> tf.Tensor:
        height, width, _ = image.shape
        longer = max(height, width)
        size = [max(1, round(side * self.max_side / longer)) for side in (height, width)]
        pixels = tf.image.resize(image, size, antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8)
