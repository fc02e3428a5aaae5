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

# Of counts and of the seed: far beyond any real use.
_LARGEST = 2**31 - 1


def _option(
    default: Any,
    text: str,
    *,
    at_least: float | None = None,
    at_most: float = math.inf,
    one_of: tuple[str, ...] = (),
    harmless: bool = False,
) -> Any:
    """A field with its help text, its lowest and highest value or the words it may be, and
    whether it is `harmless`: a resumed run may change it, because it does not change the
    mathematics of the run."""
    metadata = {
        "help": text, "at_least": at_least, "at_most": at_most, "one_of": one_of,
        "harmless": harmless,
    }  # fmt: skip
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


_POLICIES = (
    "", "autoaugment_imagenet", "autoaugment_cifar10", "autoaugment_svhn", "randaugment",
    "trivialaugment", "augmix",
)  # fmt: skip


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
        "data/digits", "directory of records with their dataset.json, or tfds:NAME", harmless=True
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
    schedule: str = _option(
        "constant", "constant, step or cosine", one_of=("constant", "step", "cosine")
    )
    boundaries: tuple[str, ...] = _option(
        (), "schedule step: durations at which the factor changes, such as 81epochs,122epochs"
    )
    factors: tuple[float, ...] = _option(
        (), "schedule step: factors of the rate, one more than boundaries"
    )
    warmup: str = _option("0", "duration of linear warm-up, such as 400steps, 5epochs or 5%")
    optimizer: str = _option("sgd", "sgd or adam", one_of=("sgd", "adam"))
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
    crop_scale: tuple[float, ...] = _option(
        (), "train on parts with a share of the picture's area from,to, such as 0.08,1"
    )
    crop_ratio: tuple[float, ...] = _option(
        (3 / 4, 4 / 3), "crop_scale: width / height of those parts, from,to"
    )
    antialias: bool = _option(True, "smooth whole training pictures before they get smaller")
    resolutions: tuple[float, ...] = _option(
        (), "sides of training pictures one after the other; the last is image_size"
    )
    resolution_boundaries: tuple[str, ...] = _option(
        (), "resolutions: durations at which the next begins, such as 30epochs,60epochs"
    )
    pad: int = _option(0, "shift training pictures by up to this many pixels", at_least=0)
    flip: bool = _option(False, "mirror half of the training pictures left to right")
    flip_vertical: bool = _option(False, "turn half of the training pictures upside down")
    policy: str = _option(
        "", "operations drawn for each training picture: " + ", ".join(_POLICIES[1:]),
        one_of=_POLICIES,
    )  # fmt: skip
    policy_layers: int = _option(2, "policy randaugment: operations a picture", at_least=1)
    policy_magnitude: int = _option(
        9, "policy randaugment: strength, 0 to 30", at_least=0, at_most=30
    )
    brightness: float = _option(
        0.0, "add up to this share of 255, either way", at_least=0, at_most=1
    )
    contrast: float = _option(0.0, "multiply by 1 ± up to this", at_least=0, at_most=1)
    saturation: float = _option(0.0, "multiply by 1 ± up to this", at_least=0, at_most=1)
    hue: float = _option(0.0, "turn by up to this share of the circle", at_least=0, at_most=0.5)
    grey: float = _option(0.0, "share of training pictures without colours", at_least=0, at_most=1)
    lighting: float = _option(0.0, "deviation of the noise along the colours' axes", at_least=0)
    erasing: float = _option(
        0.0, "share of training pictures of which a box is erased", at_least=0, at_most=1
    )
    erasing_fill: str = _option(
        "noise", "erasing: filled with noise, or the mean", one_of=("noise", "mean")
    )
    cutout: int = _option(0, "side of the square that is cut out, in pixels", at_least=0)
    mixup: float = _option(0.0, "alpha of mixup; 0: none", at_least=0)
    cutmix: float = _option(0.0, "alpha of CutMix; 0: none", at_least=0)
    repeats: int = _option(
        1, "copies of a picture that follow each other; an epoch counts them all", at_least=1
    )
    shuffle_window: int = _option(
        0, "shards that are shuffled together; 0: all of them", at_least=0
    )
    reader: str = _option(
        "auto", "how records are read: auto, memory, indexed or windowed",
        one_of=("auto", "memory", "indexed", "windowed"), harmless=True,
    )  # fmt: skip
    bad_records: str = _option(
        "fail", "fail, or skip records that cannot be used", one_of=("fail", "skip"), harmless=True
    )
    bad_records_limit: int = _option(
        100, "bad_records=skip: how many, before it fails", at_least=0, harmless=True
    )
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
            low, high = field.metadata["at_least"], field.metadata["at_most"]
            if low is not None and value < low:
                raise bad_flag(field.name, f"must be {low} or more", value)
            if low is not None and value > high:
                raise bad_flag(field.name, f"must be {high} or less", value)
            words = field.metadata["one_of"]
            if words and value not in words:
                raise bad_flag(field.name, f"must be {_listed(words)}", value)
            if isinstance(value, int) and value > _LARGEST:
                raise bad_flag(field.name, f"must be {_LARGEST} or less", value)
        for name in ("momentum", "label_smoothing"):
            if getattr(self, name) >= 1:
                raise bad_flag(name, "must be below 1", getattr(self, name))
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
        self._check_pictures()

    def _check_pictures(self) -> None:
        """Raises UserError 64 for augmentations that cannot be."""
        for name, most in (("crop_scale", 1), ("crop_ratio", 1000)):
            value = getattr(self, name)
            if value and not (len(value) == 2 and 0 < value[0] <= value[1] <= most):
                raise bad_flag(name, f"must be from,to, above 0 and up to {most}", value)
        if self.crop_scale and not self.crop_ratio:
            raise bad_flag("crop_ratio", "must be given with crop_scale")
        for side in self.resolutions:
            if not (1 <= side <= _LARGEST and side == int(side)):
                raise bad_flag("resolutions", "must be whole numbers, 1 or more", side)
        if len(self.resolution_boundaries) != max(len(self.resolutions) - 1, 0):
            found = f"{len(self.resolution_boundaries)} for {len(self.resolutions)} resolutions"
            raise bad_flag("resolution_boundaries", "must be one fewer than resolutions", found)
        if self.resolutions and not self.image_size:
            raise bad_flag("image_size", "must be given with resolutions, as the last of them")
        if self.resolutions and self.resolutions[-1] != self.image_size:
            raise bad_flag("resolutions", f"must end at image_size {self.image_size}",
                           self.resolutions[-1])  # fmt: skip
        if self.pad and self.crop_scale:
            raise bad_flag("pad", "and crop_scale exclude each other")

    def _check_schedule(self) -> None:
        if self.schedule == "step" and len(self.factors) != len(self.boundaries) + 1:
            found = f"{len(self.factors)} for {len(self.boundaries)} boundaries"
            raise bad_flag("factors", "must be one more than boundaries", found)
        for factor in self.factors:
            if not (math.isfinite(factor) and factor >= 0):
                raise bad_flag("factors", "must be finite and 0 or more", factor)
        for name in ("warmup", "boundaries", "resolution_boundaries"):
            value = getattr(self, name)
            for text in (value,) if isinstance(value, str) else value:
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

    def in_steps(self, name: str, text: str, records: int) -> int:
        """The duration that the text of field `name` gives, in steps.

        Raises:
          UserError: 64 where it is not one.
        """
        try:
            return durations.to_steps(
                text,
                batch_size=self.batch_size,
                records=records,
                total_steps=self.total_steps(records),
            )
        except ValueError as error:
            raise bad_flag(name, str(error)) from error

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
        return any(
            "%" in text for text in (self.warmup, *self.boundaries, *self.resolution_boundaries)
        )

    def to_json(self) -> dict:
        """A dictionary of JSON's own types."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, fields: dict) -> "Config":
        """The inverse of `to_json`; fields of other versions of this class are left out."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items() if k in known}
        )


def _listed(words: tuple[str, ...]) -> str:
    words = [word or "empty" for word in words]
    return ", ".join(words[:-1]) + f" or {words[-1]}"


def bad_flag(name: str, rule: str, found: object = None) -> UserError:
    """The error for a flag whose value breaks a rule."""
    what = f"{name} {rule}" if found is None else f"{name} {rule}, got {found}"
    return UserError(errors.BAD_FLAGS, what, f"--{name}", "see --helpfull for its meaning")
