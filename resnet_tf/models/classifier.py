"""What every network here is: a function from images to logits."""

import dataclasses
import math

import tensorflow as tf

from resnet_tf.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    dropout,
    global_average_pool,
    named_variables,
)

# Options come from a command line too, where "no" would be a true string.
_KINDS = {
    bool: (bool, "True or False"),
    int: (int, "an integer"),
    float: ((int, float), "a number"),
    str: (str, "a name"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What can be chosen of every network; a family adds its own and sets its defaults.

    Attributes:
      num_classes: number of logits.
      channels: of the images.
      width_multiplier: factor of all channel counts inside, rounded.
      dropout: share of the pooled features that training drops before the head.
      sync_batch_norm: take batch statistics over all replicas, where there are any.
      seed: of the initial kernels.

    Raises:
      ValueError: for values of another type or out of range.
    """

    num_classes: int = 10
    channels: int = 3
    width_multiplier: float = 1.0
    dropout: float = 0.0
    sync_batch_norm: bool = False
    seed: int = 0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            kinds, called = _KINDS[field.type]
            if not isinstance(value, kinds) or (isinstance(value, bool) and field.type is not bool):
                raise ValueError(f"{field.name} must be {called}, got {value!r}")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{field.name} must be finite, got {value!r}")
            if field.name in ("dropout", "stochastic_depth") and not 0 <= value < 1:
                raise ValueError(f"{field.name} must be in [0, 1), got {value!r}")
        for name in ("width_multiplier", "num_classes", "channels"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)!r}")

    def width(self, channels: int) -> int:
        """`channels` times the width multiplier."""
        return round(channels * self.width_multiplier)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormalizedOptions(Options):
    """Of networks with batch norm.

    Attributes:
      norm_momentum, norm_epsilon: of every batch norm.
    """

    norm_momentum: float = 0.9
    norm_epsilon: float = 1e-5

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.norm_momentum <= 1:
            raise ValueError(f"norm_momentum must be in [0, 1], got {self.norm_momentum!r}")
        if self.norm_epsilon <= 0:
            raise ValueError(f"norm_epsilon must be above 0, got {self.norm_epsilon!r}")

    def norm(self, channels: int, **arguments) -> BatchNorm:
        """A batch norm with these options; `arguments` are further ones of `BatchNorm`."""
        return BatchNorm(
            channels,
            momentum=self.norm_momentum,
            epsilon=self.norm_epsilon,
            synchronized=self.sync_batch_norm,
            **arguments,
        )


class Classifier(tf.Module):
    """A stack of feature stages, global average pooling, dropout and a dense head.

    A family makes its variables in the constructor, among them `head`, a `Dense`, and says
    in `features` how images become feature maps.

    Args:
      options: an instance of the class's own `Options`.

    Attributes:
      smallest_image: pixels a side below which nothing would be left to pool.
    """

    Options = Options
    smallest_image = 1
    head: Dense

    def __init__(self, options: Options):
        super().__init__()
        self.options = options

    def __call__(self, images: tf.Tensor, training: bool) -> tf.Tensor:
        """Logits.

        Args:
          images: float32 `[N, H, W, C]`, normalised.
          training: use batch statistics (and move the stored ones) or the stored ones.

        Returns:
          float32 `[N, classes]`, never through a softmax.
        """
        pooled = global_average_pool(self.features(images, training)["final"])
        return self.head(dropout(pooled, self.options.dropout, training))

    def features(self, images: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Feature maps float32 `[N, h, w, c]` by stage, in order; "final" is what is pooled."""
        raise NotImplementedError(f"{type(self).__name__} does not define features")

    @property
    def parts(self) -> dict[str, list[str]]:
        """Names of the variables of each part, from the pictures to the head.

        A part is an attribute of the network, in the order in which the constructor sets them,
        with those behind it that continue its name: `stem` holds `stem_norm` too.
        """
        parts, names = {}, list(named_variables(self))
        part = None
        for attribute in vars(self):
            own = [name for name in names if name.startswith(f"{attribute}/")]
            if own and (part is None or not attribute.startswith(f"{part}_")):
                part = attribute
            if own:
                parts.setdefault(part, []).extend(own)
        return parts

    @property
    def decayed_variables(self) -> list[tf.Variable]:
        """The kernels of convolutions and dense layers; biases and batch norms do not decay."""
        layers = (m for m in self.submodules if isinstance(m, (Conv2D, Dense)))
        return [layer.kernel for layer in layers]


def count_parameters(model: tf.Module) -> tuple[int, int]:
    """Numbers in all variables, and in the trainable ones (no moving statistics)."""
    total, trainable = (
        sum(math.prod(v.shape) for v in variables)
        for variables in (model.variables, model.trainable_variables)
    )
    return total, trainable
