"""Sets of TensorFlow Datasets that are as tiny_tfds' usual one: by Apache Beam, and without.

The environment variable BY_BEAM makes picture 5 fail, be interrupted by Ctrl-C, or kill the process
that makes it.
"""

import os
import signal

import apache_beam as beam
import tensorflow_datasets as tfds
from preparation.tiny_tfds import example, usual_features


def numbered(number):
    if number == 5 and os.environ.get("BY_BEAM") == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 5 and os.environ.get("BY_BEAM") == "fail":
        raise ValueError("picture 5 is bad\nsecond line")
    if number == 5 and os.environ.get("BY_BEAM") == "interrupt":
        raise KeyboardInterrupt
    print("said by a builder", flush=True)
    return number, example(number)


class WithoutBeam(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict(usual_features(tfds.features))
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        numbers = {"train": range(7), "validation": range(7, 10)}
        return {split: self._generate_examples(found) for split, found in numbers.items()}

    def _generate_examples(self, numbers):
        return map(numbered, numbers)


class ByBeam(WithoutBeam):
    def _generate_examples(self, numbers):
        return beam.Create(numbers) | beam.Map(numbered)
