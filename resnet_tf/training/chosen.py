"""From the words of a `Config` to the pieces of a step: schedule, loss, optimizer, clipping."""

from collections.abc import Collection, Mapping

import numpy as np
import tensorflow as tf

from resnet_tf import models
from resnet_tf.config import Config
from resnet_tf.errors import bad_flag
from resnet_tf.training import clipping, losses, schedules
from resnet_tf.training.optimizers import LAMB, LARS, SGD, Adam, Optimizer, RMSprop
from resnet_tf.training.precision import DynamicScale, FixedScale, LossScale
from resnet_tf.training.schedules import Schedule


def rate_of(config: Config) -> float:
    """The base rate for the examples of a step, by the rule of `schedules.scaled_rate`."""
    return schedules.scaled_rate(
        config.learning_rate, config.rate_rule, config.examples_a_step, config.rate_batch_size
    )


def rule_in_words(config: Config) -> str:
    """How `rate_of` finds it: "by linear rule from 0.1 for 256"; nothing where there is no rule."""
    if config.rate_rule == "none":
        return ""
    return f"by {config.rate_rule} rule from {config.learning_rate:g} for {config.rate_batch_size}"


def schedule_from(config: Config, records: int) -> Schedule:
    """The learning rate by step, warm-up included.

    Args:
      config: of the run.
      records: examples an epoch.

    Raises:
      UserError: 64 for boundaries that do not rise, or a decay_every of no step, on this data.
    """
    rate, end = rate_of(config), config.total_steps(records)

    def steps(name, text):
        return config.in_steps(name, text, records)

    warmup = steps("warmup", config.warmup)
    boundaries = [steps("boundaries", text) for text in config.boundaries]
    every = steps("decay_every", config.decay_every)
    try:
        main = {
            "constant": lambda: schedules.constant(rate),
            "step": lambda: schedules.steps(rate, boundaries, config.factors),
            "piecewise": lambda: schedules.piecewise(rate, boundaries, config.factors),
            "exponential": lambda: schedules.exponential(
                rate, config.decay_factor, every, config.staircase
            ),
            "polynomial": lambda: schedules.polynomial(
                rate, warmup, end, config.power, config.end_factor
            ),
            "cosine": lambda: schedules.cosine(rate, warmup, end, config.end_factor),
            "one_cycle": lambda: schedules.one_cycle(
                rate, end, config.peak, config.start_factor, config.end_factor
            ),
            "inverse_sqrt": lambda: schedules.inverse_sqrt(rate, warmup),
        }[config.schedule]()
    except ValueError as error:
        # What `checks` could not see: how many steps a duration is depends on the data.
        flag = "decay_every" if config.schedule == "exponential" else "boundaries"
        _, _, rule = str(error).partition(" ")  # after the name of the argument
        raise bad_flag(flag, rule) from error
    return schedules.with_warmup(main, warmup)


def rates_of(config: Config, records: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps of a run and their rates, both `[N]`, int64 and float64: all, or 100,000 evenly spread.

    A rate is the shortest decimal that means its float32: 0.1, not 0.10000000149.
    """
    total = config.total_steps(records)
    steps = np.linspace(0, total - 1, min(total, 100_000)).round().astype(np.int64)
    rates = schedule_from(config, records)(tf.constant(steps)).numpy()
    return steps, rates.astype(str).astype(np.float64)


def loss_from(config: Config, classes: int) -> losses.Loss:
    """The loss of an example.

    Raises:
      UserError: 64 unless there is a weight for each of the `classes`, or none.
    """
    if config.class_weights and len(config.class_weights) != classes:
        rule = f"must be {classes}, one for each class of the data"
        raise bad_flag("class_weights", rule, len(config.class_weights))
    return losses.make_loss(
        config.loss, config.label_smoothing, config.focal_gamma, config.class_weights
    )


def optimizer_from(
    config: Config,
    model: models.Classifier,
    trained: Collection[str],
    rate_factors: Mapping[str, float],
) -> Optimizer:
    """The optimizer of the variables of these names."""
    shared = {
        "trained": trained,
        "weight_decay": config.weight_decay,
        "decoupled": config.decoupled_decay or config.optimizer == "adamw",
        "rate_factors": rate_factors,
    }
    if config.epsilon:
        shared["epsilon"] = config.epsilon
    betas = {"beta1": config.beta1, "beta2": config.beta2}
    heavy_ball = {"momentum": config.momentum, "nesterov": config.nesterov}
    if config.optimizer == "sgd":
        shared.pop("epsilon", None)
        return SGD(model, **heavy_ball, **shared)
    if config.optimizer in ("adam", "adamw"):
        return Adam(model, **betas, **shared)
    if config.optimizer == "rmsprop":
        return RMSprop(model, rho=config.rho, momentum=config.momentum, **shared)
    if config.optimizer == "lars":
        return LARS(model, trust_coefficient=config.trust, **heavy_ball, **shared)
    return LAMB(model, **betas, **shared)


def clip_from(config: Config, model: models.Classifier) -> clipping.Clip | None:
    """What clips the gradients; None where nothing does."""
    if config.clip == "norm":
        return clipping.by_norm(config.clip_at)
    if config.clip == "value":
        return clipping.by_value(config.clip_at)
    if config.clip == "adaptive":
        return clipping.adaptive(config.clip_at, excluded=model.head.trainable_variables)
    return None


def loss_scale_from(config: Config) -> LossScale:
    """Dynamic for float16 unless a scale is given; to be called in the strategy's scope."""
    if config.loss_scale:
        return FixedScale(config.loss_scale)
    return DynamicScale() if config.precision == "float16" else FixedScale()


def dtype_from(config: Config) -> tf.DType:
    """In which the layers compute."""
    return tf.as_dtype(config.precision)
