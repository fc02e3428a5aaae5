"""Optimizers with explicit slots, updated by TensorFlow's fused ops where there are any."""

from resnet_tf.training.optimizers.adam import Adam
from resnet_tf.training.optimizers.lamb import LAMB
from resnet_tf.training.optimizers.lars import LARS
from resnet_tf.training.optimizers.optimizer import Optimizer
from resnet_tf.training.optimizers.rmsprop import RMSprop
from resnet_tf.training.optimizers.sgd import SGD

__all__ = ["LAMB", "LARS", "SGD", "Adam", "Optimizer", "RMSprop"]
