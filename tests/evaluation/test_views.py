"""`evaluation.views`: flips, crops, groups and temperatures, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from resnet_tf.evaluation import views
from resnet_tf.preprocessing import Preprocessing


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def network(images, training):
    """Logits that tell places apart: the first column's pixels."""
    assert training is False
    return tf.reshape(images[:, :2, 0, :2], [-1, 4]) * 3


IMAGES = np.random.default_rng(0).random((5, 6, 7, 3)).astype(np.float32)


def expected(cuts, flip):
    seen = [IMAGES[:, top : top + 4, left : left + 5] for top, left in cuts]
    seen += [image[:, :, ::-1] for image in seen] if flip else []
    return np.mean([softmax(network(image, False).numpy()) for image in seen], axis=0)


CORNERS = [(1, 1), (0, 0), (0, 2), (2, 0), (2, 2)]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("crops", [1, 5])
def test_mean_of_the_views_probabilities(crops, flip):
    model = views.over_views(network, 4, 5, crops=crops, flip=flip)
    images = IMAGES if crops > 1 else IMAGES[:, 1:5, 1:6]
    found = model(tf.constant(images), training=False).numpy()
    np.testing.assert_allclose(softmax(found), expected(CORNERS[:crops], flip), rtol=1e-5)
    if crops > 1 or flip:
        np.testing.assert_allclose(np.exp(found), softmax(found), rtol=1e-5)
    else:
        assert model is network


@pytest.mark.parametrize(
    "pictures, expected",
    [
        ({"height": 224, "width": 224}, (256, 256, None)),
        ({"height": 224, "width": 224, "shorter_side": 256}, (256, 256, 256)),
        ({"height": 224, "width": 224, "shorter_side": 224}, (256, 256, 256)),
        ({"height": 224, "width": 224, "shorter_side": 300}, (256, 256, 300)),
        ({"height": 224, "width": 224, "central_fraction": 0.875}, (256, 256, None)),
        ({"height": 32, "width": 28}, (37, 32, None)),
    ],
)
def test_room_for_crops(pictures, expected):
    found = views.with_room(Preprocessing(channels=1, mean=(0.0,), std=(255.0,), **pictures))
    assert (found.height, found.width, found.shorter_side) == expected


@pytest.mark.parametrize("groups", [[[2], [0]], [[3, 1], [0], [2]], [[0, 1, 2, 3]]])
def test_groups_have_the_sum_of_their_members_probabilities(groups):
    images = tf.constant(IMAGES)
    shares = softmax(network(images, False).numpy())
    sums = np.stack([shares[:, members].sum(axis=1) for members in groups], axis=1)
    found = views.over_groups(network, groups)(images, training=False).numpy()
    np.testing.assert_allclose(softmax(found), sums / sums.sum(axis=1, keepdims=True), rtol=1e-5)


def test_groups_of_logits_far_apart():
    far = tf.constant([[1000.0, -1000.0, 999.0, -1001.0]])
    found = views.over_groups(lambda images, training: images, [[0, 2], [1, 3]])(far, False)
    expected = [[1000 + np.log1p(np.exp(-1)), -1000 + np.log1p(np.exp(-1))]]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_temperature():
    images = tf.constant(IMAGES)
    assert views.at_temperature(network, 1.0) is network
    found = views.at_temperature(network, 2.5)(images, training=False)
    np.testing.assert_allclose(found.numpy(), network(images, False).numpy() / 2.5, rtol=1e-6)
