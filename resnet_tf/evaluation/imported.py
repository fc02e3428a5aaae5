"""A model directory made of the weights of another framework, for `load` and `eval.py`."""

import dataclasses
import json
import os
import pathlib

from resnet_tf import errors, models, runtime
from resnet_tf.checkpoint import Commit, foreign
from resnet_tf.errors import UserError, bad_flag
from resnet_tf.evaluation import model_directory
from resnet_tf.files import sha256_of
from resnet_tf.layers import named_variables
from resnet_tf.preprocessing import Preprocessing, refuse_fractions

_LARGEST_SIDE = 4096


def import_weights(
    model: str,
    weights: str | os.PathLike,
    output: str | os.PathLike,
    *,
    options: dict | None = None,
    classes: str | os.PathLike | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    input_size: int | None = None,
    shorter_side: int | None = None,
) -> tuple[Commit, foreign.Translation]:
    """Commits the weights of a file as step 0 of a new model directory.

    The number of classes is read off the weights.

    Args:
      model: a registered name.
      weights: what `foreign.read` takes.
      output: a directory that does not exist yet or is empty.
      options: of the network.
      classes: a file of class names, see `read_classes`; by default the network has none.
      mean, std: a channel, in pixel units; by default the network's usual ones.
      input_size: side of the pictures; by default the network's usual one.
      shorter_side: to which pictures are resized before the middle is cut out; by default in
        the network's usual ratio to the input size.

    Returns:
      The commit, and what was left out of the file.

    Raises:
      UserError: 64, 65, 66, 73, 74 and 78, before anything is written.
    """
    model_directory.refuse_output(output)
    options = options or {}
    # What is told wrong is said before a large file is read.
    usual = _usual_preprocessing(model)
    translation = foreign.translate(foreign.read(weights), weights)
    head = translation.tensors.get("head/bias")
    told = {} if head is None else {"num_classes": len(head)}
    network = models.create_as_told(model, **(told | options))
    shapes = {name: tuple(v.shape) for name, v in named_variables(network).items()}
    tensors = foreign.match(translation, shapes, weights)
    pictures = _pictures(usual, network, mean, std, input_size, shorter_side)
    num_classes = network.options.num_classes
    # These two are said apart, as in the commits of a run.
    others = {k: v for k, v in options.items() if k not in ("num_classes", "channels")}
    fields = {
        "config": None,
        "architecture": {"model": model, "options": others, "num_classes": num_classes},
        "classes": read_classes(classes, num_classes) if classes else None,
        "preprocessing": pictures.to_json(),
        "data": None,
        "environment": runtime.describe(),
        "source": _source(pathlib.Path(weights)),
    }
    state = {f"model/{name}": tensor for name, tensor in tensors.items()}
    return model_directory.write(output, state, fields), translation


def _usual_preprocessing(model: str) -> Preprocessing:
    try:
        return models.usual_preprocessing(model)
    except ValueError as error:
        raise UserError(errors.BAD_FLAGS, error, "--model", "give one of its names") from error


def _pictures(
    usual: Preprocessing,
    network: models.Classifier,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    input_size: int | None,
    shorter_side: int | None,
) -> Preprocessing:
    """The usual pictures with what was told in its place."""
    side = input_size or usual.height
    if not network.smallest_image <= side <= _LARGEST_SIDE:
        rule = f"must be in {network.smallest_image}..{_LARGEST_SIDE}"
        raise bad_flag("input_size", rule, side)
    told = {"mean": mean or usual.mean, "std": std or usual.std}
    if shorter_side:
        told["shorter_side"] = shorter_side
    try:
        refuse_fractions(mean or (), std or ())
        sized = usual.at_size(side, side)
        return dataclasses.replace(sized, channels=network.options.channels, **told)
    except ValueError as error:
        raise UserError(
            errors.BAD_FLAGS,
            f"pictures cannot be prepared: {error}",
            "--mean, --std, --shorter_side",
            "see --helpshort for their meaning",
        ) from error


def _source(path: pathlib.Path) -> dict:
    prefix = foreign.checkpoint_prefix(path.resolve()) or path
    index = prefix.with_name(prefix.name + ".index")
    return {"file": prefix.name, "sha256": sha256_of(index if index.is_file() else prefix)}


def read_classes(path: str | os.PathLike, number: int) -> list[str]:
    """Class names by label, from a text file with a name a line.

    A line may be `synset<TAB>name`, of which the name is taken. A JSON file holds a list of
    names, or is a data set's `dataset.json`.

    Raises:
      UserError: 66 for a missing file, 65 for a malformed one, 78 for another number.
    """
    path = pathlib.Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        names = json.loads(text) if path.suffix == ".json" else _lines(text)
    except OSError as error:
        what = f"cannot read the class names: {error.strerror}"
        raise UserError(errors.MISSING_INPUT, what, path, "give --classes") from error
    except (ValueError, RecursionError) as error:
        raise _bad_classes(path, error) from error
    if isinstance(names, dict):
        names = names.get("classes")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _bad_classes(path, "not a list of names")
    names = [name.partition("\t")[2].strip() or name.strip() for name in names]
    if not all(names):
        raise _bad_classes(path, f"line {names.index('') + 1} is empty")
    if len(names) != number:
        raise UserError(
            errors.MISMATCH,
            f"{len(names)} class names for a network of {number} classes",
            path,
            "give a name for each class, in the order of the labels",
        )
    return names


def _lines(text: str) -> list[str]:
    """Lines, without empty ones at the end; a form feed, say, ends none."""
    return text.rstrip().split("\n") if text.strip() else []


def _bad_classes(path: pathlib.Path, reason: object) -> UserError:
    return UserError(
        errors.BAD_DATA, f"the class names cannot be read: {reason}", path, "give a name a line"
    )
