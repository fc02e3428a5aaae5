"""AlexNet's lighting noise, against its formula."""

import numpy as np
import pytest

from resnet_tf.input.augment import lighting, streams
from resnet_tf.input.augment.lighting import EIGENVALUES, EIGENVECTORS

import tensorflow as tf  # isort: skip


def box_muller(u, v):
    return np.sqrt(-2 * np.log(1 - u)) * np.cos(2 * np.pi * v)


@pytest.mark.parametrize("std", [0.0, 0.1, 1.5])
def test_equals_the_formula(std, pictures, noise):
    images = pictures(9)
    found = lighting(tf.constant(images), noise(9), std)
    draws = [noise(9).uniform(streams.LIGHTING + i).numpy().astype(float) for i in range(6)]
    for i in range(9):
        alpha = [std * box_muller(draws[2 * j][i], draws[2 * j + 1][i]) for j in range(3)]
        for channel in range(3):
            added = sum(EIGENVECTORS[channel][j] * alpha[j] * EIGENVALUES[j] for j in range(3))
            expected = np.clip(images[i, :, :, channel] + 255 * added, 0, 255)
            np.testing.assert_allclose(found[i, :, :, channel], expected, atol=1e-3)


def test_eigenvectors_are_orthonormal():
    vectors = np.array(EIGENVECTORS)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=2e-4)


def test_spread_of_the_colours(noise):
    images = tf.fill([20000, 1, 1, 3], 127.5)
    added = lighting(images, noise(20000), 0.1).numpy()[:, 0, 0] - 127.5
    vectors, values = np.array(EIGENVECTORS), np.array(EIGENVALUES)
    expected = vectors @ np.diag((25.5 * values) ** 2) @ vectors.T
    assert np.all(np.abs(added.mean(axis=0)) < 5 * np.sqrt(np.diag(expected) / 20000))
    np.testing.assert_allclose(np.cov(added.T), expected, rtol=0.05)


def test_std_below_0(pictures, noise):
    with pytest.raises(ValueError, match=r"^std must be 0 or more, found -0.1$"):
        lighting(tf.constant(pictures(1)), noise(1), -0.1)
