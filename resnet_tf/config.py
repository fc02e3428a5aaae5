"""Everything that a run is told, in one frozen dataclass.

A recipe is a `Config`; each field is a flag of `train.py` with the same name, and what is
not given there is the recipe's. `to_json` and `from_json` carry it into checkpoints.
"""

import dataclasses
import json
import math
from typing import Any

from resnet_tf import durations, errors
from resnet_tf.errors import UserError

# Of counts and of the seed (the random ops take 32 bits of it): far beyond any real use.
_LARGEST = 2**31 - 1


def _option(default: Any, text: str, *, at_least: int | None = None, harmless: bool = False) -> Any:
    """A field with its help text, its lowest value, and whether it is `harmless`: a resumed
    run may change it, because it does not change the mathematics of the run."""
    metadata = {"help": text, "at_least": at_least, "harmless": harmless}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


# A function that makes fields is what dataclasses.field is for.
# ruff: noqa: RUF009
@dataclasses.dataclass(frozen=True)
class Config:
    """A run, as its recipe and flags describe it; see each field's help text."""

    recipe: str = _option(
        "digits", "recipe whose values hold where no flag says otherwise", harmless=True
    )
    model: str = _option("cifar_resnet20", "network, a name that resnet_tf.models.names() lists")
    model_options: dict = _option({}, "options of the network, as name=value,name=value")
    data_dir: str = _option(
        "data/digits", "directory of records with their dataset.json", harmless=True
    )
    train_split: str = _option("train", "split to train on")
    eval_split: str = _option("test", "split to evaluate on", harmless=True)
    image_size: int = _option(
        0, "side of the square pictures fed in; 0: as the data set has them", at_least=0
    )
    model_dir: str = _option("", "directory of the run; default runs/<recipe>", harmless=True)
    steps: int = _option(
        0, "length of the run in steps; give steps, epochs or examples", at_least=0
    )
    epochs: float = _option(0.0, "length of the run in epochs", at_least=0)
    examples: int = _option(0, "length of the run in examples", at_least=0)
    batch_size: int = _option(128, "examples a step, over all devices together", at_least=1)
    eval_batch_size: int = _option(
        0, "examples a step of evaluation; 0: as batch_size", at_least=0, harmless=True
    )
    seed: int = _option(0, "of first weights, order and augmentation", at_least=0)
    learning_rate: float = _option(0.1, "base rate, which schedule and warm-up scale", at_least=0)
    schedule: str = _option("constant", "constant, step or cosine")
    boundaries: tuple[str, ...] = _option(
        (), "schedule step: durations at which the factor changes, such as 81epochs,122epochs"
    )
    factors: tuple[float, ...] = _option(
        (), "schedule step: factors of the rate, one more than boundaries"
    )
    warmup: str = _option("0", "duration of linear warm-up, such as 400steps, 5epochs or 5%")
    optimizer: str = _option("sgd", "sgd or adam")
    momentum: float = _option(0.9, "of SGD, from 0 to below 1", at_least=0)
    nesterov: bool = _option(False, "Nesterov's form of momentum")
    weight_decay: float = _option(
        1e-4, "factor w of the penalty w/2 * sum of squared kernels", at_least=0
    )
    label_smoothing: float = _option(
        0.0, "share of the target that all classes get, from 0 to below 1", at_least=0
    )
    mean: tuple[float, ...] = _option(
        (), "a channel, taken from pixels of 0 to 255; default: the data set's"
    )
    std: tuple[float, ...] = _option(
        (), "a channel, by which pixels are divided; default: the data set's"
    )
    eval_shorter_side: int = _option(
        0, "evaluate on the middle of pictures resized to this shorter side; 0: whole", at_least=0
    )
    eval_central_fraction: float = _option(
        0.0, "evaluate on this share of each side, in the middle; 0: on whole pictures", at_least=0
    )
    pad: int = _option(0, "shift training pictures by up to this many pixels", at_least=0)
    flip: bool = _option(False, "mirror half of the training pictures")
    sync_batch_norm: bool = _option(False, "batch statistics over all devices")
    devices: str = _option(
        "auto", "auto, cpu, cpu:N (N logical CPUs), gpu:all or gpu:0,1", harmless=True
    )
    intra_op_threads: int = _option(
        0, "threads inside one op; 0: one a core", at_least=0, harmless=True
    )
    inter_op_threads: int = _option(
        0, "ops that run at a time; 0: one a core", at_least=0, harmless=True
    )
    steps_per_call: int = _option(
        10, "steps a call of the traced function", at_least=1, harmless=True
    )
    save_every_steps: int = _option(
        0, "steps between commits; 0: only at the end", at_least=0, harmless=True
    )
    eval_every_steps: int = _option(
        0, "steps between evaluations; 0: only at the end", at_least=0, harmless=True
    )
    log_every_steps: int = _option(50, "steps between lines of progress", at_least=1, harmless=True)
    keep: int = _option(3, "number of newest commits to keep", at_least=1, harmless=True)

    def __post_init__(self):
        if not self.model_dir:
            object.__setattr__(self, "model_dir", f"runs/{self.recipe}")
        self._check()

    def _check(self) -> None:
        """Raises UserError 64, naming the flag, for a value that no run could use."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise bad_flag(field.name, "must be finite", value)
            low = field.metadata["at_least"]
            if low is not None and value < low:
                raise bad_flag(field.name, f"must be {low} or more", value)
            if isinstance(value, int) and value > _LARGEST:
                raise bad_flag(field.name, f"must be {_LARGEST} or less", value)
        for name in ("momentum", "label_smoothing"):
            if getattr(self, name) >= 1:
                raise bad_flag(name, "must be below 1", getattr(self, name))
        if self.optimizer not in ("sgd", "adam"):
            raise bad_flag("optimizer", "must be sgd or adam", self.optimizer)
        if self.eval_shorter_side and self.eval_central_fraction:
            raise bad_flag("eval_shorter_side", "and eval_central_fraction exclude each other")
        if self.eval_central_fraction > 1:
            raise bad_flag("eval_central_fraction", "must be 1 or less", self.eval_central_fraction)
        if sum(bool(length) for length in (self.steps, self.epochs, self.examples)) != 1:
            given = f"{self.steps}, {self.epochs:g} and {self.examples}"
            raise bad_flag(
                "steps", "or epochs or examples must be above 0, just one of them", given
            )
        self._check_schedule()

    def _check_schedule(self) -> None:
        if self.schedule not in ("constant", "step", "cosine"):
            raise bad_flag("schedule", "must be constant, step or cosine", self.schedule)
        if self.schedule == "step" and len(self.factors) != len(self.boundaries) + 1:
            found = f"{len(self.factors)} for {len(self.boundaries)} boundaries"
            raise bad_flag("factors", "must be one more than boundaries", found)
        for factor in self.factors:
            if not (math.isfinite(factor) and factor >= 0):
                raise bad_flag("factors", "must be finite and 0 or more", factor)
        for name, texts in (("warmup", (self.warmup,)), ("boundaries", self.boundaries)):
            for text in texts:
                try:
                    durations.parse(text)
                except ValueError as error:
                    raise bad_flag(name, str(error)) from error

    def total_steps(self, records: int) -> int:
        """Length of the run in steps, 1 or more, for a data set of `records` examples."""
        examples = self.examples or self.epochs * records
        steps = self.steps or round(examples / self.batch_size)
        if steps > _LARGEST:
            raise bad_flag("epochs", "must give fewer steps", f"{steps:.3g} steps")
        return max(1, steps)

    def changes(self, other: "Config") -> dict[str, tuple[Any, Any]]:
        """Fields that make it another run and that differ: (self's, other's).

        The length of the run is one of them only where the rate depends on it.
        """
        fields = dataclasses.fields(self)
        names = {field.name for field in fields if not field.metadata["harmless"]}
        if "cosine" not in (self.schedule, other.schedule) and not self._uses_percent():
            names -= {"steps", "epochs", "examples"}
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in sorted(names)}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def _uses_percent(self) -> bool:
        return any("%" in text for text in (self.warmup, *self.boundaries))

    def to_json(self) -> dict:
        """A dictionary of JSON's own types."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, fields: dict) -> "Config":
        """The inverse of `to_json`; fields of other versions of this class are left out."""
        known = {field.name for field in dataclasses.fields(cls)}
        lists = dict.fromkeys(("boundaries", "factors", "mean", "std"), tuple)
        return cls(**{k: lists.get(k, lambda v: v)(v) for k, v in fields.items() if k in known})


def bad_flag(name: str, rule: str, found: object = None) -> UserError:
    """The error for a flag whose value breaks a rule."""
    what = f"{name} {rule}" if found is None else f"{name} {rule}, got {found}"
    return UserError(errors.BAD_FLAGS, what, f"--{name}", "see --helpfull for its meaning")
