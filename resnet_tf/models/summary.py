"""What a network is made of, layer by layer, read off its traced graph."""

import collections
import dataclasses
import math

from resnet_tf.layers import named_variables
from resnet_tf.models.classifier import Classifier
from resnet_tf.models.traced import trace, variables_read

_POOLS = {"MaxPool": "max pool", "AvgPool": "average pool", "Mean": "mean over positions"}
_WITH_VARIABLES = ("Conv2D", "MatMul", "FusedBatchNormV3")


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer, in the order in which the network runs it.

    Attributes:
      name: path of its variables, or what it does where it has none.
      output: shape for one image, without the batch.
      variables: shape by name, such as {"kernel": (3, 3, 16, 16)}.
      macs: multiply-accumulate operations of its convolution or matrix product for one
        image; batch norm, bias, ReLU, additions and pools are not counted, as is usual.
    """

    name: str
    output: tuple[int, ...]
    variables: dict[str, tuple[int, ...]]
    macs: int

    @property
    def parameters(self) -> int:
        """Numbers in all variables, moving statistics included."""
        return sum(math.prod(shape) for shape in self.variables.values())


def summarize(model: Classifier, height: int, width: int) -> list[Layer]:
    """The layers of a network for images of `height` by `width`, in inference.

    Raises:
      ValueError: for images that are too small.
    """
    graph = trace(model, height, width)
    variables, read = named_variables(model), variables_read(graph, model)
    shapes_of = collections.defaultdict(dict)
    for name, variable in variables.items():
        path, _, own = name.rpartition("/")
        shapes_of[path][own] = tuple(variable.shape)
    layers = []
    for operation in graph.get_operations():
        names = [read[tensor.name] for tensor in operation.inputs if tensor.name in read]
        output = tuple(operation.outputs[0].shape[1:]) if operation.outputs else ()
        if operation.type in _WITH_VARIABLES and names:
            path = names[0].rpartition("/")[0]
            layers.append(Layer(path, output, shapes_of[path], _macs(output, shapes_of[path])))
        elif operation.type in _POOLS:
            layers.append(Layer(_POOLS[operation.type], output, {}, 0))
    return layers


def _macs(output, shapes) -> int:
    """Every output value is a sum over the kernel, but for its last axis."""
    return math.prod(output) * math.prod(shapes["kernel"][:-1]) if "kernel" in shapes else 0
