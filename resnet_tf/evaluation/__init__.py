"""Evaluation: every record of a split counted once."""

from resnet_tf.evaluation.averaged import Averaged, average_commits
from resnet_tf.evaluation.comparison import Change, Comparison, compare, first_difference
from resnet_tf.evaluation.evaluate import make_evaluation
from resnet_tf.evaluation.evaluator import Evaluator, evaluate_checkpoint, some_pictures
from resnet_tf.evaluation.explain import Explainer
from resnet_tf.evaluation.imported import import_weights
from resnet_tf.evaluation.model_directory import nearest_parent
from resnet_tf.evaluation.picture_files import listed as listed_pictures
from resnet_tf.evaluation.predict import predict
from resnet_tf.evaluation.prediction_files import ENDINGS as PREDICTION_ENDINGS
from resnet_tf.evaluation.prediction_files import columns
from resnet_tf.evaluation.prediction_files import read as read_predictions
from resnet_tf.evaluation.predictions import Predictions
from resnet_tf.evaluation.request import Request, data_for
from resnet_tf.evaluation.saved import LoadedModel, load
from resnet_tf.evaluation.summary import Summary, describe, refuse_place, write_table
from resnet_tf.evaluation.temperature import stored as stored_temperature
from resnet_tf.evaluation.watching import new_commits

__all__ = [
    "PREDICTION_ENDINGS",
    "Averaged",
    "Change",
    "Comparison",
    "Evaluator",
    "Explainer",
    "LoadedModel",
    "Predictions",
    "Request",
    "Summary",
    "average_commits",
    "columns",
    "compare",
    "data_for",
    "describe",
    "evaluate_checkpoint",
    "first_difference",
    "import_weights",
    "listed_pictures",
    "load",
    "make_evaluation",
    "nearest_parent",
    "new_commits",
    "predict",
    "read_predictions",
    "refuse_place",
    "some_pictures",
    "stored_temperature",
    "write_table",
]
