"""What TensorBoard shows of a run from its start on: the network, and pictures of a batch."""

import tensorflow as tf

from resnet_tf import models
from resnet_tf.reporting.tensorboard import TensorBoard
from resnet_tf.training import samples
from resnet_tf.training.run import Run, make_model

_PICTURES = 8


def begin(run: Run, step: int, board: TensorBoard) -> None:
    """Shows the network and the pictures of the batch after `step`."""
    pictures = run.describe["preprocessing"]
    # Made outside of the strategy, whose variables no plain graph can read.
    model = make_model(run.config, run.manifest)
    board.draw(models.graph_by_layer(model, pictures["height"], pictures["width"]))
    batches = iter(run.feed.batches(step))
    try:
        shown = samples.of_next(run.strategy, batches, run.manifest.classes, _PICTURES)
    except tf.errors.OpError:  # the loop will meet that record and say what is to do
        return
    board.show(step, "pictures as trained on", shown)
