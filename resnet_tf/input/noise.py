"""Random numbers that belong to a record in an epoch, drawn a batch at a time.

Each record of a batch has one integer r (`order.noise_for`). The numbers that are drawn for
it are a function of r and of the *stream*, which says what a number is for:

    u(r, stream) = RandomIndexShuffle(r, seed=(purpose, stream, 0)) / 2^40

so nothing depends on how records are put together into batches, on the number of replicas,
or on which other augmentations are on.
"""

import tensorflow as tf

from resnet_tf.input import order


class Noise:
    """Random numbers of k records.

    `numbers` is readable, to draw for some of the records: `Noise(noise.numbers[...])`.

    Args:
      numbers: int64 `[k]`, from `order.noise_for`.
    """

    def __init__(self, numbers: tf.Tensor):
        self.numbers = numbers

    def uniform(self, stream: int, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
        """float32 `[k]` in [low, high); the same stream always gives the same numbers."""
        # 24 bits are what a float32 below 1 holds.
        bits = tf.cast(_shifted(order.scramble(self.numbers, stream), 16), tf.float32)
        return low + (high - low) * (bits * 2.0**-24)

    def integer(self, stream: int, below: int) -> tf.Tensor:
        """int64 `[k]` in 0..below-1; `below` is at most 2**20."""
        return _shifted(order.scramble(self.numbers, stream) * below, order.NOISE_BITS)

    def coin(self, stream: int, probability: float = 0.5) -> tf.Tensor:
        """bool `[k]`, true with this probability."""
        return self.uniform(stream) < probability

    def octets(self, stream: int, count: int) -> tf.Tensor:
        """uint8 `[k, count]`, each value of 0..255 as often as another: noise for pixels.

        The upper eighth of a 32-bit mix of the stream's number plus 0x9E3779B9 · i, for
        i = 0..count-1 ("lowbias32", Wellons, "Prospecting for Hash Functions", 2018).
        """
        start = tf.cast(order.scramble(self.numbers, stream), tf.uint32)
        steps = tf.cast(tf.range(count), tf.uint32) * tf.constant(0x9E3779B9, tf.uint32)
        mixed = start[:, None] + steps
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            mixed = tf.bitwise.bitwise_xor(mixed, _shifted(mixed, shift))
            mixed *= tf.constant(factor, tf.uint32)
        # The last step of lowbias32, x ^ (x >> 16), leaves the upper eighth as it is.
        return tf.cast(_shifted(mixed, 24), tf.uint8)


def _shifted(numbers, bits):
    return tf.bitwise.right_shift(numbers, tf.constant(bits, numbers.dtype))
