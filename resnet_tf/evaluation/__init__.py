"""Evaluation: every record of a split counted once."""

from resnet_tf.evaluation.averaged import Averaged, average_commits
from resnet_tf.evaluation.evaluate import make_evaluation
from resnet_tf.evaluation.imported import import_weights
from resnet_tf.evaluation.saved import SavedModel, evaluate_checkpoint, load

__all__ = [
    "Averaged",
    "SavedModel",
    "average_commits",
    "evaluate_checkpoint",
    "import_weights",
    "load",
    "make_evaluation",
]
