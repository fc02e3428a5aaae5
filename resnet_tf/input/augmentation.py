"""What is done to training pictures, in which order."""

import dataclasses

import tensorflow as tf

from resnet_tf.input import augment, crop
from resnet_tf.input import images as decoding
from resnet_tf.input.noise import Noise
from resnet_tf.preprocessing import Preprocessing


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The augmentation of a run; by default none.

    The stages come in this order: crop, shift and mirror, policy, colours, erasing, mixing. What
    each does, with paper and ranges, stands with its function in `augment`. All random
    numbers are those of (seed, epoch, record, copy), see `Noise`.

    Attributes:
      crop_scale, crop_ratio: a random part of the picture, see `crop.box`; an empty scale for
        whole pictures.
      pad, flip: shift by up to this many pixels, filled with black, and mirror left to right.
      flip_vertical: upside down.
      policy: "", autoaugment_imagenet, autoaugment_cifar10, autoaugment_svhn, randaugment (with
        `policy_layers`, `policy_magnitude`), trivialaugment or augmix.
      brightness, contrast, saturation, hue: of `augment.jitter`.
      grey, lighting: probability and deviation.
      erasing, erasing_fill: probability; "noise" or "mean", which is `fill`.
      cutout: side of the square in pixels.
      mixup, cutmix: alphas.
      repeats: copies of a record that follow each other in the order.
      fill: mean of the pictures a channel.
    """

    crop_scale: tuple[float, ...] = ()
    crop_ratio: tuple[float, ...] = (3 / 4, 4 / 3)
    pad: int = 0
    flip: bool = False
    flip_vertical: bool = False
    policy: str = ""
    policy_layers: int = 2
    policy_magnitude: int = 9
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grey: float = 0.0
    lighting: float = 0.0
    erasing: float = 0.0
    erasing_fill: str = "noise"
    cutout: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0
    repeats: int = 1
    fill: tuple[float, ...] = (0.0,)

    @property
    def fixed(self) -> bool:
        """Whether `fit` gives the same pixels of a record every time."""
        return not self.crop_scale

    @property
    def rounded(self) -> bool:
        """Whether `fit` gives whole levels; colours are changed before anything is rounded."""
        return bool(self.policy) or not (self._jitters or self.lighting)

    @property
    def mixes(self) -> bool:
        """Whether labels become soft."""
        return bool(self.mixup or self.cutmix)

    @property
    def _jitters(self) -> bool:
        return bool(self.brightness or self.contrast or self.saturation or self.hue)

    @property
    def _mirrors_in_fit(self) -> bool:
        # A picture that was just cut is still in the cache; a batch of them is not.
        return bool(self.crop_scale) and self.flip and not self.pad

    def draws(self, noise: tf.Tensor) -> dict:
        """Random numbers that `fit` needs of each record, drawn a batch at a time."""
        drawn = {}
        if self.crop_scale:
            drawn["crop"] = crop.draws(Noise(noise))
        if self._mirrors_in_fit:
            drawn["mirrored"] = augment.coins(Noise(noise), axis=2)
        return drawn

    def fit(self, encoded: tf.Tensor, row: dict, pictures: Preprocessing) -> tf.Tensor:
        """One picture, decoded and cut: scalar string to `[H, W, C]`.

        One that is cut at random is mirrored here as well. uint8, or float32 in the same units
        where it is not `rounded`.
        """
        if not self.crop_scale:
            return decoding.decode_and_fit(encoded, pictures, self.rounded)
        size = decoding.size_of(encoded)
        box = crop.box(size, row["crop"], self.crop_scale, self.crop_ratio)
        part = decoding.decode_box(encoded, size, box, pictures.channels)
        shape = [pictures.height, pictures.width, pictures.channels]
        image = decoding.resized(part, shape[:2], antialias=False, rounded=self.rounded)
        if self._mirrors_in_fit:
            image = tf.cond(row["mirrored"], lambda: tf.reverse(image, [1]), lambda: image)
        return tf.ensure_shape(image, shape)

    def augmented(self, images: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """Everything else that is done to a batch of fitted pictures, but for mixing.

        Args:
          images: `[b, H, W, C]`, of `fit`.
          numbers: int64 `[b]`, of `order.noise_for`.

        Returns:
          `[b, H, W, C]`, uint8 or float32 in the same units.
        """
        noise = Noise(numbers)
        if self.pad:
            images = augment.pad_crop_flip(images, numbers, self.pad, self.flip)
        horizontal = self.flip and not self.pad and not self._mirrors_in_fit
        images = augment.flip(images, noise, horizontal, self.flip_vertical)
        images = self._by_policy(images, noise)
        if self._jitters:
            jitters = (self.brightness, self.contrast, self.saturation, self.hue)
            images = augment.jitter(images, noise, *jitters)
        if self.grey:
            images = augment.grey(images, noise, self.grey)
        if self.lighting:
            images = augment.lighting(images, noise, self.lighting)
        if self.erasing:
            fill = "noise" if self.erasing_fill == "noise" else self.fill
            images = augment.erasing(images, noise, self.erasing, fill)
        if self.cutout:
            images = augment.cutout(images, noise, self.cutout)
        return images

    def _by_policy(self, images, noise):
        name, _, data = self.policy.partition("_")
        if name == "autoaugment":
            return augment.autoaugment(images, noise, data)
        if name == "randaugment":
            return augment.randaugment(images, noise, self.policy_layers, self.policy_magnitude)
        if name == "trivialaugment":
            return augment.trivialaugment(images, noise)
        if name == "augmix":
            return augment.augmix(images, noise)
        return images

    def mixed(
        self, images: tf.Tensor, labels: tf.Tensor, numbers: tf.Tensor, classes: int
    ) -> tf.Tensor:
        """A batch of pictures and their labels (int64 `[b]`), mixed with their neighbours.

        Returns:
          images `[b, H, W, C]`, and labels float32 `[b, classes]`; both as they came without
          mixing.
        """
        if not self.mixes:
            return images, labels
        soft = tf.one_hot(labels, classes)
        noise = Noise(numbers)
        return augment.mix(images, soft, noise, self.mixup, self.cutmix, self.repeats)
