"""Networks by name."""

import difflib
import fnmatch
import functools

from resnet_tf.models.cifar_resnet import ORDERINGS, OrderingResNet, PaperResNet
from resnet_tf.models.classifier import Classifier

# name -> constructor. A family's own name takes its depth as an option, for depths that no
# paper named.
_REGISTRY = {
    "cifar_resnet": PaperResNet,
    **{
        f"cifar_resnet{depth}": functools.partial(PaperResNet, depth)
        for depth in (20, 32, 44, 56, 110, 1202)
    },
    "cifar_resnet_ordering": OrderingResNet,
    **{
        f"cifar_resnet32_{ordering}": functools.partial(OrderingResNet, 32, ordering=ordering)
        for ordering in ORDERINGS
    },
}


def names(pattern: str = "*") -> list[str]:
    """Registered names that match a shell pattern, sorted."""
    return sorted(fnmatch.filter(_REGISTRY, pattern))


def create(name: str, **options) -> Classifier:
    """Builds a network with all its variables.

    Args:
      name: one of `names()`.
      **options: of the network's constructor, such as `num_classes`, `channels`, `seed`.

    Raises:
      ValueError: for an unknown name or an option's value that the network refuses.
      TypeError: for an option that the network does not have.
    """
    if name not in _REGISTRY:
        near = difflib.get_close_matches(name, _REGISTRY, n=3) or names()
        raise ValueError(f"no network is called {name!r}; there are {', '.join(near)}")
    return _REGISTRY[name](**options)
