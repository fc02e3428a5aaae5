"""--overfit_batches: the same few batches over and over, as a test of a whole run."""

import json
import pathlib

import numpy as np

from resnet_tf import input
from resnet_tf.config import Config
from resnet_tf.distribution import DeviceRequest, make_strategy
from resnet_tf.training import command, start

DIGITS = pathlib.Path(__file__).resolve().parents[2] / "data" / "digits"


def config(model_dir, **told):
    fields = {
        "model": "cifar_resnet", "model_options": {"depth": 8, "width_multiplier": 0.25},
        "data_dir": str(DIGITS), "model_dir": str(model_dir), "steps": 80, "batch_size": 16,
        "devices": "cpu", "log_every_steps": 10, "weight_decay": 0.0, "learning_rate": 0.1,
        "eval_batch_size": 360, "pad": 1,
    }  # fmt: skip
    return Config(**(fields | told))


def test_one_batch_is_learnt_by_heart(tmp_path):
    done = command.train(config(tmp_path, overfit_batches=1))
    journal = map(json.loads, (tmp_path / "journal.jsonl").read_text().splitlines())
    losses = [event["loss"] for event in journal if event["event"] == "train"]
    assert losses[0] > 0.5 and losses[-1] < 0.02
    assert done["train_loss"] < 0.02
    # Of what it has not seen it knows little.
    assert done["eval"]["loss"] > 20 * done["train_loss"]


def test_only_the_first_batches_are_read(tmp_path):
    told = config(tmp_path, overfit_batches=2)
    manifest = start.data_of(told)
    run = start.prepare(told, manifest, make_strategy(DeviceRequest.parse("cpu")))
    order = input.Order((manifest.records("train"),), told.seed)
    ids = order.at(np.arange(32))[0].numpy().reshape(2, 16)
    batches = iter(run.feed.batches(3))
    seen = [next(batches) for _ in range(4)]
    for step, (images, _, marks) in enumerate(seen, start=3):
        assert marks[:, 0].numpy().tolist() == ids[step % 2].tolist() == run.feed.records_of(step)
        # They are shifted by the same noise, too.
        assert (images.numpy() == seen[(step - 3) % 2][0].numpy()).all()
