"""Single records read again, to name them or to show them."""

import collections
import contextlib
import pathlib

from resnet_tf.input.manifest import Features
from resnet_tf.inspection import records, shards
from resnet_tf.inspection.framing import HEADER_BYTES
from resnet_tf.inspection.survey import Table

_OPEN = 16  # files at a time


class Reader:
    """Reads records of shards that were looked at.

    Args:
      directory: of the shards.
      features: the names of the fields.
    """

    def __init__(self, directory: pathlib.Path, features: Features):
        self._directory, self._features = directory, features
        self._open = collections.OrderedDict()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def record(self, table: Table, number: int) -> records.Record:
        """One record."""
        data = self._data(table.file)
        start = int(table.rows["offset"][number])
        length = int.from_bytes(data[start : start + 8], "little")
        payload = data[start + HEADER_BYTES : start + HEADER_BYTES + length]
        return records.look(payload, self._features)

    def place(self, table: Table, number: int) -> dict:
        """File, record, offset and key, as `Finding` has them."""
        return {
            "file": table.file,
            "record": number,
            "offset": int(table.rows["offset"][number]),
            "key": self.record(table, number).key,
        }

    def _data(self, file: str):
        if file not in self._open:
            stack = contextlib.ExitStack()
            data = stack.enter_context(shards.opened(self._directory / file))
            if len(self._open) == _OPEN:
                self._open.popitem(last=False)[1].close()
            self._open[file] = stack
            stack.data = data
        self._open.move_to_end(file)
        return self._open[file].data
