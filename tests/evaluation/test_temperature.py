"""Temperatures beside commits: kept by digest and weights, and every way in which they fail."""

import numpy as np
import pytest
import small_commits

from resnet_tf import checkpoint
from resnet_tf.errors import UserError
from resnet_tf.evaluation import Predictions, temperature
from resnet_tf.preprocessing import Preprocessing

PICTURES = Preprocessing(8, 8, 3, mean=(120.0,) * 3, std=(60.0,) * 3)


@pytest.fixture
def commit(tmp_path):
    return small_commits.commit(tmp_path / "run/checkpoints", ["a", "b"], PICTURES, depth=8,
                                width_multiplier=0.25)  # fmt: skip


def refused(code, message, function, *arguments):
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert caught.value.code == code and message in str(caught.value)


def test_it_lies_in_the_model_directory_for_these_weights(commit, tmp_path):
    refused(66, "no temperature was fitted for step 4 with its raw weights",
            temperature.stored, commit, "raw")  # fmt: skip
    path = temperature.store(commit, "raw", {"temperature": 1.5})
    assert path == tmp_path / "run/temperatures.json"
    temperature.store(commit, "average", {"temperature": 0.5})
    temperature.store(commit, "raw", {"temperature": 2.5, "split": "held out"})
    assert temperature.stored(commit, "raw") == (2.5, "held out")
    assert temperature.stored(commit, "average") == (0.5, None)
    other = checkpoint.write(commit.path.parent, 5, {"model/x": np.ones(2, np.float32)}, {})
    refused(66, "for step 5", temperature.stored, other, "raw")


def test_it_lies_beside_a_commit_that_stands_alone(commit, tmp_path):
    commit.path.rename(tmp_path / "alone")
    alone = checkpoint.find(tmp_path / "alone")
    assert temperature.store(alone, "raw", {"temperature": 2.0}).parent == tmp_path


@pytest.mark.parametrize("text", ["{", "[]", '{"KEY": 3}', '{"KEY": {"temperature": -1}}',
                                  '{"KEY": {"temperature": "warm"}}'])  # fmt: skip
def test_a_file_that_is_malformed(commit, tmp_path, text):
    text = text.replace("KEY", f"{commit.manifest['digest']}/raw")
    (tmp_path / "run/temperatures.json").write_text(text)
    refused(65, "the temperatures cannot be read: ", temperature.stored, commit, "raw")


def test_a_place_that_cannot_be_written_or_read(commit, tmp_path):
    (tmp_path / "run/temperatures.json").mkdir()
    refused(66, "cannot be read: ", temperature.stored, commit, "raw")
    refused(66, "cannot be read: ", temperature.store, commit, "raw", {"temperature": 1.0})


def test_logits_that_are_not_finite():
    rows = Predictions(*[np.zeros(1)] * 3, *[np.zeros((1, 2))] * 2, logits=np.array([[1, np.nan]]))
    refused(76, "a logit is not finite", temperature.fit, rows)
