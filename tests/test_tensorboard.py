"""Event files, read back by TensorBoard's own reader."""

import importlib.util
import json

import made
import numpy as np
import pytest
import small_runs
import tensorflow as tf

from resnet_tf import models
from resnet_tf.layers import named_variables
from resnet_tf.reporting import Journal

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    splits = {"train": [small_runs.payloads(10)], "test": [small_runs.payloads(4)]}
    made.data_set(directory, splits, classes=small_runs.CLASSES, size=8)
    return directory


def read(folder):
    from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return events


def scalars(folder, tag):
    from tensorboard.util import tensor_util

    events = read(folder).Tensors(tag)
    return [(e.step, tensor_util.make_ndarray(e.tensor_proto).item()) for e in events]


def write(journal, *steps):
    for step in steps:
        journal.write("train", step=step, loss=step / 4, gradient_norm=None, split="none")


def test_every_number_of_an_event_is_a_curve(tmp_path):
    journal = Journal(tmp_path, 0, tensorboard=True)
    journal.write("start", step=0, total_steps=9)
    write(journal, 2, 4)
    journal.write("eval", step=4, split="test", top1=0.5, raw={"top1": 0.25}, interval=[0, 1])
    journal.close()
    tags = {"loss"}, {"top1", "raw/top1"}
    for place, expected in zip(("train", "evaluation"), tags):
        assert set(read(tmp_path / "tensorboard" / place).Tags()["tensors"]) == expected
    assert scalars(tmp_path / "tensorboard/train", "loss") == [(2, 0.5), (4, 1.0)]
    assert scalars(tmp_path / "tensorboard/evaluation", "raw/top1") == [(4, 0.25)]


@pytest.mark.parametrize("again", ["resumed", "rewound"])
def test_steps_that_are_done_again_are_drawn_once(again, tmp_path):
    journal = Journal(tmp_path, 0, tensorboard=True)
    write(journal, 2, 4, 6)
    if again == "resumed":
        journal.close()
        journal = Journal(tmp_path, 4, tensorboard=True)
    else:
        journal.rewind(4)
    write(journal, 5, 6)
    journal.close()
    expected = [(step, step / 4) for step in (2, 4, 5, 6)]
    assert scalars(tmp_path / "tensorboard/train", "loss") == expected


def test_a_run_shows_its_journal_its_network_and_its_pictures(
    data, tmp_path, monkeypatch, two_replicas
):
    small_runs.use_tiny(monkeypatch, two_replicas)
    told = {"tensorboard": True, "log_every_steps": 2, "steps_per_call": 2, "batch_size": 2}
    done = small_runs.train(data, tmp_path / "run", devices="cpu:2", **told)
    plain = small_runs.train(
        data, tmp_path / "plain", devices="cpu:2", **told | {"tensorboard": False}
    )
    assert plain["digest"] == done["digest"] and not (tmp_path / "plain/tensorboard").exists()
    folder = tmp_path / "run/tensorboard/train"
    for tag in ("loss", "top1", "learning_rate"):
        said = [(e["step"], e[tag]) for e in small_runs.journal(tmp_path / "run", "train")]
        assert scalars(folder, tag) == [(step, pytest.approx(v, rel=1e-6)) for step, v in said]
    assert scalars(tmp_path / "run/tensorboard/evaluation", "top1") == [(6, done["eval"]["top1"])]
    events = read(folder)
    assert "conv/Conv2D" in {node.name for node in events.Graph().node}
    (shown,) = events.Tensors("pictures as trained on")
    encoded = shown.tensor_proto.string_val[2:]
    assert shown.step == 0 and [tf.io.decode_png(e).shape for e in encoded] == [(8, 8, 3)]
    below = events.SummaryMetadata("pictures as trained on").summary_description
    assert below.startswith("1: ")


def test_event_files_that_cannot_be_written_cost_no_run(
    data, tmp_path, monkeypatch, two_replicas, capsys
):
    small_runs.use_tiny(monkeypatch, two_replicas)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/tensorboard").write_text("in the way")
    done = small_runs.train(data, tmp_path / "run", tensorboard=True, steps=2)
    assert done["step"] == 2
    assert capsys.readouterr().err.count("no more event files for TensorBoard: ") == 1


def test_without_the_package_there_are_none(tmp_path, monkeypatch):
    monkeypatch.setattr("resnet_tf.reporting.journal.installed", lambda: False)
    journal = Journal(tmp_path, 0, tensorboard=True)
    write(journal, 2)
    journal.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["journal.jsonl", "steps.csv"]


def test_the_graph_is_named_by_layer_and_computes_the_same():
    model = models.create("cifar_resnet20", num_classes=4)
    definition = tf.compat.v1.GraphDef.FromString(models.graph_by_layer(model, 16, 16))
    names = {node.name for node in definition.node}
    assert {
        "images", "stem/Conv2D", "stem/kernel", "stem/kernel/read", "stage1/0/conv1/Conv2D",
        "stage2/0/norm2/FusedBatchNormV3", "stage3/2/Relu_1", "head/MatMul",
    } <= names  # fmt: skip
    # Shortcuts and additions of a block stand in it.
    assert {"stage1/1/AddV2", "stage2/0/Conv2D", "stage2/0/AddV2"} <= names
    images = np.random.default_rng(0).normal(size=(1, 16, 16, 3)).astype(np.float32)
    fed = {f"{name}/read:0": variable.numpy() for name, variable in named_variables(model).items()}
    expected = model(images, training=False).numpy()
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        tf.graph_util.import_graph_def(definition, name="")
        logits = session.run("head/BiasAdd:0", fed | {"images:0": images})
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)


def test_the_journal_is_the_same_with_event_files(tmp_path, capsys):
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
        journal = Journal(tmp_path / name, 0, tensorboard=name == "with")
        write(journal, 1)
        journal.close()
    lines = [(tmp_path / name / "journal.jsonl").read_text() for name in ("with", "without")]
    assert lines[0] == lines[1] and json.loads(lines[0])["loss"] == 0.25
