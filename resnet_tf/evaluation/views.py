"""Several views of a picture at test time, and classes taken together."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from resnet_tf.preprocessing import Preprocessing

# Side of the picture that crops are cut from, of a crop's: 256 for 224.
_ROOM = 8 / 7


def with_room(pictures: Preprocessing) -> Preprocessing:
    """Pictures somewhat larger than `pictures`, for five crops of that size."""
    height, width = round(pictures.height * _ROOM), round(pictures.width * _ROOM)
    side = pictures.shorter_side and max(pictures.shorter_side, height, width)
    return dataclasses.replace(pictures, height=height, width=width, shorter_side=side)


def over_views(
    model: Callable[..., tf.Tensor], height: int, width: int, *, crops: int, flip: bool
) -> Callable[..., tf.Tensor]:
    """A model that looks at a picture several times: the mean of the views' probabilities.

    Krizhevsky et al. 2012 (NIPS 25): the four corners and the middle, and their mirror images.
    Its logits are log(1/V · sum over views v of softmax(model(v))).

    Args:
      model: images float32 `[N, height, width, C]` to logits `[N, classes]`.
      height, width: of a view.
      crops: 1, the middle, or 5.
      flip: mirror each left to right, too.
    """
    if crops == 1 and not flip:
        return model

    def look(images, training):
        views = _cut(images, height, width, crops)
        views += [tf.reverse(view, axis=[2]) for view in views] if flip else []
        shares = [tf.nn.log_softmax(tf.cast(model(v, training), tf.float32)) for v in views]
        return tf.reduce_logsumexp(tf.stack(shares), axis=0) - math.log(len(views))

    return look


def _cut(images, height, width, crops):
    down, right = images.shape[1] - height, images.shape[2] - width
    corners = [(down // 2, right // 2), (0, 0), (0, right), (down, 0), (down, right)]
    return [images[:, top : top + height, left : left + width] for top, left in corners[:crops]]


def over_groups(
    model: Callable[..., tf.Tensor], groups: Sequence[Sequence[int]]
) -> Callable[..., tf.Tensor]:
    """A model whose classes are groups of another's; classes in no group do not count.

    The logit of a group is the logarithm of the sum of its members' exp(logit), so that its
    probability is their sum, over all that are in a group.

    Args:
      model: images to logits.
      groups: numbers of the model's classes, one or more a group; a class is in one at most.
    """
    members = tf.constant([member for group in groups for member in group])
    group_of = tf.constant([number for number, group in enumerate(groups) for _ in group])

    def grouped(images, training):
        logits = tf.gather(tf.cast(model(images, training), tf.float32), members, axis=1)
        if len(members) == len(groups):
            return logits
        logits = tf.transpose(logits)
        highest = tf.math.segment_max(logits, group_of)
        sums = tf.math.segment_sum(tf.exp(logits - tf.gather(highest, group_of)), group_of)
        return tf.transpose(tf.math.log(sums) + highest)

    return grouped


def at_temperature(model: Callable[..., tf.Tensor], temperature: float) -> Callable[..., tf.Tensor]:
    """A model with logits divided by a temperature (Guo et al. 2017, arXiv 1706.04599)."""
    if temperature == 1:
        return model
    return lambda images, training: tf.cast(model(images, training), tf.float32) / temperature
