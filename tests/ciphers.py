"""The formula of the order and its noise, written out; only the cipher itself is TensorFlow's."""

import tensorflow as tf


def mix(z):
    """SplitMix64 in whole numbers of Python."""
    mask = 2**64 - 1
    z = (z + 0x9E3779B97F4A7C15) & mask
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
    return z ^ z >> 31


def cipher(index, parts, records):
    """The documented formula, a number at a time but for the cipher itself."""
    h = 0
    for part in parts:
        h = mix((h + part) & 2**64 - 1)
    key = [h & 2**21 - 1, h >> 21 & 2**21 - 1, h >> 43]
    return tf.raw_ops.RandomIndexShuffle(
        index=index,
        seed=tf.constant(key, tf.int64),
        max_index=tf.constant(records - 1, tf.int64),
        rounds=16,
    ).numpy()
