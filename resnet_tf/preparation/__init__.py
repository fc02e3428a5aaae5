"""From any usual source of labelled pictures to records with a manifest."""

from resnet_tf.preparation.picture import Listing, Picture
from resnet_tf.preparation.progress import Bar, Progress
from resnet_tf.preparation.recode import Recode
from resnet_tf.preparation.writer import write_dataset

__all__ = ["Bar", "Listing", "Picture", "Progress", "Recode", "write_dataset"]
