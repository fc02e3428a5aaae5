"""Builds, from a `Config`, everything that the loop drives."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import tensorflow as tf

from resnet_tf import input, models, runtime
from resnet_tf.config import Config
from resnet_tf.distribution import describe_devices, processes
from resnet_tf.errors import bad_flag
from resnet_tf.evaluation import Predictions, make_evaluation
from resnet_tf.layers import named_variables
from resnet_tf.preprocessing import Preprocessing
from resnet_tf.training import chosen, fine_tuning
from resnet_tf.training.averaging import Average
from resnet_tf.training.feed import Feed, pictures_of
from resnet_tf.training.gradient import Gradient
from resnet_tf.training.schedules import Schedule
from resnet_tf.training.step import TrainingState, make_train_step


@dataclasses.dataclass
class Run:
    """A run that is ready to train; see the fields' names.

    Attributes:
      total_steps: at which the run is complete.
      variables: all that is saved, by name.
      plan: which variables are trained.
      gradient: of the network.
      describe: manifest fields of a commit, but for step and position.
      train: the traced function of `make_train_step`.
      stop: int64 scalar, a number of `stopping.STOPS`; once it is not 0, a call of `train` ends
        after the step under way.
      feed: of its batches.
      evaluate: gives counts and `Predictions`, see `_evaluations`.
      held_out: the records that it looks at.
      manifest: of the data.
    """

    config: Config
    strategy: tf.distribute.Strategy
    total_steps: int
    state: TrainingState
    variables: dict[str, tf.Variable]
    plan: fine_tuning.Plan
    gradient: Gradient
    describe: dict
    train: Callable
    stop: tf.Variable
    feed: Feed
    evaluate: Callable
    held_out: input.Reader
    manifest: input.Manifest

    @property
    def step(self) -> tf.Variable:
        """Number of finished steps."""
        return self.state.step

    @property
    def records(self) -> int:
        """Number of records in the training split."""
        return self.feed.records

    @property
    def commits(self) -> pathlib.Path:
        """Directory of the commits."""
        return pathlib.Path(self.config.model_dir) / "checkpoints"

    def tensors(self) -> dict:
        """The present state: NumPy arrays by name."""
        return {name: variable.numpy() for name, variable in self.variables.items()}

    def fields(self, step: int) -> dict:
        """Manifest fields of a commit."""
        examples_seen = step * self.config.examples_a_step
        return {
            "epoch": examples_seen / self.records,
            "examples_seen": examples_seen,
            # A part of a cut-off picture may decode, so a resumed run might not find it again.
            "bad_records": list(self.feed.bad.found),
            **self.describe,
        }


def build(
    config: Config,
    strategy: tf.distribute.Strategy,
    manifest: input.Manifest,
    origin: Preprocessing | None = None,
    schedule: Schedule | None = None,
) -> Run:
    """Makes network, optimizer, step, readers and evaluation. Creates nothing on disk.

    Args:
      config: what to build.
      strategy: whose replicas it runs on.
      manifest: of the data set.
      origin: pictures of the weights that the run starts from, if from any.
      schedule: of the rate, in place of the one that `config` says.

    Raises:
      UserError: 64 for flags that do not fit each other or the data, 65 and 66 for data
        that cannot be used.
    """
    if config.batch_size % strategy.num_replicas_in_sync:
        rule = f"must be a multiple of the {strategy.num_replicas_in_sync} devices"
        raise bad_flag("batch_size", rule, config.batch_size)
    pictures, held_out_pictures = pictures_of(
        config, manifest, None if config.mean or config.std else origin
    )
    records = manifest.records(config.train_split)
    loss = chosen.loss_from(config, len(manifest.classes))
    schedule = schedule or chosen.schedule_from(config, records)
    with strategy.scope():
        model = make_model(config, manifest)
        _refuse_small(config, pictures, model)
        plan = fine_tuning.make_plan(config, model)
        state = _make_state(config, manifest, model, plan)
    preprocess = functools.partial(input.normalize, mean=pictures.mean, std=pictures.std)
    held_out = _held_out(config, manifest, held_out_pictures)
    named = named_variables(model)
    gradient = Gradient(
        model,
        [named[name] for name in plan.trained],
        preprocess=preprocess,
        batch_size=config.examples_a_step,
        loss=loss,
        seed=config.seed,
        dtype=chosen.dtype_from(config),
    )
    with tf.device("CPU:0"):
        stop = tf.Variable(0, dtype=tf.int64, trainable=False, name="stop")
    return Run(
        config=config,
        strategy=strategy,
        total_steps=config.total_steps(records),
        state=state,
        variables=_saved_variables(state),
        plan=plan,
        gradient=gradient,
        describe=_describe(config, manifest, held_out_pictures, strategy),
        train=make_step(config, strategy, state, gradient, schedule, stop),
        stop=stop,
        feed=Feed(config, strategy, manifest, pictures),
        evaluate=_evaluations(config, strategy, state, held_out, preprocess),
        held_out=held_out,
        manifest=manifest,
    )


def make_step(
    config: Config,
    strategy: tf.distribute.Strategy,
    state: TrainingState,
    gradient: Gradient,
    schedule: Schedule,
    stop: tf.Variable | None = None,
) -> Callable:
    """The traced function of `make_train_step`, as `config` says."""
    return make_train_step(
        strategy,
        state,
        gradient,
        schedule=schedule,
        accumulate=config.accumulate,
        clip=chosen.clip_from(config, state.model),
        xla=config.xla,
        stop=stop,
        several=processes(strategy) > 1,
    )


def make_model(config: Config, manifest: input.Manifest) -> models.Classifier:
    """The network that a run trains, with its first weights."""
    told = {
        "num_classes": len(manifest.classes),
        "channels": manifest.channels,
        "seed": config.seed,
        "sync_batch_norm": config.sync_batch_norm,
    }
    for name in told.keys() & config.model_options:
        raise bad_flag("model_options", f"cannot have {name}, which the data or a flag says")
    return models.create_as_told(config.model, **told | config.model_options)


def _make_state(
    config: Config, manifest: input.Manifest, model: models.Classifier, plan: fine_tuning.Plan
) -> TrainingState:
    average, factor = None, None
    if config.ema:
        average = Average(model, make_model(config, manifest), config.ema)
    if config.on_nonfinite == "rollback":
        factor = tf.Variable(1.0, trainable=False, name="rate_factor")
    return TrainingState(
        model,
        chosen.optimizer_from(config, model, plan.trained, plan.rate_factors),
        tf.Variable(0, dtype=tf.int64, trainable=False, name="step"),
        average,
        chosen.loss_scale_from(config),
        factor,
    )


def _refuse_small(config: Config, pictures: Preprocessing, model: models.Classifier) -> None:
    sides = [("image_size", min(pictures.height, pictures.width))]
    sides += [("resolutions", int(side)) for side in config.resolutions]
    sides += [("eval_image_size", config.eval_image_size)] if config.eval_image_size else []
    for name, side in sides:
        if side < model.smallest_image:
            rule = f"must be {model.smallest_image} or more for {config.model}"
            raise bad_flag(name, rule, f"pictures of {side}x{side}")


def _held_out(config, manifest, pictures) -> input.Reader:
    return input.choose_reader(
        manifest,
        config.eval_split,
        pictures,
        # Evaluation takes records in the order of the disk, which needs no windows.
        kind="auto" if config.reader == "windowed" else config.reader,
    )


def _evaluations(
    config, strategy, state, reader, preprocess
) -> Callable[..., tuple[dict, Predictions]]:
    """Evaluates the weights; where there is an average of them, that, and `raw` beside it.

    The function takes a number of records, to look at the first of the split only, and what is
    called with (batches done, batches) as it goes. It gives the counts, and what they were counted
    from.
    """
    batch_size = config.eval_batch_size or config.batch_size
    raw = make_evaluation(strategy, state.model, preprocess)
    averaged = None
    if state.average:
        averaged = make_evaluation(strategy, state.average.twin, preprocess)

    def evaluate(
        records: int | None = None, progress: Callable = lambda done, of: None
    ) -> tuple[dict, Predictions]:
        some = reader if records is None else input.first(reader, records)
        found = raw(some, batch_size, progress)
        if averaged is None:
            return found.counts(), found
        average = averaged(some, batch_size, progress)
        return {"weights": "average", **average.counts(), "raw": found.counts()}, average

    return evaluate


def _saved_variables(state: TrainingState) -> dict[str, tf.Variable]:
    model = {f"model/{name}": v for name, v in named_variables(state.model).items()}
    slots = {f"optimizer/{name}": v for name, v in state.optimizer.state.items()}
    average = state.average.state if state.average else {}
    factor = {} if state.rate_factor is None else {"rate_factor": state.rate_factor}
    return {**model, **slots, **average, **state.loss_scale.state, **factor, "step": state.step}


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
