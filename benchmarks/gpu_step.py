"""Training speed of one network on one GPU, in each precision, from a batch that comes from memory.

  python benchmarks/gpu_step.py [--network=resnet50] [--batch=256] [--size=224] [--classes=1000]
      [--modes float32 bfloat16 float16 bfloat16+xla …] [--no_strategy] [--deterministic]
      [--steps_a_call=10] [--lock=FILE]

The step is that of a run (`training.make_train_step`): under `MirroredStrategy` unless
`--no_strategy`, with momentum, decay and the pictures' normalisation in it; float32 uses TF32,
and float16 a scale of the loss that is found. A JSON line a mode: images a second as median,
least and most of five windows, first call, memory, first and last loss. Each mode holds the
lock only while it is timed, so that `contenders/torch_gpu.py` can compile beside it.
"""

# ruff: noqa: E402
import argparse
import functools
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks" / "contenders")]

from resnet_tf import runtime  # isort: skip  prepares the process for TensorFlow
import numpy as np
import tensorflow as tf
from cases import MEAN, STD
from stepping import alone, report, windows

from resnet_tf import input, models
from resnet_tf.training import schedules
from resnet_tf.training.gradient import Gradient
from resnet_tf.training.optimizers import SGD
from resnet_tf.training.precision import DynamicScale, FixedScale
from resnet_tf.training.step import TrainingState, make_train_step

RATE, WINDOWS = 0.01, 5


def batches(strategy: tf.distribute.Strategy, flags: argparse.Namespace):
    """The same random batch without end, with the marks that a step asks for."""
    random = np.random.default_rng(0)
    shape = (flags.batch, flags.size, flags.size, 3)
    images = random.integers(0, 256, shape, np.uint8)
    labels = random.integers(0, flags.classes, flags.batch)
    batch = tf.data.Dataset.from_tensors((images, labels, np.zeros((flags.batch, 2), np.int64)))
    return iter(strategy.experimental_distribute_dataset(batch.repeat().prefetch(2)))


def make(strategy: tf.distribute.Strategy, flags: argparse.Namespace, mode: str):
    """The training function of a run in this mode."""
    precision, _, compiler = mode.partition("+")
    with strategy.scope():
        model = models.create(flags.network, num_classes=flags.classes)
        state = TrainingState(
            model=model,
            optimizer=SGD(model, momentum=0.9, weight_decay=1e-4),
            step=tf.Variable(0, dtype=tf.int64, trainable=False),
            loss_scale=DynamicScale() if precision == "float16" else FixedScale(),
        )
    gradient = Gradient(
        model,
        model.trainable_variables,
        preprocess=functools.partial(input.normalize, mean=MEAN, std=STD),
        batch_size=flags.batch,
        dtype=tf.as_dtype(precision),
    )
    return make_train_step(
        strategy, state, gradient, schedule=schedules.constant(RATE), xla=compiler == "xla"
    )


def measure(strategy: tf.distribute.Strategy, flags: argparse.Namespace, mode: str) -> None:
    begin = time.perf_counter()
    train, iterator, losses = make(strategy, flags, mode), batches(strategy, flags), []

    def advance(steps):
        begin = time.perf_counter()
        for _ in range(steps // flags.steps_a_call):
            health = train(iterator, tf.constant(flags.steps_a_call))
        losses.extend(health["loss"].numpy().tolist())
        return time.perf_counter() - begin

    advance(flags.steps_a_call)
    first_call = time.perf_counter() - begin
    tf.config.experimental.reset_memory_stats("GPU:0")
    with alone(flags.lock):
        found = windows(advance, flags.batch, flags.steps_a_call, WINDOWS)
    gpu = tf.config.list_physical_devices("GPU")[0]
    report(
        network=flags.network, batch=flags.batch, size=flags.size, mode=mode,
        card=tf.config.experimental.get_device_details(gpu)["device_name"],
        strategy=type(strategy).__name__, deterministic=flags.deterministic,
        first_call_s=first_call, **found,
        peak_memory_mb=tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20,
        first_loss=losses[0], last_loss=losses[-1],
    )  # fmt: skip


def main(flags: argparse.Namespace) -> None:
    runtime.configure(deterministic=flags.deterministic)
    mirrored = tf.distribute.MirroredStrategy
    strategy = tf.distribute.get_strategy() if flags.no_strategy else mirrored()
    for mode in flags.modes:
        measure(strategy, flags, mode)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--modes", nargs="*", default=["float32", "bfloat16", "float16"])
    parser.add_argument("--no_strategy", action="store_true")
    parser.add_argument("--deterministic", action="store_true")
    parser.add_argument("--steps_a_call", type=int, default=10)
    parser.add_argument("--lock", help="a file that is locked while a mode is timed")
    main(parser.parse_args())
