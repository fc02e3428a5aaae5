"""What strategies cost on one machine: none, mirrored on one device, two devices, two processes.

  python benchmarks/strategies.py [--network=cifar_resnet20] [--rounds=5]

The same step of the same network at the same batch over all, in processes of their own, in turn,
forwards and backwards (see `rounds.py`), on all cores: two devices, and two processes, have half of
them each. `sum` is the all-reduce of the gradients alone, ms a step; `first call` traces and makes
one step. The tax is the speed without a strategy divided by the row's.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from benchmarks import machine
from benchmarks import rounds as turns
from benchmarks.rounds import ROOT

BATCH, SIDE, RECORDS, CALLS, STEPS = 128, 32, 512, 5, 8
REFERENCE = "no strategy"
# Name to --devices; None for no strategy.
CONTENDERS = {REFERENCE: None, "one device": "cpu", "two devices": "cpu:2", "two processes": "cpu"}


def contend(name: str, network: str) -> None:
    """Prints the figures of one contender."""
    from resnet_tf import runtime
    from resnet_tf.distribution import DeviceRequest
    from resnet_tf.distribution.cluster import find

    cluster = find("", -1, os.environ)
    os.environ.pop("TF_CONFIG", None)
    request = DeviceRequest.parse(CONTENDERS[name] or "cpu")
    threads = (1, 1) if cluster else (0, 0)
    runtime.configure(request.logical_cpus, *threads)
    import tensorflow as tf

    from resnet_tf.distribution import make_strategy, meet, wait_for_all

    if cluster:
        meet(cluster, print)
    strategy = tf.distribute.get_strategy()
    if CONTENDERS[name]:
        strategy = make_strategy(request, cluster)
    figures = _timed(*_step(strategy, network), strategy)
    if cluster:
        wait_for_all(strategy)
    if not cluster or cluster.is_chief:
        print(json.dumps(figures), flush=True)
    os._exit(0)  # TensorFlow takes seconds to take itself apart


def _step(strategy, network: str):
    """The traced step of a network on random pictures, and an iterator of its batches."""
    import numpy as np
    import tensorflow as tf

    from resnet_tf import input, models
    from resnet_tf.distribution import processes
    from resnet_tf.training import schedules
    from resnet_tf.training.gradient import Gradient
    from resnet_tf.training.optimizers import SGD
    from resnet_tf.training.step import TrainingState, make_train_step

    with strategy.scope():
        model = models.create(network, num_classes=10)
        state = TrainingState(model, SGD(model), tf.Variable(0, dtype=tf.int64, trainable=False))
    gradient = Gradient(
        model,
        model.trainable_variables,
        preprocess=lambda images: tf.cast(images, tf.float32) / 64 - 2,
        batch_size=BATCH,
    )
    train = make_train_step(
        strategy,
        state,
        gradient,
        schedule=schedules.constant(0.01),
        several=processes(strategy) > 1,
    )
    pictures = np.random.default_rng(0).integers(0, 256, (RECORDS, SIDE, SIDE, 3), np.uint8)
    reader = input.ArrayReader(pictures, np.arange(RECORDS) % 10)
    batches = input.training_batches(
        strategy,
        reader,
        input.Order((RECORDS,), seed=0),
        batch_size=BATCH,
        augmentation=input.Augmentation(),
    )
    return train, iter(batches), model.trainable_variables


def _timed(train, iterator, variables, strategy) -> dict:
    import tensorflow as tf

    begin = time.perf_counter()
    train(iterator, tf.constant(1))["loss"].numpy()
    first = time.perf_counter() - begin
    seconds = []
    for _ in range(1 + CALLS):
        begin = time.perf_counter()
        train(iterator, tf.constant(STEPS))["loss"].numpy()
        seconds.append(time.perf_counter() - begin)
    return {
        "images_per_second": BATCH * STEPS / statistics.median(seconds[1:]),
        "first_call": first,
        "sum_ms": 1000 * _sum(strategy, variables),
    }


def _sum(strategy, variables) -> float:
    """Seconds of one all-reduce of tensors as the gradients are."""
    import tensorflow as tf

    @tf.function
    def summed(count):
        def of_replica():
            replica = tf.distribute.get_replica_context()
            zeros = [tf.zeros(variable.shape) for variable in variables]
            return replica.all_reduce(tf.distribute.ReduceOp.SUM, zeros)[0]

        for _ in tf.range(count):
            strategy.run(of_replica)

    summed(tf.constant(2))
    begin = time.perf_counter()
    summed(tf.constant(50))
    return (time.perf_counter() - begin) / 50


def main(network: str, rounds: int, drift: float) -> None:
    contenders = []
    for name in CONTENDERS:
        command = [sys.executable, __file__, f"--network={network}", f"--contender={name}"]
        if name == "two processes":
            launch = [sys.executable, str(ROOT / "tools/launch.py"), "--workers=2", "--"]
            command = [*launch, *command]
        contenders.append(turns.Contender(name, tuple(command), REFERENCE))

    def tell(**fields):
        print(json.dumps(fields), file=sys.stderr, flush=True)

    found = [turns.run_round(number, contenders, tell) for number in range(rounds)]
    probes = [p for each in found for figures in each.values() for p in figures["gemm_gflops"]]
    import tensorflow as tf

    described = machine.describe({"TensorFlow": tf.__version__}, probes, machine.cores())
    print(f"\n`{network}`, batch {BATCH} at {SIDE}x{SIDE}, {rounds} rounds. {described}\n")
    print("| strategy | img/s | tax | rounds | sum ms | first call s |\n" + "|---" * 6 + "|")
    for name in CONTENDERS:
        taxes = turns.ratios(found, name, REFERENCE, drift)
        rows = [each[name] for each in found if "failed" not in each[name]]
        speed, total, first = (
            statistics.median(row[key] for row in rows)
            for key in ("images_per_second", "sum_ms", "first_call")
        )
        tax = (
            f"{statistics.median(taxes):.2f} ({min(taxes):.2f}–{max(taxes):.2f})" if taxes else "-"
        )
        print(f"| {name} | {speed:.0f} | {tax} | {len(taxes)} | {total:.1f} | {first:.1f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--network", default="cifar_resnet20")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--drift", type=float, default=0.05, help="of the machine, see rounds.py")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.contender:
        contend(told.contender, told.network)
    else:
        main(told.network, told.rounds, told.drift)
