"""Exporting: a trained network in the forms that other programs take."""

from resnet_tf.exporting.exports import FORMATS, Export, export, refuse
from resnet_tf.exporting.tflite import KINDS

__all__ = ["FORMATS", "KINDS", "Export", "export", "refuse"]
