"""A stretch of a file, read when it is wanted."""

import dataclasses
import os
import pathlib


@dataclasses.dataclass(frozen=True, slots=True)
class Stretch:
    """`size` bytes at `offset` of a file."""

    path: pathlib.Path
    offset: int
    size: int

    def read(self) -> bytes:
        """The bytes; from any thread.

        Raises:
          OSError: where the file cannot be read, or has become shorter.
        """
        with open(self.path, "rb", buffering=0) as file:
            data = os.pread(file.fileno(), self.size, self.offset)
        if len(data) < self.size:
            raise OSError(None, "the file became shorter", str(self.path))
        return data
