"""The data doctor: what is sound in a data set, what is odd, and what training could not use."""

from resnet_tf.inspection import page, writing
from resnet_tf.inspection.checking import Options, Report, bytes_of, check
from resnet_tf.inspection.findings import Finding, Findings, counted
from resnet_tf.inspection.layout import read_class_names

__all__ = [
    "Finding",
    "Findings",
    "Options",
    "Report",
    "bytes_of",
    "check",
    "counted",
    "page",
    "read_class_names",
    "writing",
]
