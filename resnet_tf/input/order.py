"""The order of training examples is a formula of their position, and so is their noise.

Position p counts examples from the first step on. With n records and `repeats` copies of each:

    q = p div repeats       copy(p) = p mod repeats
    epoch(p) = q div n      record(p) = π(q mod n)      π = permutation of 0..n-1
                                                            chosen by (seed, epoch)

Nothing is shuffled in a buffer, so there is nothing to save: a checkpoint holds one
integer, every position is found in constant time, every record comes once an epoch, and
batches run on across an epoch's end. Replicas and workers take slices of one sequence.

π is TensorFlow's `RandomIndexShuffle`, a cipher on the integers below n, with 16 rounds.
(The public `tf.random.experimental.index_shuffle` fixes 4, at which neighbours in the order
are correlated and the orders of two epochs resemble each other.) Below 65,536 the cipher takes but
8 bits of each of the three words of its key, so seed and epoch are not given to it as they are,
which would make epochs 0 and 256 alike: they are first mixed into 64 bits,

    h = mix(mix(mix(mix(purpose) + seed) + epoch) + w)      in 64 bits, without sign
    key = the bits 0 to 20, 21 to 41 and 43 to 63 of h

    mix(z): z += 0x9E3779B97F4A7C15; z = (z ^ z >> 30) · 0xBF58476D1CE4E5B9;
            z = (z ^ z >> 27) · 0x94D049BB133111EB; z ^ z >> 31

which is SplitMix64's (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
generators"). What a number is for is its purpose, so that no two uses share a key; w is the
number of a window or of a copy, 0 where there is none.

With a *window* of W shards, π first permutes the shards, by (seed, epoch), cuts their list into
windows of W, and then permutes the records of each window. A disk that is slow at random reads
can then be read a window at a time, in sequence; one window over all shards is the π above.
"""

import dataclasses
import functools

import tensorflow as tf

# Purposes.
_ORDER, _NOISE, _STREAM, _SHARDS = 0, 1, 2, 3
_ROUNDS = 16
NOISE_BITS = 40


@dataclasses.dataclass(frozen=True)
class Order:
    """Which record comes at which position of a run.

    Attributes:
      shards: number of records of each shard, in the order of their numbers.
      seed: of the run.
      window: number of shards that are shuffled together; 0 for all.
      repeats: copies of a record that follow each other, each with noise of its own (Hoffer et
        al. 2020, "Augment your batch", arXiv 1901.09335).
    """

    shards: tuple[int, ...]
    seed: int
    window: int = 0
    repeats: int = 1

    @property
    def records(self) -> int:
        """n."""
        return sum(self.shards)

    @property
    def windows(self) -> int:
        """Number of windows in an epoch."""
        return -(-len(self.shards) // self.window) if self.window else 1

    def at(self, positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Record and noise at each position, int64 `[k]` both; see `record_at`, `noise_for`."""
        places, copies = positions // self.repeats, positions % self.repeats
        if self.windows == 1:
            ids = record_at(places, self.records, self.seed)
        else:
            ids = self._in_windows(places)
        epochs = epoch_of(places, self.records)
        return ids, noise_for(ids, epochs, self.seed, copies)

    def shards_of_window(self, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """What the window of this number, counted on over the epochs, holds.

        Args:
          number: int64 scalar.

        Returns:
          Its shards, int64 `[at most window]` and ascending; its first position and the one
          after its last, int64 scalars.
        """
        epoch, window = number // self.windows, number % self.windows
        shards, starts = self._layout(epoch)
        first = window * (self.window or len(self.shards))
        last = tf.minimum(first + (self.window or len(self.shards)), len(self.shards))
        base = epoch * self.records
        return (
            shards[first:last],
            (base + starts[first]) * self.repeats,
            (base + starts[last]) * self.repeats,
        )

    def window_of(self, position: tf.Tensor) -> tf.Tensor:
        """Number of the window, counted on over the epochs, that holds a position (scalars)."""
        place = position // self.repeats
        epoch = place // self.records
        _, starts = self._layout(epoch)
        entry = tf.searchsorted(starts, [place % self.records], side="right", out_type=tf.int64)
        return epoch * self.windows + (entry[0] - 1) // (self.window or len(self.shards))

    def _layout(self, epoch):
        """The shards in the order of their windows, `[s]`, and where each begins, `[s + 1]`."""
        count = len(self.shards)
        size = min(self.window or count, count)
        numbers = tf.range(count, dtype=tf.int64)
        shuffled = _shuffle(numbers, (_SHARDS, self.seed, epoch), count - 1)
        # Ascending inside a window: then one window is no different from none.
        padded = tf.pad(shuffled, [[0, -count % size]], constant_values=count)
        shards = tf.reshape(tf.sort(tf.reshape(padded, [-1, size])), [-1])[:count]
        sizes = tf.gather(tf.constant(self.shards, tf.int64), shards)
        return shards, tf.concat([[0], tf.cumsum(sizes)], axis=0)

    def _in_windows(self, places):
        """π for windows, an epoch of the batch at a time."""
        epochs, which = tf.unique(epoch_of(places, self.records), out_idx=tf.int64)
        n, count = self.records, len(self.shards)
        # Shapes, so that no position at all is no error.
        layout = tuple(tf.TensorSpec([size], tf.int64) for size in (count, count + 1))
        shards, starts = tf.map_fn(self._layout, epochs, fn_output_signature=layout)
        # One long line of all epochs' shards: epoch number u begins at u · n.
        line = starts[:, :-1] + n * tf.range(tf.size(epochs, tf.int64))[:, None]
        line = tf.reshape(line, [-1])
        places = which * n + places % n
        entry = _entry(line, places)
        window = entry % count // self.window
        first = which * count + window * self.window
        after = tf.minimum(first + self.window, (which + 1) * count)
        ends = tf.concat([line, [n * tf.size(epochs, tf.int64)]], axis=0)
        start, end = tf.gather(line, first), tf.gather(ends, after)
        parts = (_ORDER, self.seed, tf.gather(epochs, which), window)
        moved = start + _shuffle(places - start, parts, end - start - 1)
        entry = _entry(line, moved)
        firsts = tf.cumsum(tf.constant(self.shards, tf.int64), exclusive=True)
        return tf.gather(firsts, tf.gather(tf.reshape(shards, [-1]), entry)) + (
            moved - tf.gather(line, entry)
        )


def _entry(starts, places):
    """Number of the shard, in the line of `starts`, that holds each place."""
    return tf.searchsorted(starts, places, side="right", out_type=tf.int64) - 1


def epoch_of(positions: tf.Tensor, records: int) -> tf.Tensor:
    """Epoch, from 0, of each position; int64 `[k]`."""
    return positions // records


def record_at(positions: tf.Tensor, records: int, seed: int) -> tf.Tensor:
    """Record at each position, without windows or repeats.

    Args:
      positions: int64 `[k]`.
      records: n, 1 or more.
      seed: of the run.

    Returns:
      int64 `[k]` in 0..n-1.
    """
    epochs = epoch_of(positions, records)
    return _shuffle(positions % records, (_ORDER, seed, epochs, 0), records - 1)


def noise_for(
    record_ids: tf.Tensor, epochs: tf.Tensor, seed: int, copies: tf.Tensor | int = 0
) -> tf.Tensor:
    """A random integer below 2**40 for each (seed, epoch, record id, copy); int64 `[k]`."""
    return _shuffle(record_ids, (_NOISE, seed, epochs, copies), 2**NOISE_BITS - 1)


def scramble(noise: tf.Tensor, stream: int) -> tf.Tensor:
    """Another random integer below 2**40 for each `noise` and number of a stream; int64 `[k]`."""
    return _shuffle(noise, (_STREAM, stream), 2**NOISE_BITS - 1)


def _shuffle(index, parts, max_index):
    """`index` permuted among 0..max_index by a key of `parts`, each a number or int64 `[k]`."""
    shape = tf.shape(index)
    mixed = functools.reduce(lambda h, part: _mix(h + _unsigned(part)), parts, _unsigned(0))
    words = [
        tf.bitwise.bitwise_and(_shifted(mixed, bits), _unsigned(2**21 - 1)) for bits in (0, 21, 43)
    ]
    return tf.raw_ops.RandomIndexShuffle(
        index=index,
        seed=tf.stack([tf.broadcast_to(tf.cast(w, tf.int64), shape) for w in words], axis=1),
        max_index=tf.broadcast_to(tf.cast(max_index, tf.int64), shape),
        rounds=_ROUNDS,
    )


def _mix(z):
    z += _unsigned(0x9E3779B97F4A7C15)
    z = tf.bitwise.bitwise_xor(z, _shifted(z, 30)) * _unsigned(0xBF58476D1CE4E5B9)
    z = tf.bitwise.bitwise_xor(z, _shifted(z, 27)) * _unsigned(0x94D049BB133111EB)
    return tf.bitwise.bitwise_xor(z, _shifted(z, 31))


def _shifted(z, bits):
    return tf.bitwise.right_shift(z, _unsigned(bits))


def _unsigned(number):
    return tf.cast(number, tf.uint64) if tf.is_tensor(number) else tf.constant(number, tf.uint64)
