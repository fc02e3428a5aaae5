"""Makes small data sets of TensorFlow Datasets in a test's own folder."""

import pathlib

import numpy as np


def pixels(number, shape=(6, 5, 3)):
    return np.random.default_rng(number).integers(0, 256, shape, np.uint8)


def prepare(folder, features, splits, **options):
    """The prepared directory of a data set.

    Args:
      folder: that stands for ~/tensorflow_datasets.
      features: a function of the package that gives the features by name.
      splits: examples by split.
      options: name, config, version, file_format, supervised_keys, license.
    """
    builder = builder_class(features, splits, **options)
    given = {"file_format": options.get("file_format", "tfrecord")}
    if "config" in options:
        given["config"] = options["config"]
    made = builder(data_dir=folder, **given)
    made.download_and_prepare()
    return pathlib.Path(made.data_dir)


def builder_class(make_features, splits, registered=False, **options):
    """A builder that generates `splits`."""
    import tensorflow_datasets as tfds

    class Made(tfds.core.GeneratorBasedBuilder, skip_registration=not registered):
        if not registered:  # TFDS looks for files beside the module of a builder
            __module__ = "nowhere"
        name = options.get("name", "made")
        VERSION = tfds.core.Version(options.get("version", "1.0.0"))
        BUILDER_CONFIGS = [  # noqa: RUF012
            tfds.core.BuilderConfig(name=config, version=options.get("version", "1.0.0"))
            for config in [options.get("config")]
            if config
        ]

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(make_features(tfds.features)),
                supervised_keys=options.get("supervised_keys"),
                license=options.get("license"),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            if isinstance(splits, Exception):
                raise splits
            return {name: self._generate_examples(found) for name, found in splits.items()}

        def _generate_examples(self, examples):
            yield from enumerate(examples)

    return Made


def usual_features(features):
    return {
        "image": features.Image(shape=(6, 5, 3)),
        "label": features.ClassLabel(names=["cat", "dog", "newt"]),
        "file_name": features.Text(),
    }


def usual_splits():
    return {
        "train": [example(i) for i in range(7)],
        "validation": [example(i) for i in range(7, 10)],
    }


def example(number):
    return {"image": pixels(number), "label": number % 3, "file_name": f"picture_{number}.png"}
