"""What a manifest says of a network, looked at before anything is made of it.

The seal of a manifest shows damage. It proves nothing about who wrote it.
"""

import dataclasses

from resnet_tf import errors
from resnet_tf.checkpoint.commit import Commit
from resnet_tf.config import Config
from resnet_tf.errors import UserError
from resnet_tf.preprocessing import Preprocessing


def described(commit: Commit, *also: str) -> Commit:
    """The commit, if its manifest has what that of a network has, each field of its kind.

    Args:
      commit: verified.
      also: what it must have besides, of "data" and "config".

    Raises:
      UserError: 78 where it has not.
    """
    try:
        _look(commit.manifest, also)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"its manifest describes no network: {type(error).__name__} {error}"
        raise UserError(errors.MISMATCH, what, commit.path, "choose another one") from error
    return commit


def _look(manifest: dict, also: tuple[str, ...]) -> None:
    architecture, classes = manifest["architecture"], manifest["classes"]
    _be("architecture", architecture, dict)
    _be("model", architecture["model"], str)
    _be("options", architecture["options"], dict)
    _be("num_classes", architecture["num_classes"], int)
    _be("environment", manifest["environment"], dict)
    if classes is not None:
        _be("classes", classes, list)
        for name in classes:
            _be("classes", name, str)
        if len(classes) != architecture["num_classes"]:
            raise ValueError(f"{len(classes)} names of {architecture['num_classes']} classes")
    pictures = Preprocessing.from_json(manifest["preprocessing"])
    for name in ("height", "width", "channels"):
        _be(name, getattr(pictures, name), int)
    told = {name: manifest[name] for name in also}
    if told.get("data") is not None:
        for name in ("directory", "eval_split"):
            _be(name, told["data"][name], str)
    if told.get("config") is not None:
        _look_at_config(told["config"])
        if "data" in told:  # of a run, not of weights alone
            _be("data", told["data"], dict)
            _be("fingerprint", told["data"]["fingerprint"], str)


def _look_at_config(fields: dict) -> None:
    """Its values are of the types of the defaults."""
    _be("config", fields, dict)
    for field in dataclasses.fields(Config):
        if field.name not in fields:
            continue
        default = {} if field.default is dataclasses.MISSING else field.default
        kind = list if isinstance(default, tuple) else type(default)
        _be(field.name, fields[field.name], (int, float) if kind is float else kind)
    try:
        Config.from_json(fields)
    except UserError as error:
        raise ValueError(f"{error.where}: {error.what}") from error


def _be(name: str, value: object, kind: type | tuple) -> None:
    truth = isinstance(value, bool) and kind is not bool
    if truth or not isinstance(value, kind):
        raise TypeError(f"{name} is {value!r:.60}")
