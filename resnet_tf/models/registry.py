"""Networks by name."""

import dataclasses
import difflib
import fnmatch

import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.models.cifar_bottleneck import CifarBottleneckResNet
from resnet_tf.models.cifar_ordering import ORDERINGS, OrderingResNet
from resnet_tf.models.cifar_resnet import CifarResNet
from resnet_tf.models.cifar_resnet18 import CifarResNet18
from resnet_tf.models.classifier import Classifier
from resnet_tf.models.ex6_net import Ex6Net
from resnet_tf.models.plain_resnet import PlainResNet
from resnet_tf.models.resnet import ResNet, ResNetD, ResNetV1, SEResNet
from resnet_tf.models.resnet_v2 import ResNetV2
from resnet_tf.preprocessing import Preprocessing

# Of the training pictures of CIFAR-10 and of ImageNet, in pixel units.
_CIFAR = Preprocessing(32, 32, 3, mean=(125.307, 122.95, 113.865), std=(62.9932, 62.0887, 66.7048))
_IMAGENET = Preprocessing(
    224, 224, 3, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), shorter_side=256
)
# To [-1, 1].
_EX6 = Preprocessing(299, 299, 3, mean=(127.5,) * 3, std=(127.5,) * 3, central_fraction=0.875)


@dataclasses.dataclass(frozen=True)
class _Row:
    """A name's family, the options that the name stands for, and its usual pictures."""

    family: type[Classifier]
    preprocessing: Preprocessing
    fixed: dict


def _cifar(family, **fixed):
    return _Row(family, _CIFAR, fixed)


def _imagenet(family, depth, **fixed):
    return _Row(family, _IMAGENET, {"depth": depth, **fixed})


_DEPTHS = (18, 34, 50, 101, 152, 200)

# A family's own name takes its depth as an option, for depths that no paper named.
_REGISTRY = {
    "cifar_resnet": _cifar(CifarResNet),
    **{f"cifar_resnet{d}": _cifar(CifarResNet, depth=d) for d in (20, 32, 44, 56, 110, 1202)},
    "cifar_resnet_ordering": _cifar(OrderingResNet),
    **{f"cifar_resnet32_{o}": _cifar(OrderingResNet, depth=32, ordering=o) for o in ORDERINGS},
    "cifar_resnet34": _cifar(OrderingResNet, depth=32, ordering="e", bottleneck_changes=True),
    **{f"cifar_resnet{d}": _cifar(CifarBottleneckResNet, depth=d) for d in (50, 101, 152)},
    "cifar_resnet18": _cifar(CifarResNet18),
    **{f"resnet{d}": _imagenet(ResNet, d) for d in _DEPTHS},
    **{f"resnet{d}_v1": _imagenet(ResNetV1, d) for d in _DEPTHS},
    **{f"resnet{d}_v2": _imagenet(ResNetV2, d) for d in _DEPTHS},
    **{f"resnet{d}_d": _imagenet(ResNetD, d) for d in _DEPTHS},
    **{f"se_resnet{d}": _imagenet(SEResNet, d) for d in (50, 101, 152)},
    "resnext50_32x4d": _imagenet(ResNet, 50, groups=32, group_width=4),
    "resnext101_32x4d": _imagenet(ResNet, 101, groups=32, group_width=4),
    "resnext101_32x8d": _imagenet(ResNet, 101, groups=32, group_width=8),
    "resnext101_64x4d": _imagenet(ResNet, 101, groups=64, group_width=4),
    "wide_resnet50_2": _imagenet(ResNet, 50, group_width=128),
    "wide_resnet101_2": _imagenet(ResNet, 101, group_width=128),
    "ex6_net": _Row(Ex6Net, _EX6, {}),
    "plain_resnet100": _Row(PlainResNet, _IMAGENET, {}),
}


def names(pattern: str = "*") -> list[str]:
    """Registered names that match a shell pattern, sorted."""
    return sorted(fnmatch.filter(_REGISTRY, pattern))


def create(name: str, **options) -> Classifier:
    """Builds a network with all its variables.

    Args:
      name: one of `names()`.
      **options: of the family's `Options`, such as `num_classes`, `channels`, `seed`.

    Raises:
      ValueError: for an unknown name or an option's value that the network refuses.
      TypeError: for an option that the network does not have, that its name fixes, or that
        it cannot do without.
    """
    row = _row(name)
    known = {field.name: field for field in dataclasses.fields(row.family.Options)}
    for option in options:
        if option in row.fixed:
            raise TypeError(f"{name} stands for {option} {row.fixed[option]!r}")
        if option not in known:
            free = ", ".join(sorted(known.keys() - row.fixed))
            raise TypeError(f"{name} has no option {option!r}; it has {free}")
    for option, field in known.items():
        if field.default is dataclasses.MISSING and option not in {**row.fixed, **options}:
            raise TypeError(f"{name} needs the option {option!r}")
    return row.family(row.family.Options(**row.fixed, **options))


def create_as_told(name: str, **options) -> Classifier:
    """`create` for a name and options that a user gave on the command line.

    Raises:
      UserError: 64 where there is no such network or it cannot be built.
    """
    try:
        return create(name, **options)
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise UserError(
            errors.BAD_FLAGS,
            f"cannot build {name}: {error}",
            "--model, --model_options",
            "see resnet_tf/models for the networks and their options",
        ) from error


def usual_preprocessing(name: str) -> Preprocessing:
    """Size and normalisation of the pictures that a network is usually given.

    Raises:
      ValueError: for an unknown name.
    """
    return _row(name).preprocessing


def _row(name: str) -> _Row:
    if name not in _REGISTRY:
        near = difflib.get_close_matches(name, _REGISTRY, n=3) or names()
        raise ValueError(f"no network is called {name!r}; there are {', '.join(near)}")
    return _REGISTRY[name]
