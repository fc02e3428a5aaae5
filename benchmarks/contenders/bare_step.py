"""Our network in a plain `tf.function` on a batch that lies in memory: no strategy, no loop.

  python bare_step.py --start=FILE.npz [--write_start]

Prints {"images_per_second": …, "losses": […]}: the losses of the first 20 steps, and the speed
of the median step after them.
"""

import argparse
import functools
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from resnet_tf import models, runtime

BATCH, SIZE, COMPARED, TIMED = 128, 32, 20, 40
MEAN, STD = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)


def main(start: str, write_start: bool) -> None:
    runtime.configure()
    import numpy as np
    import tensorflow as tf

    from resnet_tf import input
    from resnet_tf.layers import StatisticsTape, named_variables
    from resnet_tf.training.losses import cross_entropy
    from resnet_tf.training.optimizers import SGD

    model = models.create("cifar_resnet20")
    variables = model.trainable_variables
    optimizer = SGD(model, weight_decay=1e-4)
    if write_start:
        random = np.random.default_rng(0)
        arrays = {name: v.numpy() for name, v in named_variables(model).items()}
        arrays["images"] = random.integers(0, 256, (BATCH, SIZE, SIZE, 3), np.uint8)
        arrays["labels"] = random.integers(0, 10, BATCH)
        np.savez(start, **arrays)
    arrays = np.load(start, allow_pickle=False)
    images, labels = tf.constant(arrays["images"]), tf.constant(arrays["labels"])
    normalize = functools.partial(input.normalize, mean=MEAN, std=STD)

    @tf.function
    def step():
        with tf.GradientTape() as tape, StatisticsTape() as statistics:
            loss = tf.reduce_mean(cross_entropy(model(normalize(images), training=True), labels))
        optimizer.apply(tape.gradient(loss, variables), variables, tf.constant(0.05))
        for variable, target, rate in statistics.updates:
            variable.assign_sub(rate * (variable - target))
        return loss

    losses = [step().numpy().item() for _ in range(COMPARED)]
    seconds = []
    for _ in range(TIMED):
        begin = time.perf_counter()
        step().numpy()
        seconds.append(time.perf_counter() - begin)
    print(json.dumps({"images_per_second": BATCH / float(np.median(seconds)), "losses": losses}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--start", required=True)
    parser.add_argument("--write_start", action="store_true")
    main(**vars(parser.parse_args()))
