"""A network for inference without the batch norms that its convolutions can do.

With k the kernel of a convolution, b its bias (0 where it has none), and behind it a batch norm
with scale γ, offset β and moving statistics μ, σ²:

    γ · (k * x + b - μ) / √(σ² + ε) + β  =  k' * x + b'
    k' = k · γ / √(σ² + ε)        b' = β + (b - μ) · γ / √(σ² + ε)

That is exact but for rounding wherever nothing else takes what the convolution gives. A batch norm
before a convolution, as in pre-activation networks, stays: the padding lies between the two.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from resnet_tf import models
from resnet_tf.layers import named_variables


@dataclasses.dataclass(frozen=True)
class _Fold:
    """A batch norm, and the convolution that takes its place.

    Attributes:
      norm, convolution: operations of the traced graph.
      kernel, bias: of the folded convolution.
    """

    norm: tf.Operation
    convolution: tf.Operation
    kernel: np.ndarray
    bias: np.ndarray


class Folded(tf.Module):
    """A network's inference with folded batch norms: images to logits, as the network's own.

    Args:
      model: the network, whose weights are copied.
      height, width: of the images.

    Attributes:
      folded: how many batch norms are gone.
    """

    def __init__(self, model: models.Classifier, height: int, width: int):
        super().__init__()
        graph = models.trace(model, height, width, batch=None)
        self._read = models.variables_read(graph, model)
        self._values = {name: v.numpy() for name, v in named_variables(model).items()}
        folds = [f for f in map(self._fold, graph.get_operations()) if f]
        self.folded = len(folds)
        self._output = graph.outputs[0].name
        (self._images,) = (t.name for t in graph.inputs if t.dtype != tf.resource)
        self._given = self._weights(folds)
        self._definition = self._rewritten(graph, folds)
        used = {node.name for node in self._definition.node}
        self.variables_by_tensor = {
            name: tf.Variable(value, trainable=False, name=name.partition(":")[0])
            for name, value in self._given.items()
            if name.partition(":")[0] in used
        }

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """float32 `[N, height, width, C]`, normalised, to logits float32 `[N, classes]`."""
        given = {name: v.read_value() for name, v in self.variables_by_tensor.items()}
        (logits,) = tf.graph_util.import_graph_def(
            self._definition, given | {self._images: images}, [self._output], name=""
        )
        return logits

    def _fold(self, norm: tf.Operation) -> _Fold | None:
        if norm.type != "FusedBatchNormV3" or norm.get_attr("is_training"):
            return None
        before, bias = norm.inputs[0].op, 0.0
        convolution = before
        if before.type == "BiasAdd" and before.inputs[1].name in self._read:
            convolution, bias = before.inputs[0].op, self._value(before.inputs[1])
        if convolution.type != "Conv2D" or convolution.inputs[1].name not in self._read:
            return None
        if any(len(op.outputs[0].consumers()) != 1 for op in {before, convolution}):
            return None
        scale, offset, mean, variance = map(self._value, norm.inputs[1:])
        factor = scale / np.sqrt(variance + norm.get_attr("epsilon"))
        kernel = self._value(convolution.inputs[1]) * factor
        return _Fold(norm, convolution, kernel, offset + (bias - mean) * factor)

    def _value(self, tensor: tf.Tensor) -> np.ndarray:
        if tensor.name in self._read:
            return self._values[self._read[tensor.name]].astype(np.float64)
        return tf.get_static_value(tensor).astype(np.float64)  # the scale of one that has none

    def _weights(self, folds: list[_Fold]) -> dict[str, np.ndarray]:
        """What the rewritten graph is given, by the name of the tensor that stands for it."""
        weights = {tensor: self._values[name] for tensor, name in self._read.items()}
        for fold in folds:
            weights[fold.convolution.inputs[1].name] = fold.kernel.astype(np.float32)
            # The bias comes in where the offset did.
            weights[fold.norm.inputs[2].name] = fold.bias.astype(np.float32)
        return weights

    def _rewritten(self, graph: tf.Graph, folds: list[_Fold]) -> tf.compat.v1.GraphDef:
        definition = graph.as_graph_def()
        nodes = {node.name: node for node in definition.node}
        for node in nodes.values():
            # Inference has no effects, whose order these would keep.
            node.input[:] = [source for source in node.input if not source.startswith("^")]
        for tensor in self._read:  # values come from outside
            _become(nodes[tensor.partition(":")[0]], "Placeholder", dtype=tf.float32)
        for fold in folds:
            offset = fold.norm.inputs[2].op.name
            taken = [fold.convolution.name, offset]
            _become(nodes[fold.norm.name], "BiasAdd", taken, T=tf.float32)
        return tf.compat.v1.graph_util.extract_sub_graph(
            definition, [self._output.partition(":")[0], self._images.partition(":")[0]]
        )


def _become(node, kind: str, inputs: list[str] = (), **types: tf.DType) -> None:
    """Makes a node of a graph another operation."""
    node.op = kind
    node.input[:] = inputs
    node.ClearField("attr")
    for name, dtype in types.items():
        node.attr[name].type = dtype.as_datatype_enum
