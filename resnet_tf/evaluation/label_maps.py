"""Labels that are not the network's own: groups of its classes, and sets of right answers."""

import json
import os
import pathlib
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from resnet_tf import errors
from resnet_tf.errors import UserError

BY_NAME = "names"


def read_groups(
    source: str, network_classes: Sequence[str], data_classes: Sequence[str]
) -> list[list[int]]:
    """Which of the network's classes stand for each class of the data.

    Args:
      source: "names", where every class of the data is one of the network's by its name; or a
        JSON file {class of the data: a class of the network, or a list of them}.
      network_classes, data_classes: names by label.

    Returns:
      For each class of the data, one number or more.

    Raises:
      UserError: 66 for a file that is missing, 65 for one that is malformed, 78 for names that
        are no classes, classes of the data without any, or one that is used twice.
    """
    if source == BY_NAME:
        told = {name: [name] for name in data_classes}
    else:
        told = _read(source)
        if not isinstance(told, dict):
            raise _malformed(source, "not an object {class of the data: classes of the network}")
        told = {k: [v] if isinstance(v, str) else v for k, v in told.items()}
    numbers = {name: number for number, name in enumerate(network_classes)}
    groups, taken = [], set()
    for name in data_classes:
        members = told.get(name)
        if not members or not isinstance(members, list):
            raise _mismatch(source, f"it gives no class for {name!r} of the data")
        for member in members:
            if not isinstance(member, str) or member not in numbers:
                raise _mismatch(source, f"{member!r} is no class of the network")
            if member in taken:
                raise _mismatch(source, f"the network's class {member!r} stands for two")
            taken.add(member)
        groups.append([numbers[member] for member in members])
    return groups


def read_alternatives(
    source: str | os.PathLike, keys: Sequence[str], classes: Sequence[str]
) -> list[list[int]]:
    """Every label that counts as right for each record, none where the record does not count.

    Beyer et al. 2020 (arXiv 2006.07159), whose `real.json` is a list in the order of the
    validation pictures' names, without their folders where these tell them apart; or an object
    {file name of a record, with or without its folder: labels}. A label is a number or a class's
    name.

    Args:
      source: a JSON file.
      keys: file names of the records, see `input.keys`.
      classes: names by label.

    Raises:
      UserError: 66 for a file that is missing, 65 for one that is malformed, 78 where it does
        not fit the records or classes.
    """
    told = _read(source)
    if isinstance(told, list):
        if len(told) != len(keys):
            raise _mismatch(source, f"it has {len(told)} entries for {len(keys)} records")
        # By whole names where pictures of two folders share one: the order is then plain, too.
        bare = len(_bare_names(keys)) == len(keys)
        told = dict(zip(sorted(keys, key=os.path.basename if bare else None), told))
    if not isinstance(told, dict):
        raise _malformed(source, "neither a list nor an object {file name: labels}")
    whole, bare = _bare_names(keys), _bare_names(told)
    numbers = {name: number for number, name in enumerate(classes)}
    found = []
    for key in keys:
        name = os.path.basename(key)
        # A bare name stands for a picture only where no other has it.
        name = bare.get(name) if name in whole else None
        labels = told.get(key, told.get(name))
        if not isinstance(labels, list):
            raise _mismatch(source, f"it has no list of labels for {key!r}")
        found.append([_label(source, label, numbers) for label in labels])
    return found


def _bare_names(names: Iterable[str]) -> dict[str, str]:
    """{name without its folder: name}, of those that no two share."""
    names = list(names)
    often = Counter(map(os.path.basename, names))
    return {os.path.basename(n): n for n in names if often[os.path.basename(n)] == 1}


def alternative_counts(predicted: np.ndarray, alternatives: Sequence[Sequence[int]]) -> dict:
    """How often the class that comes first is one of the right ones: examples, correct_top1, top1.

    Args:
      predicted: classes `[N]`.
      alternatives: as of `read_alternatives`; records with none are left out.
    """
    counted = [(p, right) for p, right in zip(predicted.tolist(), alternatives) if right]
    correct = sum(p in right for p, right in counted)
    share = round(correct / len(counted), 6) if counted else None
    return {"examples": len(counted), "correct_top1": correct, "top1": share}


def _label(source, label, numbers) -> int:
    if isinstance(label, str) and label in numbers:
        return numbers[label]
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(numbers):
        return label
    raise _mismatch(source, f"{label!r} is no class")


def _read(source: str | os.PathLike) -> object:
    try:
        return json.loads(pathlib.Path(source).read_text(encoding="utf-8-sig"))
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        raise UserError(errors.MISSING_INPUT, what, source, "give another file") from error
    except (ValueError, RecursionError) as error:
        raise _malformed(source, error) from error


def _malformed(source, reason) -> UserError:
    return UserError(errors.BAD_DATA, f"the labels cannot be read: {reason}", source, "mend it")


def _mismatch(source, what: str) -> UserError:
    return UserError(errors.MISMATCH, what, source, "give one for this data and network")
