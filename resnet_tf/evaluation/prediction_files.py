"""Predictions as a table that other programs read: CSV, or Parquet where the name ends so.

Columns: `key`, what names the record; `label`, its true class; `loss`; `top1` … `top5`, the
classes that come first, and `score1` … `score5`, their probabilities (fewer where there are
fewer classes). Classes stand there by name.
"""

import csv
import io
import os
import pathlib
import re
import uuid
from collections.abc import Sequence

import numpy as np

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.evaluation.predictions import Predictions
from resnet_tf.files import replace_synced, sync

ENDINGS = (".csv", ".parquet")


def write(
    path: str | os.PathLike, predictions: Predictions, keys: Sequence[str], names: Sequence[str]
) -> None:
    """Writes a row a record, in the order of the disk; the file is there whole or not at all.

    Raises:
      UserError: 73 where it cannot be written.
    """
    path, table = pathlib.Path(path), columns(predictions, keys, names)
    try:
        if path.suffix.lower() == ".parquet":
            _write_parquet(path, table)
        else:
            replace_synced(path, _csv(table))
    except OSError as error:
        what = f"cannot be written: {error.strerror or error}"
        raise UserError(errors.CANNOT_CREATE, what, path, "give another file") from error


def read(path: str | os.PathLike) -> dict[str, list]:
    """The columns of such a file: text, but for `loss` and the scores, which are floats.

    Columns of other names are left out.

    Raises:
      UserError: 66 for a file that is missing, 65 for another kind of file.
    """
    path = pathlib.Path(path)
    try:
        is_parquet = path.suffix.lower() == ".parquet"
        return _checked(_read_parquet(path) if is_parquet else _read_csv(path))
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        raise UserError(errors.MISSING_INPUT, what, path, "give another file") from error
    except ValueError as error:
        what, remedy = f"this is no file of predictions: {error}", "make one: eval.py --predictions"
        raise UserError(errors.BAD_DATA, what, path, remedy) from error


def _checked(table: dict[str, list]) -> dict[str, list]:
    """The columns that are ours, of the types that they have."""
    for name in ("key", "label", "loss", "top1", "score1"):
        if name not in table:
            raise ValueError(f"it has no column {name}")
    return {
        name: [(_float if _numeric(name) else _text)(name, entry) for entry in column]
        for name, column in table.items()
        if _numeric(name) or re.fullmatch(r"key|label|top\d+", name)
    }


def _float(name: str, entry: object) -> float:
    try:
        return float(entry)
    except (TypeError, ValueError):
        raise ValueError(f"column {name} has no number in {entry!r}") from None


def _text(name: str, entry: object) -> str:
    # Another program may have taken classes that are called 0, 1, … for numbers.
    if isinstance(entry, int) and not isinstance(entry, bool):
        return str(entry)
    if not isinstance(entry, str):
        raise ValueError(f"column {name} has no text in {entry!r}")
    return entry


def columns(predictions: Predictions, keys: Sequence[str], names: Sequence[str]) -> dict[str, list]:
    """The columns of the table, by their names, each with an entry a record."""
    names = np.array(names, dtype=object)
    places = range(predictions.top.shape[1])
    # Keys are bytes of file systems, which may be no UTF-8.
    keys = [key.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for key in keys]
    return {
        "key": keys,
        "label": names[predictions.labels].tolist(),
        "loss": predictions.losses.astype(np.float64).tolist(),
        **{f"top{k + 1}": names[predictions.top[:, k]].tolist() for k in places},
        **{f"score{k + 1}": predictions.scores[:, k].astype(float).tolist() for k in places},
    }


def _csv(table: dict[str, list]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    shown = [
        [f"{x:.6g}" for x in column] if _numeric(name) else column for name, column in table.items()
    ]
    writer.writerows(zip(*shown))
    return text.getvalue()


def _read_csv(path: pathlib.Path) -> dict[str, list]:
    # Spreadsheets put a mark of three bytes before the text.
    with open(path, newline="", encoding="utf-8-sig") as file:
        try:
            rows = list(csv.reader(file, strict=True))
        except csv.Error as error:
            raise ValueError(error) from error
    if not rows:
        raise ValueError("it is empty")
    heading, *rows = rows
    if any(len(row) != len(heading) for row in rows):
        raise ValueError("its rows differ in length")
    return dict(zip(heading, map(list, zip(*rows)))) if rows else {name: [] for name in heading}


def _write_parquet(path: pathlib.Path, table: dict[str, list]) -> None:
    # Comes with tensorflow-datasets; imported here, since it takes its time.
    import pyarrow
    import pyarrow.parquet

    written = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(table), written)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.write_bytes(written.getbuffer())
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _read_parquet(path: pathlib.Path) -> dict[str, list]:
    import pyarrow
    import pyarrow.parquet

    if not path.stat().st_size:
        raise ValueError("it is empty")
    try:
        return pyarrow.parquet.read_table(path).to_pydict()
    except pyarrow.ArrowException as error:
        raise ValueError(error) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(error) from error  # what pyarrow says of a damaged file


def _numeric(name: str) -> bool:
    return bool(re.fullmatch(r"loss|score\d+", name))
