"""The pictures that a run trains on: which, in which order, at which size, changed how."""

import dataclasses
from collections.abc import Iterable

import tensorflow as tf

from resnet_tf import errors, input
from resnet_tf.config import Config
from resnet_tf.errors import UserError, bad_flag
from resnet_tf.input import faults, service
from resnet_tf.input.readers import on_network
from resnet_tf.input.windowed import WindowedReader
from resnet_tf.preprocessing import Preprocessing, refuse_fractions

_COLOURED = ("saturation", "hue", "grey", "lighting")


class Feed:
    """Training batches from any step on.

    Args:
      config: of the run.
      strategy: whose replicas are fed.
      manifest: of the data set.
      pictures: size and normalisation at the end of the run.

    Attributes:
      records: number of records in the training split.
      resizes: steps at which the size of the pictures changes, ascending.
      bad: the records that are left out.

    Raises:
      UserError: 64 for flags that do not fit the data, 65 and 66 for records that cannot be used.
    """

    def __init__(
        self,
        config: Config,
        strategy: tf.distribute.Strategy,
        manifest: input.Manifest,
        pictures: Preprocessing,
    ):
        self._config, self._strategy, self._manifest = config, strategy, manifest
        self._pictures = pictures
        shards = [shard.records for shard in manifest.shards(config.train_split)]
        self.records = sum(shards)
        self.resizes = _resizes(config, self.records)
        self._augmentation = _augmentation(config, pictures, strategy.num_replicas_in_sync)
        self._order = input.Order(tuple(shards), config.seed, config.shuffle_window, config.repeats)
        limit = config.bad_records_limit if config.bad_records == "skip" else 0
        self.bad = input.BadRecords(shards, limit)
        self._services = service.addresses_from(config.data_service)
        service.refuse_absent(self._services)
        self._reader = input.choose_reader(
            manifest,
            config.train_split,
            pictures,
            kind=self._reader_kind(),
            window=0 if config.overfit_batches else config.shuffle_window,
            fixed=self._fixed(),
            bad=self.bad,
        )

    def _reader_kind(self) -> str:
        """As asked, but that whole windows cannot be read where batches come again, and that what
        is in this machine's memory is not there for others."""
        config = self._config
        kind = "auto" if config.reader == "windowed" and config.overfit_batches else config.reader
        if not self._services:
            return kind
        if kind == "memory":
            raise bad_flag("reader", "memory is of this machine, and --data_service of others")
        if kind == "auto":
            windowed = config.shuffle_window and on_network(self._manifest.directory)
            kind = "windowed" if windowed and not config.overfit_batches else "indexed"
        return kind

    def _fixed(self) -> bool:
        """Whether a record gives the same whole levels every time, before augmentation."""
        pictures, data = self._pictures, self._manifest
        as_it_is = (data.height, data.width) == (pictures.height, pictures.width)
        whole = self._augmentation.rounded or as_it_is
        return self._augmentation.fixed and whole and not self.resizes

    def batches(self, first_step: int) -> tf.distribute.DistributedDataset:
        """Batches of `input.training_batches` from a step on, up to the next of `resizes`."""
        return input.training_batches(
            self._strategy,
            self._reader,
            self._order,
            batch_size=self._config.examples_a_step,
            augmentation=self._augmentation,
            pictures=self._pictures_at(first_step),
            classes=len(self._manifest.classes),
            bad=self.bad,
            first_step=first_step,
            period=self._config.overfit_batches,
            services=self._services,
        )

    def skip_bad(self, step: int) -> tuple[int, UserError] | None:
        """Leaves the bad records out that the batch of a step asks for.

        Where whole windows are read, those that cannot be read in the windows of that batch.

        Returns:
          The last of them and the error that names it; None where there is no bad one.

        Raises:
          UserError: 65, naming the record, where no more may be left out.
        """
        positions = self._positions(step)
        return self._leave_out(self.records_of(step)) or self._leave_out(self._read_with(positions))

    def records_of(self, step: int) -> list[int]:
        """Ids of the records in the batch of a step, in its order."""
        return self.bad.replace(self._order.at(self._positions(step))[0]).numpy().tolist()

    def _positions(self, step: int) -> tf.Tensor:
        size, period = self._config.examples_a_step, self._config.overfit_batches
        return (step % period if period else step) * size + tf.range(size, dtype=tf.int64)

    def _leave_out(self, suspects: list[int]) -> tuple[int, UserError] | None:
        """Leaves the bad ones out; the last of them with its error."""
        found = None
        for record in suspects:
            error = faults.find(self._manifest, self._config.train_split, record)
            if error and record not in self.bad.found:
                found = record, error
                self.bad.add(record, error)
        return found

    def leave_out(self, records: Iterable[int]) -> None:
        """Leaves those out that the commit of a resumed run had left out.

        Raises:
          UserError: 65, naming the record, where no more may be left out.
        """
        for record in records:
            if record not in self.bad.found:
                split = self._config.train_split
                error = faults.find(self._manifest, split, record) or faults.bad_record(
                    self._manifest, split, record, "the record could not be used before"
                )
                self.bad.add(record, error)

    def _read_with(self, positions: tf.Tensor) -> list[int]:
        """The unreadable records, known ones left out, of what is read together with a batch."""
        if not isinstance(self._reader, WindowedReader):
            return []
        first, last = (int(self._order.window_of(positions[i])) for i in (0, -1))
        shards = {
            shard
            for window in range(first, last + 1)
            for shard in self._order.shards_of_window(tf.constant(window, tf.int64))[0].numpy()
        }
        found = faults.unreadable(self._manifest, self._config.train_split, sorted(shards))
        return [record for record in found if record not in self.bad.found]

    def _pictures_at(self, step: int) -> Preprocessing:
        if not self.resizes:
            return self._pictures
        side = int(self._config.resolutions[sum(step >= resize for resize in self.resizes)])
        return self._pictures.at_size(side, side)


def pictures_of(
    config: Config, manifest: input.Manifest, origin: Preprocessing | None = None
) -> tuple[Preprocessing, Preprocessing]:
    """Training pictures, whole, and those of evaluation.

    Args:
      config: of the run.
      manifest: of the data set.
      origin: of the weights that the run starts from, which keep their normalisation.

    Raises:
      UserError: 64 for flags that no picture could be prepared by.
    """
    height, width = _image_size(config, manifest)
    for side in (height, width, *config.resolutions):
        if config.pad >= side:
            raise bad_flag("pad", f"must be below the pictures' size, {side:g}", config.pad)
    usual = manifest.pictures(height, width)
    if origin and origin.channels == usual.channels:
        usual = dataclasses.replace(usual, mean=origin.mean, std=origin.std)
    try:
        refuse_fractions(config.mean, config.std)
        usual = dataclasses.replace(
            usual, mean=config.mean or usual.mean, std=config.std or usual.std
        )
        held_out = dataclasses.replace(
            usual,
            shorter_side=config.eval_shorter_side or None,
            central_fraction=config.eval_central_fraction or None,
        )
        if config.eval_image_size:
            side = config.eval_image_size
            held_out = dataclasses.replace(held_out, height=side, width=side)
    except ValueError as error:
        raise UserError(
            errors.BAD_FLAGS,
            f"pictures cannot be prepared: {error}",
            "--mean, --std, --eval_shorter_side, --eval_image_size",
            "see --helpfull for their meaning",
        ) from error
    return dataclasses.replace(usual, antialias=config.antialias), held_out


def _image_size(config: Config, manifest: input.Manifest) -> tuple[int, int]:
    if config.image_size:
        return config.image_size, config.image_size
    if manifest.height is None or manifest.width is None:
        raise bad_flag("image_size", "must be given, since the pictures differ in size")
    return manifest.height, manifest.width


def _augmentation(config: Config, pictures: Preprocessing, replicas: int) -> input.Augmentation:
    if pictures.channels == 1:
        for name in _COLOURED:
            if getattr(config, name):
                raise bad_flag(name, "is for pictures in colour, and these are grey")
    group = 2 * config.repeats
    if (config.mixup or config.cutmix) and config.examples_a_step // replicas % group:
        rule = f"must be a multiple of {group} for each of {replicas} devices, to mix pictures"
        raise bad_flag("batch_size", rule, config.examples_a_step)
    names = {field.name for field in dataclasses.fields(input.Augmentation)} - {"fill"}
    return input.Augmentation(**{name: getattr(config, name) for name in names}, fill=pictures.mean)


def _resizes(config: Config, records: int) -> tuple[int, ...]:
    name = "resolution_boundaries"
    steps = [config.in_steps(name, text, records) for text in config.resolution_boundaries]
    if steps != sorted(set(steps)) or (steps and steps[0] < 1):
        raise bad_flag(name, "must be above 0 and ascend", steps)
    return tuple(steps)
