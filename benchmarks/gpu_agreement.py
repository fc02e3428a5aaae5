"""Logits and gradients of every network on a GPU beside the CPU's.

  python benchmarks/gpu_agreement.py [--part=0 --parts=1] [NETWORK …]

Weights are random, the batch is eight random pictures, and the CPU computes in float32. A JSON
line a network and precision: the largest difference of a logit divided by the largest logit (at
test time), and the L2 norm of the difference of all gradients divided by that of the gradients
(training time). `--parts` processes side by side do a share each.
"""

# ruff: noqa: E402
import argparse
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks" / "contenders")]

from resnet_tf import runtime  # isort: skip  prepares the process for TensorFlow
import numpy as np
import tensorflow as tf
from stepping import report

from resnet_tf import models
from resnet_tf.training.gradient import Batch, Gradient

# (name, dtype, TF32)
PRECISIONS = (
    ("float32", tf.float32, False),
    ("float32 with TF32", tf.float32, True),
    ("bfloat16", tf.bfloat16, False),
    ("float16", tf.float16, False),
)
BATCH = 8
SIZES = {32: 32, 224: 96, 299: 139}  # smaller pictures for the larger networks
FAMILIES = ("cifar_resnet", "cifar_resnet_ordering")  # names that need a depth


def compute(model, dtype: tf.DType, device: str, images: np.ndarray) -> list[np.ndarray]:
    """The logits, then the gradient of each variable: float32."""
    gradient = Gradient(
        model, model.trainable_variables, preprocess=lambda x: x, batch_size=BATCH, dtype=dtype
    )
    with tf.device(device):
        values = [tf.identity(variable) for variable in gradient.variables]
        pictures = tf.identity(images)
        logits = tf.cast(model(tf.cast(pictures, dtype), training=False), tf.float32)
        batch = Batch(pictures, tf.range(BATCH, dtype=tf.int64), tf.constant(0),
                      tf.constant(0, tf.int64), tf.constant(1.0))  # fmt: skip
        sums = gradient(values, batch)
    return [logits.numpy(), *(g.numpy() for g in sums.gradients)]


def difference(found: list[np.ndarray], truth: list[np.ndarray]) -> dict:
    """Both figures; not a number where something is not finite."""
    logits = np.abs(found[0] - truth[0]).max() / np.abs(truth[0]).max()
    squares = sum(float(np.square(a - b, dtype=np.float64).sum()) for a, b in zip(found, truth))
    whole = sum(float(np.square(b, dtype=np.float64).sum()) for b in truth)
    return {"logits": float(logits), "gradients": (squares / whole) ** 0.5}


def main(flags: argparse.Namespace) -> None:
    runtime.configure(deterministic=False)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    chosen = flags.networks or [name for name in models.names() if name not in FAMILIES]
    for name in chosen[flags.part :: flags.parts]:
        begin = time.perf_counter()
        size = SIZES[models.usual_preprocessing(name).height]
        with tf.device("CPU:0"):
            model = models.create(name, num_classes=10)
            images = tf.random.stateless_normal([BATCH, size, size, 3], [0, 1]).numpy()
        truth = compute(model, tf.float32, "CPU:0", images)
        for precision, dtype, rounded in PRECISIONS:
            tf.config.experimental.enable_tensor_float_32_execution(rounded)
            found = difference(compute(model, dtype, flags.device, images), truth)
            report(network=name, precision=precision, size=size, **found,
                   seconds=time.perf_counter() - begin)  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--device", default="GPU:0")
    main(parser.parse_args())
