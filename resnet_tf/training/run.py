"""Builds, from a `Config`, everything that the loop drives."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import tensorflow as tf

from resnet_tf import checkpoint, input, models, runtime
from resnet_tf.checkpoint import Commit
from resnet_tf.config import Config, bad_flag
from resnet_tf.distribution import describe_devices
from resnet_tf.evaluation import make_evaluation
from resnet_tf.layers import named_variables
from resnet_tf.preprocessing import Preprocessing
from resnet_tf.training import schedules
from resnet_tf.training.feed import Feed, pictures_of
from resnet_tf.training.optimizers import SGD, Adam, Optimizer
from resnet_tf.training.step import TrainingState, make_train_step


@dataclasses.dataclass
class Run:
    """A run that is ready to train; see the fields' names.

    Attributes:
      total_steps: at which the run is complete.
      variables: all that is saved, by name.
      describe: manifest fields of a commit, but for step and position.
      train: the traced function of `make_train_step`.
      feed: of its batches.
      evaluate: from a progress function to the counts of `make_evaluation`.
    """

    config: Config
    total_steps: int
    variables: dict[str, tf.Variable]
    step: tf.Variable
    describe: dict
    train: Callable
    feed: Feed
    evaluate: Callable

    @property
    def records(self) -> int:
        """Number of records in the training split."""
        return self.feed.records

    @property
    def commits(self) -> pathlib.Path:
        """Directory of the commits."""
        return pathlib.Path(self.config.model_dir) / "checkpoints"

    def save(self, step: int) -> Commit:
        """Commits the present state; an old step or a damaged file is never overwritten."""
        examples_seen = step * self.config.batch_size
        tensors = {name: variable.numpy() for name, variable in self.variables.items()}
        fields = {
            "epoch": examples_seen / self.records,
            "examples_seen": examples_seen,
            # A part of a cut-off picture may decode, so a resumed run might not find it again.
            "bad_records": list(self.feed.bad.found),
            **self.describe,
        }
        return checkpoint.write(self.commits, step, tensors, fields)


def build(config: Config, strategy: tf.distribute.Strategy, manifest: input.Manifest) -> Run:
    """Makes network, optimizer, step, readers and evaluation. Creates nothing on disk.

    Raises:
      UserError: 64 for flags that do not fit each other or the data, 65 and 66 for data
        that cannot be used.
    """
    if config.batch_size % strategy.num_replicas_in_sync:
        rule = f"must be a multiple of the {strategy.num_replicas_in_sync} devices"
        raise bad_flag("batch_size", rule, config.batch_size)
    pictures, held_out_pictures = pictures_of(config, manifest)
    records = manifest.records(config.train_split)
    total_steps = config.total_steps(records)
    schedule = _schedule(config, records, total_steps)
    with strategy.scope():
        model = models.create_as_told(config.model, **_model_options(config, manifest))
        _refuse_small(config, pictures, model)
        optimizer = _optimizer(config, model)
        step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
    state = TrainingState(model, optimizer, step)
    preprocess = functools.partial(input.normalize, mean=pictures.mean, std=pictures.std)
    feed = Feed(config, strategy, manifest, pictures)
    held_out = input.choose_reader(
        manifest,
        config.eval_split,
        held_out_pictures,
        # Evaluation takes records in the order of the disk, which needs no windows.
        kind="auto" if config.reader == "windowed" else config.reader,
    )
    evaluate = make_evaluation(strategy, model, preprocess)
    return Run(
        config=config,
        total_steps=total_steps,
        variables=_saved_variables(state),
        step=step,
        describe=_describe(config, manifest, held_out_pictures, strategy),
        train=make_train_step(
            strategy,
            state,
            batch_size=config.batch_size,
            schedule=schedule,
            preprocess=preprocess,
            label_smoothing=config.label_smoothing,
            seed=config.seed,
        ),
        feed=feed,
        evaluate=functools.partial(evaluate, held_out, config.eval_batch_size or config.batch_size),
    )


def _refuse_small(config: Config, pictures: Preprocessing, model: models.Classifier) -> None:
    smallest = min(pictures.height, pictures.width, *map(int, config.resolutions))
    if smallest < model.smallest_image:
        rule = f"must be {model.smallest_image} or more for {config.model}"
        raise bad_flag("image_size", rule, f"pictures of {pictures.height}x{pictures.width}")


def _optimizer(config: Config, model: models.Classifier) -> Optimizer:
    if config.optimizer == "adam":
        return Adam(model, weight_decay=config.weight_decay)
    return SGD(
        model,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
    )


def _schedule(config: Config, records: int, total_steps: int) -> schedules.Schedule:
    warmup, rate = config.in_steps("warmup", config.warmup, records), config.learning_rate
    if config.schedule == "constant":
        main = schedules.constant(rate)
    elif config.schedule == "cosine":
        main = schedules.cosine(rate, warmup, total_steps)
    else:
        boundaries = [config.in_steps("boundaries", text, records) for text in config.boundaries]
        try:
            main = schedules.steps(rate, boundaries, config.factors)
        except ValueError as error:
            raise bad_flag("boundaries", str(error)) from error
    return schedules.with_warmup(main, warmup)


def _model_options(config: Config, manifest: input.Manifest) -> dict:
    told = {
        "num_classes": len(manifest.classes),
        "channels": manifest.channels,
        "seed": config.seed,
        "sync_batch_norm": config.sync_batch_norm,
    }
    for name in told.keys() & config.model_options:
        raise bad_flag("model_options", f"cannot have {name}, which the data or a flag says")
    return told | config.model_options


def _saved_variables(state: TrainingState) -> dict[str, tf.Variable]:
    model = {f"model/{name}": v for name, v in named_variables(state.model).items()}
    slots = {f"optimizer/{name}": v for name, v in state.optimizer.state.items()}
    return {**model, **slots, "step": state.step}


def _describe(
    config: Config,
    manifest: input.Manifest,
    pictures: Preprocessing,
    strategy: tf.distribute.Strategy,
) -> dict:
    return {
        "config": config.to_json(),
        "architecture": {
            "model": config.model,
            "options": config.model_options,
            "num_classes": len(manifest.classes),
        },
        "classes": list(manifest.classes),
        "preprocessing": pictures.to_json(),
        "data": {
            "name": manifest.name,
            "directory": str(manifest.directory.resolve()),
            "train_split": config.train_split,
            "eval_split": config.eval_split,
            "fingerprint": manifest.fingerprint(config.train_split),
        },
        "environment": {**runtime.describe(), "devices": describe_devices(strategy)},
    }
