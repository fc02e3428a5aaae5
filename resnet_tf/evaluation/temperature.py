"""Temperatures that were fitted for commits, kept beside them in `temperatures.json`.

Guo et al. 2017 (arXiv 1706.04599): logits / T, with T fitted on a split that was not trained on,
give probabilities that are right as often as they say; which class comes first stays. A commit is
sealed, so its temperature lies in the model directory, under the commit's digest and the weights
that it was fitted for.
"""

import json
import os
import pathlib

import numpy as np

from resnet_tf import errors
from resnet_tf.checkpoint import Commit
from resnet_tf.errors import UserError
from resnet_tf.evaluation import metrics
from resnet_tf.evaluation.predictions import Predictions
from resnet_tf.files import replace_synced

FILE_NAME = "temperatures.json"


def fit(predictions: Predictions) -> dict:
    """temperature, and the mean loss before and after, from rows with logits.

    Raises:
      UserError: 76 where a logit is not finite.
    """
    logits, labels = predictions.logits, predictions.labels
    if not np.isfinite(logits).all():
        raise UserError(
            errors.NUMERICAL, "a logit is not finite", "--fit_temperature", "give another commit"
        )
    temperature = metrics.fit_temperature(logits, labels)
    return {
        "temperature": temperature,
        "loss_before": metrics.cross_entropy(logits, labels),
        "loss_after": metrics.cross_entropy(logits / temperature, labels),
    }


def store(commit: Commit, weights: str, fields: dict) -> pathlib.Path:
    """Keeps `fields`, a "temperature" among them, for a commit; one that is there is replaced.

    Raises:
      UserError: 73 where the file cannot be written, 65 where it is malformed.
    """
    path = _path(commit)
    known = _read(path)
    known[_key(commit, weights)] = {"step": commit.step, "weights": weights, **fields}
    try:
        replace_synced(path, json.dumps(known, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        what = f"cannot be written: {error.strerror or error}"
        remedy = "copy the commit to where you can write"
        raise UserError(errors.CANNOT_CREATE, what, path, remedy) from error
    return path


def stored(commit: Commit, weights: str) -> tuple[float, str | None]:
    """The temperature of a commit, and the split that it was fitted on, where that is known.

    Raises:
      UserError: 66 where none was fitted, 65 where the file is malformed.
    """
    path = _path(commit)
    try:
        fields = _read(path)[_key(commit, weights)]
        temperature = float(fields["temperature"])
        if not 0 < temperature < float("inf"):
            raise ValueError(f"temperature {temperature}")
    except KeyError as error:
        raise UserError(
            errors.MISSING_INPUT,
            f"no temperature was fitted for step {commit.step} with its {weights} weights",
            path,
            "eval.py --fit_temperature --split=… fits one on data that was not trained on",
        ) from error
    except (TypeError, ValueError) as error:
        raise _malformed(path, error) from error
    split = fields.get("split")
    return temperature, split if isinstance(split, str) else None


def _path(commit: Commit) -> pathlib.Path:
    above = commit.path.absolute().parent
    return (above.parent if above.name == "checkpoints" else above) / FILE_NAME


def _key(commit: Commit, weights: str) -> str:
    return f"{commit.manifest['digest']}/{weights}"


def _read(path: str | os.PathLike) -> dict:
    try:
        known = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        raise UserError(errors.MISSING_INPUT, what, path, "see that it can be read") from error
    except (ValueError, RecursionError) as error:
        raise _malformed(path, error) from error
    if not isinstance(known, dict):
        raise _malformed(path, "not an object")
    return known


def _malformed(path, reason) -> UserError:
    what = f"the temperatures cannot be read: {reason}"
    return UserError(errors.BAD_DATA, what, path, "remove it and fit again")
