"""What is done to training pictures, in which order."""

import dataclasses

import tensorflow as tf

from resnet_tf.input import augment, crop, images
from resnet_tf.input.noise import Noise
from resnet_tf.preprocessing import Preprocessing


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The augmentation of a run; by default none. Stages come in the order of the fields.

    Attributes:
      crop_scale: lowest and highest share of a picture's area that a random part of it has;
        empty for whole pictures.
      crop_ratio: lowest and highest width / height of that part.
      pad: shift by up to this many pixels, filled with black.
      flip: mirror half of the pictures left to right.
    """

    crop_scale: tuple[float, ...] = ()
    crop_ratio: tuple[float, ...] = (3 / 4, 4 / 3)
    pad: int = 0
    flip: bool = False

    @property
    def fixed(self) -> bool:
        """Whether `fit` gives the same pixels of a record every time."""
        return not self.crop_scale

    def draws(self, noise: tf.Tensor) -> dict:
        """Random numbers that `fit` needs of each record, drawn a batch at a time."""
        return {"crop": crop.draws(Noise(noise))} if self.crop_scale else {}

    def fit(self, encoded: tf.Tensor, row: dict, pictures: Preprocessing) -> tf.Tensor:
        """One picture, decoded and cut: scalar string to uint8 `[H, W, C]`."""
        if not self.crop_scale:
            return images.decode_and_fit(encoded, pictures)
        size = images.size_of(encoded)
        box = crop.box(size, row["crop"], self.crop_scale, self.crop_ratio)
        part = images.decode_box(encoded, size, box, pictures.channels)
        image = images.resized(part, [pictures.height, pictures.width], antialias=False)
        return tf.ensure_shape(image, [pictures.height, pictures.width, pictures.channels])

    def augmented(self, images: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """A batch of fitted pictures `[b, H, W, C]`, each by its own number (int64 `[b]`)."""
        if self.pad or self.flip:
            images = augment.pad_crop_flip(images, numbers, self.pad, self.flip)
        return images

    def mixed(self, images, labels, numbers, classes):
        return images, labels
