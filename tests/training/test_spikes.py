"""A loss that stands out: told once, with its records, and nothing is changed by it."""

import made
import numpy as np
import pytest
import small_runs

from resnet_tf.training.spikes import Spikes


def noisy(count, mean=2.0, deviation=0.2, seed=0):
    """Of this geometric mean."""
    return mean * np.exp(np.random.default_rng(seed).normal(0, deviation, count))


@pytest.mark.parametrize(("sigmas", "expected"), [(5.5, False), (6.5, True)])
def test_beyond_six_standard_deviations(sigmas, expected):
    losses = noisy(128)
    mean, deviation = np.log(losses).mean(), np.log(losses).std()
    found = Spikes().seen([*losses, np.exp(mean + sigmas * deviation)])
    assert found == ([(128, pytest.approx(np.exp(mean)))] if expected else [])


def test_nothing_is_said_before_there_are_128():
    assert Spikes().seen([*noisy(127), 100.0]) == []


def test_calls_are_joined_and_the_next_128_are_not_looked_at():
    spikes = Spikes()
    assert spikes.seen(noisy(100)) == [] == spikes.seen(noisy(28))
    assert spikes.seen([2.0, 90.0, 90.0, 90.0]) == [(1, pytest.approx(2.0, rel=0.05))]
    assert spikes.seen([90.0] * 126) == []
    assert spikes.seen([1e4]) == [(0, pytest.approx(90.0))]


def test_losses_that_hardly_differ_are_not_all_spikes():
    spikes = Spikes()
    assert spikes.seen([1.0] * 128 + [1.34]) == []
    assert [place for place, _ in spikes.seen([1.4])] == [0]


def test_losses_of_nothing_are_taken():
    assert Spikes().seen([0.0] * 128 + [0.0, 1e-3]) == [(129, pytest.approx(1e-12))]


def test_small_losses_of_which_some_are_large_are_none():
    """As those of a network that knows nearly all examples."""
    losses = noisy(1000, 0.005, 0.8)
    losses[700] = 0.1
    assert Spikes().seen(losses) == []


def test_forgotten():
    spikes = Spikes()
    spikes.seen(noisy(128))
    spikes.forget()
    assert spikes.seen([100.0]) == []


def test_losses_that_fall_as_in_training_are_none():
    steps = np.arange(5000)
    losses = 2.3 * np.exp(-steps / 1000) + 0.3
    losses *= np.exp(np.random.default_rng(1).normal(0, 0.15, 5000))
    assert Spikes().seen(losses) == []


def test_of_a_run(tmp_path, monkeypatch, two_replicas, capsys):
    """# fault E8"""
    small_runs.use_tiny(monkeypatch, two_replicas)
    records = [made.record(made.png(np.full((8, 8, 3), 128, np.uint8)), 1) for _ in range(149)]
    records.append(
        made.record(made.png(np.random.default_rng(0).choice(np.uint8([0, 255]), (8, 8, 3))), 2)
    )
    splits = {"train": [records], "test": [records[:4]]}
    (tmp_path / "data").mkdir()
    made.data_set(tmp_path / "data", splits, classes=small_runs.CLASSES, size=8)
    told = {"steps": 450, "batch_size": 1, "learning_rate": 0.002, "steps_per_call": 7}
    done = small_runs.train(tmp_path / "data", tmp_path / "run", **told)
    first = small_runs.journal(tmp_path / "run", "loss_spike")[0]
    assert first["records"] == [149] and first["step"] > 128
    assert first["loss"] > 1.35 * first["usual"]
    assert f"step {first['step']}: a loss of {first['loss']:.4g} where" in (capsys.readouterr().err)
    assert done["step"] == 450
