import math
import warnings

import numpy as np
import pytest
import tensorflow as tf

from resnet_tf.training import rate_finder

RATES = np.geomspace(1e-6, 10.0, 141)  # 20 a decade


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def valley(rates=RATES):
    """Flat at 2.3, falls by 1.6 about 10^-2.5, rises without end from 10^-0.5 on."""
    x = np.log10(rates)
    return 2.3 - 1.6 / (1 + np.exp(-(x + 2.5) * 4)) + 0.02 * np.exp(6 * (x + 0.6))


def straight(slope):
    """20 losses of 5, 100 on a line of `slope` a step, none of which diverges."""
    return np.concatenate([np.full(20, 5.0), 5.0 + slope * np.arange(1, 101)])


def test_a_ramp_is_a_straight_line_of_logarithms():
    schedule = rate_finder.ramp(1e-4, 1.0, 9)
    found = schedule(tf.range(9, dtype=tf.int64)).numpy()
    np.testing.assert_allclose(found, 10.0 ** np.arange(-4, 0.5, 0.5), rtol=1e-6)
    assert found.dtype == np.float32
    assert tf.function(schedule)(tf.constant(4, tf.int64)).numpy() == pytest.approx(1e-2)


@pytest.mark.parametrize("low, high", [(0.0, 1.0), (-1.0, 1.0), (0.1, 0.1), (1.0, 0.1)])
def test_a_ramp_must_rise(low, high):
    with pytest.raises(ValueError, match=f"rates must be above 0 and rise, got {low} to {high}"):
        rate_finder.ramp(low, high, 10)


def test_a_ramp_has_two_ends():
    with pytest.raises(ValueError, match="a ramp needs 2 steps or more, got 1"):
        rate_finder.ramp(0.1, 1.0, 1)


def test_smoothed_losses_by_hand():
    """Weights 1; 0.9 and 1 of 1.9; 0.81, 0.9 and 1 of 2.71."""
    found = rate_finder.smooth([1.0, 2.0, 4.0])
    np.testing.assert_allclose(found, [1.0, 2.9 / 1.9, 6.61 / 2.71], rtol=1e-12)


def test_smoothing_leaves_a_constant_alone():
    np.testing.assert_allclose(rate_finder.smooth([3.0] * 50), 3.0, rtol=1e-12)


def test_smoothing_lags_nine_steps_behind_a_line():
    assert rate_finder.smooth(np.arange(300.0))[-1] == pytest.approx(299 - 9)


def test_diverged_is_above_four_times_the_lowest():
    """At loss x the mean is (0.9 · m + x) / 1.9 = 4 for m = 1 and x = 6.7."""
    assert not rate_finder.has_diverged([1.0, 6.699])
    assert rate_finder.has_diverged([1.0, 6.701])


def test_a_loss_that_has_come_back_had_diverged():
    assert rate_finder.has_diverged([1.0, 100.0] + [1.0] * 100)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_has_diverged(loss):
    assert rate_finder.has_diverged([1.0, loss])
    assert rate_finder.has_diverged([loss])
    assert rate_finder.has_diverged([1.0, loss, 1.0, -loss])


@pytest.mark.parametrize("losses", [[], [2.0], [2.0, 3.0, 1.0], straight(-0.04)])
def test_other_losses_have_not_diverged(losses):
    assert not rate_finder.has_diverged(losses)


def test_a_fall_that_ends_is_steepest_at_its_end():
    """A line is fallen down faster and faster by its mean, until at loss 120 it stops."""
    losses = np.concatenate([straight(-0.04), np.full(21, 1.0)])
    found = rate_finder.suggest(RATES, losses)
    # Of the steps of the mean, 0.04 · (1 - 0.9^k), the last of the line is the largest.
    assert found == rate_finder.Suggestion(
        rate=pytest.approx(RATES[118]), lowest=pytest.approx(RATES[140]), diverged=None
    )


def test_slopes_are_of_logarithms():
    """By 0.02 a step of 1.2 %, then by 0.04 a step of 8 %: the first is the steeper line."""
    rates = np.concatenate([np.geomspace(0.01, 0.02, 60), np.geomspace(0.02, 2.0, 61)[1:]])
    falls = np.concatenate([np.full(60, 0.02), np.full(60, 0.04)])
    losses = 5 - np.cumsum(falls)
    assert np.diff(rate_finder.smooth(losses)).argmin() == 118  # steepest by steps
    assert rate_finder.suggest(rates, losses).rate == rates[58]


def test_a_valley():
    found = rate_finder.suggest(RATES, valley())
    lag = 10 ** (9 / 20)
    assert 10**-2.5 <= found.rate <= 10**-2.5 * lag
    steep = np.argmin(valley())
    assert RATES[steep] <= found.lowest <= RATES[steep] * lag**2
    until = RATES.tolist().index(found.diverged)
    assert rate_finder.has_diverged(valley()[: until + 1])
    assert not rate_finder.has_diverged(valley()[:until])


@pytest.mark.parametrize("seed", range(5))
def test_a_noisy_valley(seed):
    noise = 0.1 * np.random.default_rng(seed).normal(size=len(RATES))
    found = rate_finder.suggest(RATES, valley() + noise)
    assert 10**-3 < found.rate < 10**-1.5 < found.lowest < found.diverged


@pytest.mark.parametrize("last", [math.nan, math.inf, 1e9])
def test_what_follows_divergence_is_not_looked_at(last):
    losses = valley()
    losses[110:] = [last] + [0.0] * 30
    found = rate_finder.suggest(RATES, losses)
    assert found.diverged == RATES[110]
    assert found.lowest < found.diverged
    assert found.rate == rate_finder.suggest(RATES, valley()).rate


def test_the_first_ten_losses_are_not_looked_at():
    """The second is a steeper fall than any later, and of noise."""
    losses = straight(-0.04)
    losses[0] = 6.0
    slopes = np.diff(rate_finder.smooth(losses))
    assert slopes.argmin() == 0
    assert rate_finder.suggest(RATES[:120], losses).rate == RATES[118]


def test_lists_will_do():
    found = rate_finder.suggest(RATES.tolist(), valley().tolist())
    assert found == rate_finder.suggest(RATES, valley())
    assert all(type(value) is float for value in (found.rate, found.lowest, found.diverged))


def test_too_few_losses():
    falling = np.linspace(5, 2, 20)
    assert rate_finder.suggest(RATES[:20], falling).diverged is None
    with pytest.raises(ValueError, match="20 losses before they diverge are needed, got 19"):
        rate_finder.suggest(RATES[:19], falling[:19])
    with pytest.raises(ValueError, match="20 losses before they diverge are needed, got 12"):
        rate_finder.suggest(RATES, [*falling[:12], math.inf, *[1.0] * 128])
    with pytest.raises(ValueError, match="20 losses before they diverge are needed, got 0"):
        rate_finder.suggest([], [])


@pytest.mark.parametrize(
    "losses",
    [np.full(120, 2.0), straight(0.02), [9.0, 1.0, *np.arange(5, 10, 0.05)], straight(-0.0004)],
    ids=["flat", "rising", "falling at once", "falling by less than 1 %"],
)
def test_a_loss_that_never_falls(losses):
    message = r"the loss never falls: by 0\.\d\d% after its first 10 steps"
    with pytest.raises(ValueError, match=message):
        rate_finder.suggest(RATES[: len(losses)], losses)


def test_a_fall_of_one_per_cent_is_one():
    assert rate_finder.suggest(RATES[:120], straight(-0.0006)).rate == RATES[118]


def test_a_loss_for_each_rate():
    with pytest.raises(ValueError, match="each rate needs a loss, got 141 and 140"):
        rate_finder.suggest(RATES, valley()[:-1])


@pytest.mark.parametrize("rates", [RATES[::-1], RATES - 1e-6, np.full(141, 0.1)])
def test_rates_must_rise(rates):
    with pytest.raises(ValueError, match="rates must be above 0 and rise"):
        rate_finder.suggest(rates, valley())


def has_colour(picture, red, green, blue):
    """Where pixels are of a colour, give or take what an edge is blended with."""
    return (np.abs(picture.astype(int) - [red, green, blue]) < 20).all(-1)


def test_the_picture_shows_the_curve_and_its_marks(tmp_path):
    path = tmp_path / "finder.png"
    losses = valley()
    losses[130:] = math.nan
    found = rate_finder.suggest(RATES, losses)
    rate_finder.draw(RATES, losses, found, path)
    picture = tf.io.decode_png(path.read_bytes(), 3).numpy()
    assert picture.shape == (600, 960, 3)
    blue = has_colour(picture, 31, 119, 180)
    assert blue.any(0).sum() > 600  # the smoothed loss goes across it
    # The suggestion is a line from top to bottom, left of the lowest one.
    red, green = has_colour(picture, 214, 39, 40), has_colour(picture, 44, 160, 44)
    assert red.sum(0).max() > 400 and green.sum(0).max() > 200
    assert red.sum(0).argmax() < green.sum(0).argmax()


def test_a_picture_of_losses_that_did_not_diverge(tmp_path):
    path = tmp_path / "finder.png"
    found = rate_finder.suggest(RATES[:110], valley()[:110])
    assert found.diverged is None
    rate_finder.draw(RATES[:110], valley()[:110], found, str(path))
    assert tf.io.decode_png(path.read_bytes()).shape[:2] == (600, 960)


def row_of_dot(picture, *colour):
    """Where the mark of a colour is widest, along its upright line."""
    mask = has_colour(picture, *colour)
    column = mask.sum(0).argmax()
    return mask[:, column - 5 : column + 6].sum(1).argmax()


def test_how_far_losses_went_up_does_not_flatten_the_picture(tmp_path):
    """Up to 10^9, and yet what is left of the fall of 1.6 takes a fifth of the height or more."""
    path = tmp_path / "finder.png"
    losses = valley()
    losses[125:] = 1e9
    rate_finder.draw(RATES, losses, rate_finder.suggest(RATES, losses), path)
    picture = tf.io.decode_png(path.read_bytes(), 3).numpy()
    assert row_of_dot(picture, 44, 160, 44) - row_of_dot(picture, 214, 39, 40) > 120


def test_a_picture_that_cannot_be_written(tmp_path):
    with pytest.raises(OSError):
        rate_finder.draw(RATES, valley(), rate_finder.suggest(RATES, valley()), tmp_path)
