"""Records that training leaves out, where it is told to go on without them."""

from collections.abc import Sequence

import tensorflow as tf

from resnet_tf.errors import UserError


class BadRecords:
    """The records of a split that were found bad, and what takes their place.

    Each is replaced, whenever its turn comes, by the next sound record of its shard. A record is
    found at the first position that asks for it, and commits hold what was found, so the examples
    of a run are a function of its data and flags as ever.

    Args:
      shards: number of records of each shard.
      limit: how many may be left out; 0 for none.

    Attributes:
      found: record number to the error that names it, in the order in which they were found.
    """

    def __init__(self, shards: Sequence[int], limit: int = 0):
        self._shards = tuple(shards)
        self._limit = limit
        self.found: dict[int, UserError] = {}

    @classmethod
    def none(cls) -> "BadRecords":
        """Allows none: what `add` is given is raised."""
        return cls([], limit=0)

    def add(self, record: int, error: UserError) -> None:
        """Leaves a record out from here on.

        Raises:
          UserError: `error`, where the limit is reached or its shard has nothing sound.
        """
        if len(self.found) >= self._limit:
            raise error
        self.found[record] = error
        try:
            self._substitute(record)
        except ValueError:
            raise error from None

    def replace(self, ids: tf.Tensor) -> tf.Tensor:
        """Record numbers int64 `[k]`, bad ones replaced."""
        if not self.found:
            return ids
        bad = tf.constant(list(self.found), tf.int64)
        instead = tf.constant([self._substitute(record) for record in self.found], tf.int64)
        same = ids[:, None] == bad
        return tf.where(
            tf.reduce_any(same, axis=1), tf.gather(instead, tf.argmax(same, axis=1)), ids
        )

    def _substitute(self, record: int) -> int:
        first = 0
        for size in self._shards:
            if record < first + size:
                break
            first += size
        for step in range(1, size):
            candidate = first + (record - first + step) % size
            if candidate not in self.found:
                return candidate
        raise ValueError("no record of the shard is sound")
