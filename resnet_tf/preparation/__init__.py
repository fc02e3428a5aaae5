"""From any usual source of labelled pictures to records with a manifest."""

from resnet_tf.preparation.picture import Listing, Picture
from resnet_tf.preparation.writer import write_dataset

__all__ = ["Listing", "Picture", "write_dataset"]
