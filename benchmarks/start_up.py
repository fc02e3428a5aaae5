"""Seconds from an imported TensorFlow to the first trained step, beside Keras.

  python benchmarks/start_up.py [--model=resnet152] [--rounds=3]

Contenders run in processes of their own, in turn, forwards and backwards, on two images of 64x64
so that computing counts for little: ours as train.py builds it, Keras' network of the same depth
with `compile` and `train_on_batch` as it comes, and with XLA off. `build` makes the variables;
`trace` is the first step less the median of the five that follow; `CPU` is the processor time
of both, which a busy machine disturbs less.
"""

import argparse
import importlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
BATCH, SIZE, LATER = 2, 64, 5
IMPORTED = 0.0  # processor time when the imports were done


def ours(name: str) -> dict:
    """Build and trace under the strategy of train.py."""
    import numpy as np
    import tensorflow as tf

    from resnet_tf import input, models
    from resnet_tf.distribution import DeviceRequest, make_strategy
    from resnet_tf.training import schedules
    from resnet_tf.training.gradient import Gradient
    from resnet_tf.training.optimizers import SGD
    from resnet_tf.training.step import TrainingState, make_train_step

    begin = time.perf_counter()
    strategy = make_strategy(DeviceRequest.parse("cpu"))
    with strategy.scope():
        model = models.create(name)
        step = tf.Variable(0, dtype=tf.int64, trainable=False)
        state = TrainingState(model, SGD(model), step)
    build = time.perf_counter() - begin
    gradient = Gradient(
        model,
        model.trainable_variables,
        preprocess=lambda images: tf.cast(images, tf.float32),
        batch_size=BATCH,
    )
    train = make_train_step(strategy, state, gradient, schedule=schedules.constant(0.01))
    reader = input.ArrayReader(np.zeros((16, SIZE, SIZE, 3), np.uint8), np.zeros(16, np.int64))
    batches = input.training_batches(
        strategy,
        reader,
        input.Order((16,), seed=0),
        batch_size=BATCH,
        augmentation=input.Augmentation(),
    )
    iterator = iter(batches)
    return _timed(build, lambda: train(iterator, tf.constant(1))["loss"].numpy())


def keras(name: str, jit_compile: str | bool) -> dict:
    """The network of the same depth as `keras.applications` has it."""
    import keras
    import numpy as np

    begin = time.perf_counter()
    model = getattr(keras.applications, name.replace("resnet", "ResNet"))(
        weights=None, input_shape=(SIZE, SIZE, 3), classifier_activation=None
    )
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit_compile,
    )
    build = time.perf_counter() - begin
    images, labels = np.zeros((BATCH, SIZE, SIZE, 3), np.float32), np.zeros(BATCH, np.int64)
    return _timed(build, lambda: model.train_on_batch(images, labels))


def _timed(build: float, step) -> dict:
    seconds, cpu = [], None
    for _ in range(1 + LATER):
        begin = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begin)
        cpu = cpu or time.process_time()  # of build and first step; imports came before
    trace = seconds[0] - statistics.median(seconds[1:])
    return {"build": build, "trace": trace, "total": build + trace, "CPU": cpu - IMPORTED}


CONTENDERS = {
    "ours": ours,
    "Keras": lambda name: keras(name, "auto"),
    "Keras, XLA off": lambda name: keras(name, False),
}


def main(model: str, rounds: int, contender: str | None) -> None:
    if contender:
        from resnet_tf import runtime

        runtime.configure()
        importlib.import_module("keras")  # before the clocks start, TensorFlow with it
        global IMPORTED
        IMPORTED = time.process_time()
        print(json.dumps(CONTENDERS[contender](model)))
        return
    found: dict[str, list[dict]] = {name: [] for name in CONTENDERS}
    for number in range(rounds):
        for name in list(CONTENDERS)[:: 1 if number % 2 == 0 else -1]:
            command = [sys.executable, __file__, f"--model={model}", f"--contender={name}"]
            process = subprocess.run(command, env=os.environ, capture_output=True, text=True)
            if process.returncode:
                sys.exit(f"{' '.join(command)}\n{process.stderr}")
            found[name].append(json.loads(process.stdout.splitlines()[-1]))
            print(f"round {number + 1}: {name} {found[name][-1]}", flush=True)
    print(f"\n{model}, median of {rounds} rounds\n\n| contender | build s | trace s | total s"
          " | CPU s | ours ÷ it, total | ours ÷ it, CPU |\n" + "|---" * 7 + "|")  # fmt: skip
    for name, rows in found.items():
        cells = " | ".join(
            f"{statistics.median(row[key] for row in rows):.1f}"
            for key in ("build", "trace", "total", "CPU")
        )
        compared = " | ".join(_ratios(found, name, key) for key in ("total", "CPU"))
        print(f"| {name} | {cells} | {compared} |")


def _ratios(found: dict, name: str, key: str) -> str:
    ratios = [mine[key] / row[key] for mine, row in zip(found["ours"], found[name])]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet152")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contender", choices=CONTENDERS, help="run this one here, once")
    main(**vars(parser.parse_args()))
