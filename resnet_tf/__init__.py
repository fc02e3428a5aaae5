"""resnet_tf: low-level training of residual image classifiers in TensorFlow 2.

Importing this package does not import TensorFlow; it only prepares the process
for it (see `resnet_tf.runtime`), because both settings that matter most on a CPU
can only be made before TensorFlow is loaded.
"""

from resnet_tf import runtime
from resnet_tf.version import __version__

__all__ = ["__version__", "load"]

runtime.prepare()


def load(path, weights="auto"):
    """A trained network with its class names and the way its pictures are prepared.

        network = resnet_tf.load("runs/flowers")
        logits = network.model(network.read(["rose.jpg"]), training=False)

    Args:
      path: a model directory, whose newest commit is taken, or one commit.
      weights: "raw", "average", or "auto": the moving average where the commit has one.

    Returns:
      A `resnet_tf.evaluation.LoadedModel`.

    Raises:
      resnet_tf.errors.UserError: 66 where there is no commit, 78 where it cannot be used.
    """
    from resnet_tf import checkpoint, evaluation

    return checkpoint.read(path, lambda commit: evaluation.load(commit, weights))
