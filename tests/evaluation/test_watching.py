"""`new_commits`: each new commit once, the newest of them, until the run is done."""

import json

import numpy as np
import pytest

from resnet_tf import checkpoint
from resnet_tf.errors import UserError
from resnet_tf.evaluation import new_commits


def commit(model_dir, step, **fields):
    return checkpoint.write(
        model_dir / "checkpoints", step, {"model/x": np.full(2, step, np.float32)}, fields
    )


def done(model_dir, digest):
    event = {"event": "done", "step": 9, "digest": digest}
    (model_dir / "journal.jsonl").write_text(json.dumps(event) + "\n")


class Time:
    """Seconds that pass while one sleeps, and what happens then."""

    def __init__(self, *happenings):
        self.now, self.happenings = 0.0, list(happenings)

    def clock(self):
        return self.now

    def sleep(self, seconds):
        assert seconds == 10
        self.now += seconds
        assert self.happenings, "it waits for ever"
        self.happenings.pop(0)()


def watched(model_dir, time, **told):
    return [c.step for c in new_commits(model_dir, sleep=time.sleep, clock=time.clock, **told)]


def nothing():
    pass


def test_each_new_commit_once_until_the_run_is_done(tmp_path):
    run = tmp_path / "run"
    last = {}

    def two_more():
        commit(run, 30)
        last["digest"] = commit(run, 40).manifest["digest"]

    time = Time(
        nothing,  # there is no directory yet
        lambda: commit(run, 10),
        nothing,
        lambda: commit(run, 20),
        two_more,  # of which the older one is passed over
        nothing,
        lambda: done(run, last["digest"]),
    )
    assert watched(run, time) == [10, 20, 40]


def test_a_run_that_is_done_already(tmp_path):
    done(tmp_path, commit(tmp_path, 9).manifest["digest"])
    assert watched(tmp_path, Time()) == [9]


def test_a_run_that_goes_on_after_it_was_done(tmp_path):
    done(tmp_path, commit(tmp_path, 9).manifest["digest"])
    more = commit(tmp_path, 12)
    time = Time(nothing, lambda: done(tmp_path, more.manifest["digest"]))
    assert watched(tmp_path, time) == [12]


def test_patience(tmp_path):
    assert watched(tmp_path / "none", Time(nothing, nothing, nothing), patience=30) == []
    commit(tmp_path, 1)
    time = Time(nothing, lambda: commit(tmp_path, 2), nothing, nothing)
    assert watched(tmp_path, time, patience=20) == [1, 2]


def test_what_is_waited_for_is_said_once(tmp_path):
    said, last = [], {}
    time = Time(
        nothing,
        nothing,
        lambda: commit(tmp_path, 10),
        nothing,
        lambda: last.update(digest=commit(tmp_path, 20).manifest["digest"]),
        lambda: done(tmp_path, "of another commit"),
        lambda: done(tmp_path, last["digest"]),
    )
    assert watched(tmp_path, time, say=said.append) == [10, 20]
    assert said == [
        f"waiting for the first commit in {tmp_path}",
        f"waiting for commits after step 10 in {tmp_path}",
        f"waiting for commits after step 20 in {tmp_path}",
        f"waiting: the run in {tmp_path} was done before step 20, and goes on",
    ]


def test_what_nothing_will_come_after(tmp_path):
    only = commit(tmp_path / "run", 3, config={"steps": 3}).path
    commit(tmp_path / "imported", 0, config=None)
    for place, message in ((only, "this is one commit"), (tmp_path / "imported", "of no run")):
        with pytest.raises(UserError) as caught:
            watched(place, Time())
        assert caught.value.code == 64 and message in str(caught.value)


def test_commits_of_which_none_verifies(tmp_path):
    damaged = commit(tmp_path, 5).path / "manifest.json"
    damaged.write_text("{}")
    with pytest.raises(UserError) as caught:
        watched(tmp_path, Time())
    assert caught.value.code == 78
