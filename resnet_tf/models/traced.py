"""The traced graph of a network, and which layer each of its operations belongs to."""

import tensorflow as tf

from resnet_tf.layers import named_variables
from resnet_tf.models.classifier import Classifier


def trace(model: Classifier, height: int, width: int, batch: int | None = 1) -> tf.Graph:
    """The graph of inference on `batch` images, or on any number.

    Raises:
      ValueError: for images that are too small.
    """
    if min(height, width) < model.smallest_image:
        raise ValueError(
            f"images must be {model.smallest_image} or more a side, got {height}x{width}"
        )
    images = tf.TensorSpec([batch, height, width, model.options.channels], name="images")
    infer = tf.function(lambda x: model(x, training=False), autograph=False)
    return infer.get_concrete_function(images).graph


def variables_read(graph: tf.Graph, model: Classifier) -> dict[str, str]:
    """The variable's name by the name of the tensor that holds its value in the graph."""
    by_handle = {id(v.handle): name for name, v in named_variables(model).items()}
    inside = {inner.name: by_handle[id(outer)] for outer, inner in graph.captures}
    return {
        operation.outputs[0].name: inside[operation.inputs[0].name]
        for operation in graph.get_operations()
        if operation.type == "ReadVariableOp"
    }


def graph_by_layer(model: Classifier, height: int, width: int) -> bytes:
    """The graph of inference as a serialized `GraphDef`, its nodes called after their layers.

    An operation that reads variables is called by their path, such as
    `stage1/0/conv1/Conv2D`; one that reads none by the path around that of the last one that did,
    `stage1/0/Relu`. So a viewer that folds names folds blocks and stages.

    Raises:
      ValueError: for images that are too small.
    """
    graph = trace(model, height, width)
    read = variables_read(graph, model)
    around, names, taken = "", {}, set()
    for operation in graph.get_operations():
        layer = _layer(operation, read)
        name = f"{layer or around}/{operation.type}".removeprefix("/")
        around = around if layer is None else layer.rpartition("/")[0]
        names[operation.name] = _unused(_own_name(operation, read) or name, taken)
    definition = graph.as_graph_def()
    for node in definition.node:
        node.name = names[node.name]
        node.input[:] = [_renamed(source, names) for source in node.input]
    return definition.SerializeToString()


def _layer(operation: tf.Operation, read: dict[str, str]) -> str | None:
    """The path of the layer whose variables an operation computes with, if with any."""
    variables = [read[tensor.name] for tensor in operation.inputs if tensor.name in read]
    return variables[0].rpartition("/")[0] if variables else None


def _own_name(operation: tf.Operation, read: dict[str, str]) -> str | None:
    """The name of what comes from outside, and of how it is read; None for all else."""
    if operation.type == "ReadVariableOp":
        return f"{read[operation.outputs[0].name]}/read"
    if operation.type != "Placeholder":
        return None
    readers = operation.outputs[0].consumers()
    reads = [read[o.name] for reader in readers for o in reader.outputs if o.name in read]
    return reads[0] if reads else operation.name


def _unused(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number, free = number + 1, f"{name}_{number}"
    taken.add(free)
    return free


def _renamed(source: str, names: dict[str, str]) -> str:
    control = "^" if source.startswith("^") else ""
    name, colon, output = source.removeprefix("^").partition(":")
    return f"{control}{names[name]}{colon}{output}"
