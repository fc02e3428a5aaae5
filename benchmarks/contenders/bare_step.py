"""Our network in a plain `tf.function` on a batch that lies in memory: no strategy, no loop.

  python bare_step.py --start=FILE.npz [--network=NAME] [--peer=torch|keras] [--write_start]

With `--write_start` it writes the weights, images and labels that every contender starts from,
and nothing else. Without it prints what `stepping.measure` has found, as JSON.
"""

# ruff: noqa: E402
import argparse
import functools
import pathlib
import sys
import time

BEGIN = time.perf_counter()  # before the imports that it times
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from resnet_tf import runtime  # isort: skip  prepares the process for TensorFlow
import numpy as np
import tensorflow as tf
from cases import MEAN, STD, Case, arguments, case_of, ours
from stepping import measure, report

from resnet_tf import input, models
from resnet_tf.layers import StatisticsTape, named_variables
from resnet_tf.training.losses import cross_entropy
from resnet_tf.training.optimizers import SGD

runtime.configure()
IMPORTED = time.perf_counter()


def write_start(model: tf.Module, case: Case, path: str) -> None:
    """The model's variables by name, `images` and `labels`.

    The last batch norm of a bottleneck starts at scale 0.25: at 1, rounding in one of ResNet-50's
    16 grows so much in the next that losses of right programs part by 0.1 in five steps.
    """
    random = np.random.default_rng(0)
    arrays = {name: v.numpy() for name, v in named_variables(model).items()}
    for name in arrays:
        if name.endswith("norm3/scale"):
            arrays[name] = np.full_like(arrays[name], 0.25)
    arrays["images"] = random.integers(0, 256, (case.batch, case.size, case.size, 3), np.uint8)
    arrays["labels"] = random.integers(0, case.classes, case.batch)
    np.savez(path, **arrays)


def make_step(model: tf.Module, optimizer: SGD, images: tf.Tensor, labels: tf.Tensor, rate: float):
    """A function that makes one step and returns its loss."""
    variables = model.trainable_variables
    normalize = functools.partial(input.normalize, mean=MEAN, std=STD)

    @tf.function
    def step():
        with tf.GradientTape() as tape, StatisticsTape() as statistics:
            loss = tf.reduce_mean(cross_entropy(model(normalize(images), training=True), labels))
        optimizer.apply(tape.gradient(loss, variables), variables, tf.constant(rate))
        for variable, target, speed in statistics.updates:
            variable.assign_sub(speed * (variable - target))
        return loss

    return step


def main(flags: argparse.Namespace) -> None:
    begin, case = time.perf_counter(), case_of(flags)
    name, options, decay = ours(flags.network, flags.peer)
    model = models.create(name, num_classes=case.classes, **options)
    if flags.write_start:
        write_start(model, case, flags.start)
        report(start=flags.start)
        return
    arrays = np.load(flags.start, allow_pickle=False)
    for key, variable in named_variables(model).items():
        variable.assign(arrays[key])
    images, labels = tf.constant(arrays["images"]), tf.constant(arrays["labels"])
    optimizer = SGD(model, momentum=0.9, weight_decay=decay)
    step = make_step(model, optimizer, images, labels, case.rate)
    build = time.perf_counter() - begin

    def advance(count):
        begin = time.perf_counter()
        for _ in range(count):
            loss = step()
        return loss.numpy().item(), time.perf_counter() - begin

    report(
        import_s=IMPORTED - BEGIN,
        build_s=build,
        versions={"TensorFlow": tf.__version__},
        **measure(advance, case),
    )


if __name__ == "__main__":
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--write_start", action="store_true")
    main(parser.parse_args())
