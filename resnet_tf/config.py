"""Everything that a run is told, in one frozen dataclass.

A recipe is a `Config`; each field is a flag of `train.py` with the same name, and what is
not given there is the recipe's. `to_json` and `from_json` carry it into checkpoints.
"""

import dataclasses
import json
import math
from typing import Any

from resnet_tf import checks, durations
from resnet_tf.errors import bad_flag


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


_SCHEDULES = (
    "constant", "step", "piecewise", "exponential", "polynomial", "cosine", "one_cycle",
    "inverse_sqrt",
)  # fmt: skip
_OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "lars", "lamb")
_CLIPS = ("", "norm", "value", "adaptive")
_LOSSES = ("softmax", "sigmoid", "focal")
_PRECISIONS = ("float32", "bfloat16", "float16")
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
    init_from: str = _option(
        "", "start from the weights of a commit or a model directory; the head may differ"
    )
    freeze: tuple[str, ...] = _option(
        (), "parts that are not trained, such as stem,stage1; their batch norms stay as stored"
    )
    freeze_bn: bool = _option(False, "keep all batch norms as they are stored")
    layer_decay: float = _option(
        1.0, "factor of the rate from each part to the one before it", at_least=0, at_most=1
    )
    steps: int = _option(
        0, "length of the run in steps; give steps, epochs or examples", at_least=0
    )
    epochs: float = _option(0.0, "length of the run in epochs", at_least=0)
    examples: int = _option(0, "length of the run in examples", at_least=0)
    batch_size: int = _option(
        128, "examples a step (a part, with accumulate), over all devices together", at_least=1
    )
    eval_batch_size: int = _option(
        0, "examples a step of evaluation; 0: as batch_size", at_least=0, harmless=True
    )
    seed: int = _option(0, "of first weights, order and augmentation", at_least=0)
    learning_rate: float = _option(0.1, "base rate, which schedule and warm-up scale", at_least=0)
    rate_rule: str = _option(
        "none", "scale the rate by batch / rate_batch_size: none, linear or sqrt",
        one_of=("none", "linear", "sqrt"),
    )  # fmt: skip
    rate_batch_size: int = _option(
        256, "rate_rule: examples a step that learning_rate is meant for", at_least=1
    )
    schedule: str = _option("constant", "of the rate: " + ", ".join(_SCHEDULES), one_of=_SCHEDULES)
    boundaries: tuple[str, ...] = _option(
        (),
        "schedule step, piecewise: durations at which a factor holds, such as 81epochs,122epochs",
    )
    factors: tuple[float, ...] = _option(
        (), "schedule step, piecewise: factors of the rate, one more than boundaries"
    )
    decay_every: str = _option("1epochs", "schedule exponential: duration of one decay_factor")
    decay_factor: float = _option(0.97, "schedule exponential: factor of the rate", at_least=0)
    staircase: bool = _option(False, "schedule exponential: decay in steps, not smoothly")
    power: float = _option(1.0, "schedule polynomial: 1 is a straight line", at_least=0)
    start_factor: float = _option(
        0.04, "schedule one_cycle: factor of the rate at the start", at_least=0
    )
    end_factor: float = _option(
        0.0, "schedule polynomial, cosine, one_cycle: factor of the rate at the end", at_least=0
    )
    peak: float = _option(
        0.3, "schedule one_cycle: share of the run with a rising rate", at_least=0
    )
    warmup: str = _option("0", "duration of linear warm-up, such as 400steps, 5epochs or 5%")
    optimizer: str = _option("sgd", ", ".join(_OPTIMIZERS), one_of=_OPTIMIZERS)
    momentum: float = _option(0.9, "of sgd, lars and rmsprop, from 0 to below 1", at_least=0)
    nesterov: bool = _option(False, "sgd, lars: Nesterov's form of momentum")
    beta1: float = _option(0.9, "adam, adamw, lamb: of the mean, from 0 to below 1", at_least=0)
    beta2: float = _option(
        0.999, "adam, adamw, lamb: of the mean square, from 0 to below 1", at_least=0
    )
    rho: float = _option(0.9, "rmsprop: of the mean square, from 0 to below 1", at_least=0)
    epsilon: float = _option(0.0, "of the optimizer; 0: its own default", at_least=0)
    trust: float = _option(0.001, "lars: trust coefficient", at_least=0)
    weight_decay: float = _option(
        1e-4, "factor w of the penalty w/2 * sum of squared kernels", at_least=0
    )
    decoupled_decay: bool = _option(
        False, "shrink kernels by rate * weight_decay instead (adamw always does)"
    )
    clip: str = _option("", "gradients, by their global norm, by value, or adaptive", one_of=_CLIPS)
    clip_at: float = _option(1.0, "clip: norm, value, or share of the weights' norm", at_least=0)
    accumulate: int = _option(
        1, "parts of batch_size examples whose gradients make one step", at_least=1
    )
    ema: float = _option(
        0.0, "decay of the weights' moving average, from 0 (none) to below 1", at_least=0
    )
    loss: str = _option("softmax", ", ".join(_LOSSES), one_of=_LOSSES)
    focal_gamma: float = _option(2.0, "loss focal: exponent", at_least=0)
    class_weights: tuple[float, ...] = _option((), "factor of the loss, one a class")
    label_smoothing: float = _option(
        0.0, "share of the target that all classes get, from 0 to below 1", at_least=0
    )
    mean: tuple[float, ...] = _option(
        (), "a channel, taken from pixels of 0 to 255; default: the data set's"
    )
    std: tuple[float, ...] = _option(
        (), "a channel, by which pixels are divided; default: the data set's"
    )
    eval_image_size: int = _option(
        0, "side of the pictures of evaluation; 0: image_size", at_least=0
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
    data_service: str = _option(
        "", "grpc://HOST:PORT,… of tools/data_service.py, where batches are made", harmless=True
    )
    bad_records: str = _option(
        "fail", "fail, or skip records that cannot be used", one_of=("fail", "skip"), harmless=True
    )
    bad_records_limit: int = _option(
        100, "bad_records=skip: how many, before it fails", at_least=0, harmless=True
    )
    overfit_batches: int = _option(
        0, "train on the first batches only, over and over, as a test; 0: on all", at_least=0
    )
    precision: str = _option(
        "float32", "of the layers: " + ", ".join(_PRECISIONS), one_of=_PRECISIONS
    )
    loss_scale: float = _option(
        0.0, "of 16-bit gradients; 0: dynamic for float16, else 1", at_least=0
    )
    xla: bool = _option(False, "compile loss and gradient with XLA")
    on_nonfinite: str = _option(
        "stop", "stop, skip the step, or rollback to the last commit at half the rate",
        one_of=("stop", "skip", "rollback"),
    )  # fmt: skip
    nonfinite_limit: int = _option(
        10, "on_nonfinite=skip, rollback: how often, before it stops", at_least=0, at_most=100,
        harmless=True,
    )  # fmt: skip
    sync_batch_norm: bool = _option(False, "batch statistics over all devices")
    devices: str = _option(
        "auto", "auto, cpu, cpu:N (N logical CPUs), gpu:all or gpu:0,1", harmless=True
    )
    all_reduce: str = _option(
        "auto", "how gradients are summed over devices: auto, nccl, ring or hierarchical",
        one_of=("auto", "nccl", "ring", "hierarchical"), harmless=True,
    )  # fmt: skip
    require_gpus: int = _option(
        0, "GPUs that there must be for each process, or it ends", at_least=0, harmless=True
    )
    intra_op_threads: int = _option(
        0, "threads inside one op; 0: the cores of a device", at_least=0, harmless=True
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
    max_runtime: float = _option(
        0.0, "seconds after which the run commits and ends with code 75; 0: never", at_least=0,
        harmless=True,
    )  # fmt: skip
    tensorboard: bool = _option(
        True, "write event files where the package tensorboard is installed", harmless=True
    )
    step_timeout: float = _option(
        0.0, "seconds without progress after which the run ends with code 70; 0: by its own speed",
        at_least=0, harmless=True,
    )  # fmt: skip
    async_save: bool = _option(
        False, "write commits beside the steps that follow, from a copy of the state", harmless=True
    )
    keep: int = _option(3, "number of newest commits to keep", at_least=1, harmless=True)
    keep_best: str = _option(
        "", "keep the commit of the best evaluation too, by top1, top5 or loss",
        one_of=("", "top1", "top5", "loss"), harmless=True,
    )  # fmt: skip
    keep_every_hours: float = _option(
        0.0, "keep a commit of every so many hours too; 0: none", at_least=0, harmless=True
    )
    strict_resume: bool = _option(
        False, "stop where the newest commit is damaged; by default the one before is resumed",
        harmless=True,
    )  # fmt: skip
    require_exact: bool = _option(
        False, "stop where a resumed run would not end in the same bits", harmless=True
    )
    allow_change: tuple[str, ...] = _option(
        (), "flags, or data, that may differ from the run that is resumed", harmless=True
    )

    def __post_init__(self):
        if not self.model_dir:
            object.__setattr__(self, "model_dir", f"runs/{self.recipe}")
        checks.refuse_impossible(self)

    @property
    def examples_a_step(self) -> int:
        """Examples of one update, over all devices and parts."""
        return self.batch_size * self.accumulate

    def total_steps(self, records: int) -> int:
        """Length of the run in steps, 1 or more, for a data set of `records` examples."""
        examples = self.examples or self.epochs * records
        steps = self.steps or examples / self.examples_a_step
        if steps > checks.LARGEST:
            raise bad_flag("epochs", "must give fewer steps", f"{steps:.3g} steps")
        return max(1, round(steps))

    def in_steps(self, name: str, text: str, records: int) -> int:
        """The duration that the text of field `name` gives, in steps.

        Raises:
          UserError: 64 where it is not one.
        """
        try:
            return durations.to_steps(
                text,
                batch_size=self.examples_a_step,
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
        shaped = {self.schedule, other.schedule} & {"cosine", "polynomial", "one_cycle"}
        if not shaped and not self._uses_percent():
            names -= {"steps", "epochs", "examples"}
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in sorted(names)}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def _uses_percent(self) -> bool:
        texts = (self.warmup, self.decay_every, *self.boundaries, *self.resolution_boundaries)
        return any("%" in text for text in texts)

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
