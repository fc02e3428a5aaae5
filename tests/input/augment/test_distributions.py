"""Normal, beta and Dirichlet numbers, against their distributions."""

import math

import numpy as np
import pytest

from resnet_tf.input.augment.distributions import beta, dirichlet, normal

import tensorflow as tf  # isort: skip


def largest_gap(sample, distribution):
    """Kolmogorov and Smirnov's statistic, times the root of the sample's size."""
    sample = np.sort(sample)
    steps = np.arange(len(sample) + 1) / len(sample)
    values = np.array([distribution(x) for x in sample])
    return math.sqrt(len(sample)) * max(np.max(values - steps[:-1]), np.max(steps[1:] - values))


def test_normal(noise):
    found = normal(noise(5000), 7).numpy()
    assert largest_gap(found, lambda x: (1 + math.erf(x / math.sqrt(2))) / 2) < 1.95


def test_normal_of_the_ends_is_finite(noise):
    ends = [0.0, 1 - 2.0**-24]
    found = normal(noise(2, given={0: ends, 1: [0.0, 0.5]}), 0)
    np.testing.assert_allclose(found, [0, -math.sqrt(48 * math.log(2))], rtol=1e-6)


def closed_beta(a, b):
    """Distribution functions of Beta(a, b) that need no special function."""
    if (a, b) == (0.5, 0.5):
        return lambda x: 2 / math.pi * math.asin(math.sqrt(x))
    if b == 1:
        return lambda x: x**a
    if a == 1:
        return lambda x: 1 - (1 - x) ** b
    assert (a, b) == (2, 2)
    return lambda x: x * x * (3 - 2 * x)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (0.5, 0.5), (2, 2), (1, 2), (1, 7), (3, 1)])
def test_beta_turns_its_distribution_function_round(a, b, noise):
    shares = np.linspace(0.001, 0.999, 200)
    found = beta(noise(200, given={3: shares}), 3, a, b).numpy()
    back = [closed_beta(a, b)(float(x)) for x in found]
    np.testing.assert_allclose(back, shares, atol=3e-5)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.4, 0.8, 1.0, 4.0])
def test_beta_has_its_mean_variance_and_symmetry(alpha, noise):
    found = beta(noise(4000), 0, alpha, alpha).numpy()
    assert np.all((found >= 0) & (found <= 1))
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(found.mean() - 0.5) < 5 * math.sqrt(variance / 4000)
    assert found.var() == pytest.approx(variance, rel=0.1)
    shares = np.linspace(0.01, 0.49, 50)
    low = beta(noise(50, given={0: shares}), 0, alpha, alpha)
    high = beta(noise(50, given={0: 1 - shares}), 0, alpha, alpha)
    np.testing.assert_allclose(low + high, np.ones(50), atol=2e-4)


@pytest.mark.parametrize("width", [1, 2, 3, 5])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
def test_dirichlet(alpha, width, noise):
    found = dirichlet(noise(3000), 20, alpha, width).numpy()
    assert found.shape == (3000, width)
    assert np.all(found >= -1e-6)
    np.testing.assert_allclose(found.sum(axis=1), np.ones(3000), atol=1e-6)
    mean = 1 / width
    variance = mean * (1 - mean) / (width * alpha + 1)
    assert np.all(np.abs(found.mean(axis=0) - mean) <= 5 * math.sqrt(variance / 3000) + 1e-6)
    np.testing.assert_allclose(found.var(axis=0), width * [variance], rtol=0.15, atol=1e-9)


def test_graph_equals_eager(noise):
    def draw():
        return beta(noise(50), 1, 0.2, 0.2), dirichlet(noise(50), 5, 1, 3), normal(noise(50), 9)

    for eager, traced in zip(draw(), tf.function(draw)()):
        np.testing.assert_allclose(traced, eager, atol=1e-6)
