"""Mixup and CutMix: two pictures in one, and their labels in the same shares.

The partner of a picture is fixed by its place, so that a batch that is split over replicas
is mixed as the whole one is: the pictures come in groups of 2 · repeats consecutive ones, and
the partner of i is `repeats` places further, or back in the second half of its group. As the
order of the records is random, so is the partner. With repeated augmentation the `repeats`
versions of a picture are neighbours, and none of them is mixed with another.

Every picture has numbers of its own; in the papers' code a batch shares one.
"""

import tensorflow as tf

from resnet_tf.input.augment import boxes, streams
from resnet_tf.input.augment.distributions import beta
from resnet_tf.input.augment.subset import only
from resnet_tf.input.noise import Noise

_COIN, _MIXUP, _CUTMIX, _ROW, _COLUMN = range(streams.MIXING, streams.MIXING + 5)


def mixup(
    images: tf.Tensor, targets: tf.Tensor, noise: Noise, alpha: float = 0.2, repeats: int = 1
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixup (Zhang et al., arXiv:1710.09412).

        x = λ x_i + (1 - λ) x_j        y = λ y_i + (1 - λ) y_j        λ from Beta(α, α)

    The paper uses α = 0.2 for ImageNet and 1 for CIFAR-10. For arguments and errors see `mix`.

    Returns:
      images float32 `[k, H, W, C]`, targets float32 `[k, classes]`.
    """
    return mix(images, targets, noise, mixup_alpha=alpha, repeats=repeats)


def cutmix(
    images: tf.Tensor, targets: tf.Tensor, noise: Noise, alpha: float = 1.0, repeats: int = 1
) -> tuple[tf.Tensor, tf.Tensor]:
    """CutMix (Yun et al., arXiv:1905.04899): a box of the partner in place of one's own.

        λ from Beta(α, α)        centre (cy, cx) any pixel
        h = floor(H sqrt(1 - λ))        rows    cy - h div 2 .. cy + h div 2 - 1
        w = floor(W sqrt(1 - λ))        columns cx - w div 2 .. cx + w div 2 - 1

    cut at the picture's edges. The share of the own label is that of the pixels that stay. The
    paper uses α = 1. For arguments and errors see `mix`.

    Returns:
      images of the same dtype `[k, H, W, C]`, targets float32 `[k, classes]`.
    """
    return mix(images, targets, noise, cutmix_alpha=alpha, repeats=repeats)


def mix(
    images: tf.Tensor,
    targets: tf.Tensor,
    noise: Noise,
    mixup_alpha: float = 0.0,
    cutmix_alpha: float = 0.0,
    repeats: int = 1,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixup, CutMix, or where both alphas are above 0, one of the two by a coin a picture.

    Args:
      images: uint8 or float32 `[k, H, W, C]`.
      targets: float32 `[k, classes]`, each row with sum 1.
      noise: of the k records.
      mixup_alpha: α of `mixup`, or 0 for none.
      cutmix_alpha: α of `cutmix`, or 0 for none.
      repeats: how many neighbours are one picture.

    Returns:
      images `[k, H, W, C]`, float32, or with CutMix alone as they came; targets float32
      `[k, classes]`, each row with sum 1.

    Raises:
      ValueError: an alpha below 0, both 0, or a static k that is no multiple of 2 · repeats.
      tf.errors.InvalidArgumentError: the same of a k that is known only when it runs.
    """
    if min(mixup_alpha, cutmix_alpha) < 0 or mixup_alpha == cutmix_alpha == 0:
        found = f"mixup_alpha={mixup_alpha}, cutmix_alpha={cutmix_alpha}"
        raise ValueError(f"alphas must be 0 or more, and one above 0, found {found}")
    if repeats < 1:
        raise ValueError(f"repeats must be 1 or more, found {repeats}")
    partners, partners_targets = (_partners(x, repeats) for x in (images, targets))
    if cutmix_alpha:
        cut, outside = _cut(images, noise, cutmix_alpha)
    if mixup_alpha:
        images, partners = (tf.cast(x, tf.float32) for x in (images, partners))
        own = beta(noise, _MIXUP, mixup_alpha, mixup_alpha)
        mixed = partners + own[:, None, None, None] * (images - partners)
    if mixup_alpha and cutmix_alpha:
        chosen = noise.coin(_COIN)
        mixed = only(chosen, lambda _, *args: _pasted(*args), mixed, images, partners, cut)
        own = tf.where(chosen, outside, own)
    elif cutmix_alpha:
        mixed, own = _pasted(images, partners, cut), outside
    return mixed, partners_targets + own[:, None] * (targets - partners_targets)


def _partners(values, repeats):
    """The first and the second half of each group change places."""
    group = 2 * repeats
    if values.shape[0] is not None and values.shape[0] % group:
        raise ValueError(f"a batch to mix must be a multiple of {group}, found {values.shape[0]}")
    halves = tf.reshape(values, [-1, 2, repeats, *values.shape[1:]])
    swapped = tf.reshape(tf.reverse(halves, [1]), [-1, *values.shape[1:]])
    return tf.ensure_shape(swapped, values.shape)


def _pasted(images, partners, cut):
    return tf.where(cut, partners, images)


def _cut(images, noise, alpha):
    """The box of each picture, bool `[k, H, W, C]`, and the share of pixels outside of it."""
    height, width = images.shape[1:3]
    side = tf.sqrt(1 - beta(noise, _CUTMIX, alpha, alpha))

    def span(stream, length):
        centre = noise.integer(stream, length)
        half = tf.cast(side * float(length), tf.int64) // 2
        return tf.maximum(centre - half, 0), tf.minimum(centre + half, length)

    (top, bottom), (left, right) = span(_ROW, height), span(_COLUMN, width)
    area = tf.cast((bottom - top) * (right - left), tf.float32)
    return boxes.inside(images, top, left, bottom, right), 1 - area / float(height * width)
