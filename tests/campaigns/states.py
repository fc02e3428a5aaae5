"""States that must not be: numbers that are not finite, and commits of another run."""

import dataclasses
import itertools
import pathlib
import random
import re

import numpy as np

from campaigns import campaign, runs
from resnet_tf import checkpoint
from resnet_tf.checkpoint.restore import open_reader

_NETWORKS = (
    "--model=cifar_resnet --model_options=depth=8,width_multiplier=0.25",
    "--model=cifar_resnet --model_options=depth=14,width_multiplier=0.25",
    "--model=cifar_resnet --model_options=depth=8,width_multiplier=0.5",
    "--model=cifar_resnet --model_options=depth=8,width_multiplier=0.25,shortcut=B",
    "--model=resnet18_v2 --model_options=width_multiplier=0.125",
    "--model=cifar_resnet18 --model_options=width_multiplier=0.125",
)
_CHANGES = (
    "--batch_size=16", "--seed=5", "--learning_rate=0.01", "--schedule=constant", "--warmup=3",
    "--optimizer=adam", "--weight_decay=0.01", "--label_smoothing=0.1", "--ema=0.9", "--pad=1",
    "--precision=bfloat16", "--clip=norm",
)  # fmt: skip


def not_finite(folder: pathlib.Path, count: int, workers: int) -> campaign.Result:
    """A NaN or an infinity put into loss, gradient or statistics of one step, on one replica."""
    kinds = list(itertools.product(("loss", "gradient", "statistics"), (False, True), (1, 2)))

    def case(place, number):
        (part, xla, replicas), chance = kinds[number % len(kinds)], random.Random(number)
        step, value = chance.randint(1, 60), chance.choice((np.nan, np.inf, -np.inf))
        flags = ("--steps=80", "--save_every_steps=5", f"--devices=cpu:{replicas}", f"--xla={xla}",
                 "--eval_every_steps=0", "--keep=99")  # fmt: skip
        run = place / "run"
        process = runs.train(run, *flags, prepare=lambda: _poison(part, step, value, chance))
        code = process.wait()
        told = f"{part}, xla {xla}, {replicas} replicas: code {code}\n{process.stderr}"
        assert code == 76, told
        line = next(x for x in process.stderr.splitlines() if x.startswith("ERROR 76: "))
        named = re.search(r"is not finite at step (\d+) ", line)
        assert named and int(named[1]) == step, f"step {step}: {line}"
        commits = checkpoint.commits(run / "checkpoints")
        assert all(int(path.name[5:]) < step for path in commits)
        assert len(commits) == (step - 1) // 5
        for path in commits:
            with open_reader(path / "variables") as reader:
                for name in reader.get_variable_to_shape_map():
                    assert np.isfinite(reader.get_tensor(name)).all(), (path, name)
        return {"part": part}

    promise = (
        "a value that is not finite (in loss, gradient or statistics, with and without XLA, on one"
        " and on two replicas) is in no commit, and the step is named"
    )
    return campaign.run("not finite", promise, case, range(count), folder, workers)


def _poison(part: str, step: int, value: float, chance: random.Random) -> None:
    import tensorflow as tf

    from resnet_tf.training.gradient import Gradient

    real, place = Gradient.__call__, chance.random()

    def call(self, values, batch):
        sums = real(self, values, batch)
        bad = tf.equal(batch.step, step - 1)
        # On the last replica only, where there are two.
        shares = self._batch_size // tf.shape(batch.images)[0]
        bad &= tf.equal(batch.first, (shares - 1) * tf.shape(batch.images)[0])
        many = [sums.loss] if part == "loss" else getattr(sums, _FIELDS[part])
        chosen = int(place * len(many))
        poisoned = tf.where(bad, tf.constant(value, many[chosen].dtype), many[chosen])
        if part != "loss":
            poisoned = [*many[:chosen], poisoned, *many[chosen + 1 :]]
        return dataclasses.replace(sums, **{_FIELDS[part]: poisoned})

    Gradient.__call__ = call


_FIELDS = {"loss": "loss", "gradient": "gradients", "statistics": "statistics"}


def mismatches(folder: pathlib.Path, count: int, workers: int) -> campaign.Result:
    """Each of six networks over a run of each other, and twelve changed flags."""
    folder.mkdir(parents=True, exist_ok=True)
    once = ("--steps=1", "--eval_every_steps=0")
    pairs = [
        (a, network.split())
        for a, (b, network) in itertools.product(range(6), enumerate(_NETWORKS))
        if a != b
    ] + [(0, [*_NETWORKS[0].split(), change]) for change in _CHANGES]
    pairs = pairs[:: -(-len(pairs) // count)]
    for number in sorted({there for there, _ in pairs}):
        runs.finish(folder / f"network{number}", *_NETWORKS[number].split(), *once)

    def case(place, number):
        there, flags = pairs[number]
        before = runs.committed(folder / f"network{there}")
        process = runs.start(
            f"--model_dir={folder}/network{there}", *runs.MICRO, "--steps=5", *flags,
            output=place / "out",
        )  # fmt: skip
        code = process.wait()
        said = [line for line in process.stderr.splitlines() if line.startswith("ERROR")]
        assert code == 78 and len(said) == 1, f"{flags}: code {code}\n{process.stderr}"
        assert "Traceback" not in process.stderr and process.events == []
        assert runs.committed(folder / f"network{there}") == before
        return {}

    promise = "a run of another network, or with a flag that makes it another run, is refused"
    return campaign.run("mismatches", promise, case, range(len(pairs)), folder, workers)
