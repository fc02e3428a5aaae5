"""Networks: one readable file a family, and the registry that finds them by name."""

from resnet_tf.models.classifier import Classifier, count_parameters
from resnet_tf.models.registry import create, create_as_told, names, usual_preprocessing
from resnet_tf.models.traced import graph_by_layer, trace, variables_read

__all__ = [
    "Classifier",
    "count_parameters",
    "create",
    "create_as_told",
    "graph_by_layer",
    "names",
    "trace",
    "usual_preprocessing",
    "variables_read",
]
