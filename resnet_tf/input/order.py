"""The order of training examples is a formula of their position, and so is their noise.

Position p counts examples from the first step on. With n records:

    epoch(p) = p div n        record(p) = π(p mod n)    π = permutation of 0..n-1
                                                            chosen by (seed, epoch)

Nothing is shuffled in a buffer, so there is nothing to save: a checkpoint holds one
integer, every position is found in constant time, every record comes once an epoch, and
batches run on across an epoch's end. Replicas and workers take slices of one sequence.

π is TensorFlow's `RandomIndexShuffle`, a cipher on the integers below n, with 16 rounds.
(The public `tf.random.experimental.index_shuffle` fixes 4, at which neighbours in the order
are correlated and the orders of two epochs resemble each other.)
"""

import tensorflow as tf

# The first word of every seed says what the number is for, so that no two uses share one.
_ORDER, _NOISE, _STREAM = 0, 1, 2
_ROUNDS = 16
NOISE_BITS = 40


def epoch_of(positions: tf.Tensor, records: int) -> tf.Tensor:
    """Epoch, from 0, of each position; int64 `[k]`."""
    return positions // records


def record_at(positions: tf.Tensor, records: int, seed: int) -> tf.Tensor:
    """Record at each position.

    Args:
      positions: int64 `[k]`.
      records: n, 1 or more.
      seed: of the run.

    Returns:
      int64 `[k]` in 0..n-1.
    """
    epochs = epoch_of(positions, records)
    return _shuffle(positions % records, _ORDER, seed, epochs, records - 1)


def noise_for(record_ids: tf.Tensor, epochs: tf.Tensor, seed: int) -> tf.Tensor:
    """A random integer below 2**40 for each (seed, epoch, record id); int64 `[k]`."""
    return _shuffle(record_ids, _NOISE, seed, epochs, 2**NOISE_BITS - 1)


def scramble(noise: tf.Tensor, stream: int) -> tf.Tensor:
    """Another random integer below 2**40 for each `noise` and number of a stream; int64 `[k]`."""
    return _shuffle(noise, _STREAM, stream, tf.zeros_like(noise), 2**NOISE_BITS - 1)


def _shuffle(index, purpose, seed, epochs, max_index):
    words = [tf.fill(tf.shape(epochs), tf.constant(word, tf.int64)) for word in (purpose, seed)]
    return tf.raw_ops.RandomIndexShuffle(
        index=index,
        seed=tf.stack([*words, epochs], axis=1),
        max_index=tf.fill(tf.shape(index), tf.constant(max_index, tf.int64)),
        rounds=_ROUNDS,
    )
