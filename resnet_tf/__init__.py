"""resnet_tf: low-level training of residual image classifiers in TensorFlow 2.

Importing this package does not import TensorFlow; it only prepares the process
for it (see `resnet_tf.runtime`), because both settings that matter most on a CPU
can only be made before TensorFlow is loaded.
"""

__version__ = "0.3.0"

from resnet_tf import runtime

runtime.prepare()
