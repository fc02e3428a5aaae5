"""Whether two devices make the update of one: they do, and what is broken on purpose is found."""

import dataclasses

import numpy as np
import pytest
import small_runs

from resnet_tf import models
from resnet_tf.errors import UserError
from resnet_tf.training import as_one, chosen, scaling, start
from resnet_tf.training.as_one import Difference
from resnet_tf.training.gradient import Sums
from resnet_tf.training.run import make_step
from resnet_tf.training.shares import InShares

import tensorflow as tf  # isort: skip

UPDATES = 2


@pytest.fixture(autouse=True, scope="module")
def _normed(two_replicas):
    with pytest.MonkeyPatch.context() as patch:
        small_runs.use_normed(patch, two_replicas)
        yield


@pytest.fixture(scope="module")
def prepare(tmp_path_factory, two_replicas):
    directory = tmp_path_factory.mktemp("data")
    data = small_runs.data_set(directory / "data")

    def run(**told):
        told = {"devices": "cpu:2", "batch_size": 8} | told
        config = small_runs.config(data, directory / "run", **told)
        return start.prepare(config, start.data_of(config), two_replicas)

    return run


@pytest.fixture(scope="module")
def made(prepare):
    """A run, and its twins; their steps are traced once."""
    run = prepare()
    once = as_one.at_once(run)
    return run, once, as_one.in_shares(once, 2)


@pytest.fixture
def usual(made, monkeypatch):
    """The run from its begin, compared with the twins that there are."""
    run, once, in_shares = made
    beginning = run.tensors()
    monkeypatch.setattr(as_one, "at_once", lambda run: once)
    monkeypatch.setattr(as_one, "in_shares", lambda twin, shares: in_shares)
    yield run
    for name, variable in run.variables.items():
        variable.assign(beginning[name])


def verify(run, **told):
    return scaling.verify(run, UPDATES, pytest.fail, **told)


class Wrong:
    """A gradient whose sums are multiplied on the way; by 1 until a test says otherwise."""

    def __init__(self, gradient):
        self._gradient = gradient
        self.variables, self.moved = gradient.variables, gradient.moved
        self.synchronized = gradient.synchronized
        with tf.device("CPU:0"):  # plain variables, so that one trace serves all tests
            names = ("gradients", "one_gradient", "statistics", "loss")
            self.factors = {name: tf.Variable(1.0, trainable=False) for name in names}

    def __call__(self, values, batch):
        sums, by = self._gradient(values, batch), self.factors
        first, *others = (by["gradients"] * g for g in sums.gradients)
        statistics = [by["statistics"] * seen for seen in sums.statistics]
        gradients = [by["one_gradient"] * first, *others]
        return Sums(gradients, statistics, by["loss"] * sums.loss, sums.correct)

    def set(self, **factors):
        for name, variable in self.factors.items():
            variable.assign(factors.get(name, 1.0))


def with_gradient(run, gradient, **changes):
    """A run with the step of another gradient, and of a configuration that is changed."""
    config = dataclasses.replace(run.config, **changes)
    schedule = chosen.schedule_from(config, run.records)
    train = make_step(config, run.strategy, run.state, gradient, schedule)
    return dataclasses.replace(run, train=train)


@pytest.fixture(scope="module")
def made_wrong(made):
    wrong = Wrong(made[0].gradient)
    return with_gradient(made[0], wrong), wrong


@pytest.fixture
def wrong(usual, made_wrong):
    """Verifies the usual run with wrong sums."""
    run, gradient = made_wrong

    def verify_with(**factors):
        gradient.set(**factors)
        return verify(run, whole=False)

    return verify_with


RIGHT = {
    "in parts, dropout": {
        "batch_size": 4, "accumulate": 2, "model_options": {"dropout": 0.3},
    },
    "adam, 16 bits": {"optimizer": "adam", "precision": "bfloat16"},
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_two_replicas_make_the_update_of_one(prepare, name):
    verdict = verify(prepare(**RIGHT[name]), whole=False)
    assert verdict.reason == ""
    assert verdict.statistics == "local" and verdict.exact == "shares"
    assert verdict.largest < 1e-6  # a hundredth of what is let through


def test_synchronised_statistics_are_those_of_the_whole_batch(prepare, monkeypatch):
    """And a gradient of another size is seen, though Adam takes no notice of it."""
    run = prepare(sync_batch_norm=True, optimizer="adam")
    once = as_one.at_once(run)
    monkeypatch.setattr(as_one, "at_once", lambda run: once)
    verdict = verify(run)
    assert (verdict.statistics, verdict.exact) == ("synchronized", "whole batch")
    assert verdict.reason == "" and {tuple(f) for _, f in verdict.updates} == {("whole batch",)}
    twice = Wrong(run.gradient)
    twice.set(gradients=2)
    assert_scale(verify(with_gradient(run, twice)), 2)


def test_local_statistics_are_far_from_the_whole_batch_and_no_mistake(usual):
    told = []
    verdict = verify(usual, tell=lambda step, found: told.append((step, found)))
    assert verdict.reason == "" and verdict.problem() is None
    assert [step for step, _ in told] == [1, 2] and told == verdict.updates
    assert str(verdict).startswith("2 replicas give the update of one, largest difference ")
    assert usual.step.numpy() == UPDATES
    for _, found in verdict.updates:
        assert found["whole batch"].largest > 0.01 > found["shares"].largest


def test_without_batch_norms_both_ways_are_the_same(prepare, monkeypatch):
    monkeypatch.setattr(models, "create_as_told", lambda *_, channels, **__: small_runs.Tiny())
    verdict = verify(prepare())
    assert verdict.statistics == "none" and verdict.reason == ""
    assert all(found["whole batch"].largest < 1e-2 for _, found in verdict.updates)


TWICE = "a sum over replicas that is made twice, or a mean in its place"


def assert_scale(verdict, factor):
    assert verdict.reason.startswith(f"their gradient is {factor} times as long: {TWICE}")
    assert verdict.largest > 0.49  # at once a quarter is let through, in shares a ten-thousandth
    error = verdict.problem()
    assert error.code == 76 and error.where == "--devices" and str(verdict) in error.what


@pytest.mark.parametrize("factor", [2, 0.5])
def test_a_gradient_of_another_scale(wrong, factor):
    assert_scale(wrong(gradients=factor), factor)


def test_a_scale_that_is_wrong_on_one_device_as_well(usual, made, made_wrong, monkeypatch):
    """As where the loss were divided by the examples of a replica; the whole batch shows it."""
    run, twice = made_wrong
    of_one = Wrong(InShares(made[1].gradient, 2))
    for gradient in (twice, of_one):
        gradient.set(gradients=2)
    monkeypatch.setattr(as_one, "in_shares", lambda twin, shares: with_gradient(twin, of_one))
    verdict = scaling.verify(run, 5, pytest.fail)
    assert verdict.largest < 1e-6
    assert verdict.reason.startswith("their gradient is ") and verdict.reason.endswith(TWICE)
    assert scaling._reason(verdict_in_shares(verdict), []) == ""


def verdict_in_shares(verdict):
    """The same without the whole batch."""
    updates = [(step, {"shares": found["shares"]}) for step, found in verdict.updates]
    return dataclasses.replace(verdict, updates=updates, reason="")


@pytest.mark.parametrize(("factors", "reason"), [
    ({"statistics": 2}, "moving statistics are not the mean over replicas ("),
    ({"loss": 2}, "the loss is not the sum over replicas ("),
    # As where a device computes wrongly.
    ({"one_gradient": 1.01}, "their gradients differ: random numbers that depend on the replica"),
])  # fmt: skip
def test_sums_that_are_wrong(wrong, factors, reason):
    assert wrong(**factors).reason.startswith(reason)
    assert wrong().reason == ""


def test_another_update_of_the_same_gradient(usual):
    other = with_gradient(usual, usual.gradient, clip="norm", clip_at=1e-3)
    reason = verify(other, whole=False).reason
    assert reason.startswith("of the same gradient they make another update: decay, clip")


class Later:
    """Gives the batches of the step after."""

    resizes = ()

    def __init__(self, feed):
        self._feed = feed

    def batches(self, step):
        return self._feed.batches(step + 1)


def test_other_pictures(usual):
    later = dataclasses.replace(usual, feed=Later(usual.feed))
    assert verify(later, whole=False).reason == "they were not given the same pictures"


def test_replicas_that_do_not_keep_the_same_values(usual):
    _, second = usual.strategy.experimental_local_results(
        usual.variables["model/stem_norm/moving_mean"]
    )
    second.assign(second + 1)
    reason = verify(usual, whole=False).reason
    assert reason == (
        "they do not keep the same values, 1 variables such as model/stem_norm/moving_mean"
    )


def test_steps_that_the_loss_scale_leaves_out_do_not_count(prepare, monkeypatch):
    run = prepare(precision="float16")
    once = as_one.at_once(run)
    monkeypatch.setattr(as_one, "at_once", lambda run: once)
    run.state.loss_scale.scale.assign(2.0**24)
    verdict = verify(run, whole=False)
    left_out = int(run.state.loss_scale.overflows.numpy())
    assert left_out > 0 and verdict.reason == ""
    assert [step for step, _ in verdict.updates] == [left_out + 1, left_out + 2]

    monkeypatch.setattr(as_one, "_MOST_OVERFLOWS", 0)
    run.state.loss_scale.scale.assign(2.0**24)
    with pytest.raises(UserError, match="ERROR 76: gradients overflow in each of 1 steps"):
        verify(run, whole=False)


def test_a_loss_that_is_not_finite(wrong):
    with pytest.raises(UserError, match="ERROR 76: loss or gradient is not finite at step 1"):
        wrong(loss=np.inf)


def test_what_is_equal_different_and_infinite():
    """|u - v| / max(|u|, |v|) of moves from 1, by hand; a last bit is no difference."""
    before = np.ones(2, np.float32)

    def apart(u, v):
        u, v = (np.asarray(x, np.float32) for x in (u, v))
        return as_one._relative(as_one._squares(before, u, v))

    assert apart([1, 1], [1, 1]) == 0.0
    assert apart([4, 5], [4, 5]) == 0.0
    assert apart([3, 1], [5, 1]) == pytest.approx(2 / 4, rel=1e-6)
    assert apart([4, 1], [1, 5]) == pytest.approx(5 / 4, rel=1e-6)
    assert apart([1, 1 + 2**-22], [1, 1]) == 0.0
    assert apart([np.inf, 1], [1, 1]) == apart([np.nan, 1], [1, 1]) == 2.0


def test_weights_may_differ_more_where_rounding_makes_full_steps():
    def reason(kinds, loose=scaling._OF_ROUNDING):
        found = Difference({"gradient norm": 0, **kinds}, "v", 0.0, 1.0, True)
        return scaling._reason(scaling.Verdict(2, "none", [(1, {"shares": found})], "", loose), [])

    assert reason({"weights": 0.2, "average": 0.2}) == ""
    assert "another update" in reason({"weights": 0.2}, frozenset())
    assert "another update" in reason({"weights": 0.3})
    assert "another update" in reason({"weights": 0.2, "adam_first": 1e-3})


def test_one_unlucky_update_at_once_is_rounding_and_two_of_three_are_not():
    def verdict(*largest):
        made = [
            (step, {"whole batch": Difference({"weights": size, "gradient norm": 0}, "v", size,
                                              1.0, True)})
            for step, size in enumerate(largest, start=1)
        ]  # fmt: skip
        return scaling.Verdict(2, "synchronized", made, "")

    assert scaling._reason(verdict(1e-6, 0.2, 1e-6), []) == ""
    assert "another update" in scaling._reason(verdict(1e-6, 0.3, 1e-6), [])
    assert "another update" in scaling._reason(verdict(0.2, 0.2, 1e-6), [])
