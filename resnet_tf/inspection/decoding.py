"""Pictures decoded many at a time, only to see that they can be, and to sum their pixels up."""

import concurrent.futures
import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from resnet_tf.input import images

# Larger ones are gone through in bands of rows, alone, so that memory stays bounded.
_LARGE = 4 * 2**20  # pixels


@dataclasses.dataclass(frozen=True)
class Pixels:
    """What is known of decoded pictures, all read as RGB.

    Attributes:
      decodes: bool `[n]`; what follows is zero where it is False.
      count: int64 `[n]`, pixels.
      sums, squares: float64 `[n, 3]`, of values and of their squares.
      varies: bool `[n]`, whether any pixel differs from the first.
      first: uint8 `[n, 3]`, the first pixel.
    """

    decodes: np.ndarray
    count: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    varies: np.ndarray
    first: np.ndarray


class Decoder:
    """Decodes batches in the background, in C++, `workers` pictures at a time."""

    def __init__(self, workers: int):
        self._thread = concurrent.futures.ThreadPoolExecutor(1)
        self._measure_all = _measuring(workers)

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown(cancel_futures=True)

    def submit(self, encoded: Sequence[bytes], pixels: Sequence[int]) -> concurrent.futures.Future:
        """Starts on a batch; the future holds its `Pixels`.

        Args:
          encoded: JPEG or PNG.
          pixels: of each picture, by its header.
        """
        return self._thread.submit(self._run, list(encoded), list(pixels))

    def _run(self, encoded: list[bytes], pixels: list[int]) -> Pixels:
        rows = [None] * len(encoded)
        small = [i for i, count in enumerate(pixels) if count <= _LARGE]
        for i, row in zip(small, self._halving([encoded[i] for i in small])):
            rows[i] = row
        for i, count in enumerate(pixels):
            if count > _LARGE:
                rows[i] = _in_bands(encoded[i])
        nothing = (0, np.zeros(3), np.zeros(3), False, np.zeros(3, np.uint8))
        decodes = np.array([row is not None for row in rows])
        columns = zip(*[row or nothing for row in rows])
        return Pixels(decodes, *(np.array(column) for column in columns))

    def _halving(self, encoded: list[bytes]) -> list:
        """A row a picture, None where it does not decode: a batch that fails is halved."""
        if not encoded:
            return []
        try:
            columns = self._measure_all(tf.constant(encoded, tf.string))
        except tf.errors.OpError:
            if len(encoded) == 1:
                return [None]
            half = len(encoded) // 2
            return self._halving(encoded[:half]) + self._halving(encoded[half:])
        return list(zip(*(column.numpy() for column in columns)))


@functools.cache
def _measuring(workers: int):
    """The traced function that measures a batch of encoded pictures."""
    kinds = (tf.int64, tf.float64, tf.float64, tf.bool, tf.uint8)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string)])
    def measure_all(encoded):
        return tf.map_fn(_measure, encoded, fn_output_signature=kinds, parallel_iterations=workers)

    return measure_all


def _measure(encoded: tf.Tensor):
    return _measure_pixels(images.decode(encoded, channels=3))


def _measure_pixels(image: tf.Tensor):
    """Sums of one picture or band, uint8 `[H, W, 3]`: over rows in float32, then in float64."""
    values = tf.cast(image, tf.float32)
    sums = tf.reduce_sum(tf.cast(tf.reduce_sum(values, 1), tf.float64), 0)
    squares = tf.reduce_sum(tf.cast(tf.reduce_sum(values * values, 1), tf.float64), 0)
    size = tf.shape(image, tf.int64)
    return size[0] * size[1], sums, squares, tf.reduce_any(image != image[0, 0]), image[0, 0]


def _in_bands(encoded: bytes):
    try:
        image = images.decode(tf.constant(encoded), channels=3)
    except tf.errors.OpError:
        return None
    height, width, _ = image.shape
    rows = max(1, _LARGE // width)
    bands = [_measure_pixels(image[i : i + rows]) for i in range(0, height, rows)]
    count, sums, squares, varies, first = (
        [part.numpy() for part in column] for column in zip(*bands)
    )
    changes = any(varies) or any((one != first[0]).any() for one in first)
    return sum(count), sum(sums), sum(squares), changes, first[0]
