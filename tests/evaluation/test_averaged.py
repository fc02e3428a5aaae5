"""The mean of the last commits as a model directory: its tensors, its manifest, what is refused."""

import pathlib
import shutil

import made
import numpy as np
import pytest
import references
import small_runs

from resnet_tf import checkpoint, models
from resnet_tf.distribution import DeviceRequest
from resnet_tf.errors import UserError
from resnet_tf.evaluation import average_commits, evaluate_checkpoint, load
from resnet_tf.evaluation import averaged as averaged_module
from resnet_tf.layers import named_variables
from resnet_tf.preprocessing import Preprocessing

import tensorflow as tf  # isort: skip

DIGITS = pathlib.Path(__file__).resolve().parents[2] / "data" / "digits"
OPTIONS = {"depth": 8, "width_multiplier": 0.25}
PICTURES = Preprocessing(8, 8, 1, mean=(77.8856,), std=(95.8691,))
FIELDS = {
    "config": {"recipe": "digits"},
    "architecture": {"model": "cifar_resnet", "options": OPTIONS, "num_classes": 10},
    "classes": list("0123456789"),
    "preprocessing": PICTURES.to_json(),
    "data": {"name": "digits", "directory": str(DIGITS), "eval_split": "test"},
    "environment": {"resnet_tf": "0.1"},
}


def commit(model_dir, step, tensors, **fields):
    state = {f"model/{name}": np.asarray(tensor) for name, tensor in tensors.items()}
    state["step"] = np.array(step, np.int64)
    return checkpoint.write(model_dir / "checkpoints", step, state, FIELDS | fields)


def saved(commit):
    reader = tf.train.load_checkpoint(commit.variables)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def three_commits(model_dir, **fields):
    """Of one vector: 0 3, then 10 20, then 20 1."""
    for step, values in ((4, [0, 3]), (8, [10, 20]), (12, [20, 1])):
        commit(model_dir, step, {"w": np.array(values, np.float32)}, **fields)
    return model_dir


def refused(code, message, *arguments, **options):
    with pytest.raises(UserError) as caught:
        average_commits(*arguments, **options)
    assert caught.value.code == code
    assert str(caught.value).startswith(f"ERROR {code}: ") and message in str(caught.value)
    return caught.value


# --- what is averaged


@pytest.mark.parametrize("last, mean, steps", [
    (2, [15, 10.5], [12, 8]), (3, [10, 8], [12, 8, 4]), (4, [10, 8], [12, 8, 4]),
    (None, [10, 8], [12, 8, 4]),
])  # fmt: skip
def test_the_newest_by_hand(tmp_path, last, mean, steps):
    told = {} if last is None else {"last": last}
    averaged = average_commits(three_commits(tmp_path / "run"), tmp_path / "mean", **told)
    (tensor,) = saved(averaged.commit).items()
    assert tensor[0] == "model/w" and tensor[1].dtype == np.float32
    np.testing.assert_array_equal(tensor[1], mean)
    assert [source.step for source in averaged.sources] == steps
    assert averaged.damaged == [] and averaged.variables == 1


def test_of_more_than_five_the_newest_five_are_taken_where_nothing_is_said(tmp_path):
    for step in range(7):
        commit(tmp_path / "run", step, {"w": np.float32(step)})
    averaged = average_commits(tmp_path / "run", tmp_path / "mean")
    assert [source.step for source in averaged.sources] == [6, 5, 4, 3, 2]
    assert saved(averaged.commit) == {"model/w": 4}


def test_the_mean_is_taken_in_float64(tmp_path):
    # In float32, 1e8 + 1 - 1e8 is 0.
    for step, value in enumerate((1e8, 1, -1e8)):
        commit(tmp_path / "run", step, {"w": np.float32(value)})
    averaged = average_commits(tmp_path / "run", tmp_path / "mean")
    assert saved(averaged.commit) == {"model/w": np.float32(1 / 3)}


def test_only_the_network_is_averaged_its_statistics_too(tmp_path):
    for step in (1, 2):
        value = np.full(3, step, np.float32)
        state = {
            "model/norm/scale": value, "model/norm/moving_mean": 10 * value,
            "average/norm/scale": 50 * value, "average_updates": np.array(step, np.int64),
            "optimizer/momentum/norm/scale": value, "step": np.array(step, np.int64),
        }  # fmt: skip
        checkpoint.write(tmp_path / "run" / "checkpoints", step, state, FIELDS)
    found = saved(average_commits(tmp_path / "run", tmp_path / "mean").commit)
    assert {name: tensor.tolist() for name, tensor in found.items()} == {
        "model/norm/scale": [1.5] * 3, "model/norm/moving_mean": [15] * 3,
    }  # fmt: skip


def test_a_damaged_commit_is_passed_over_and_named(tmp_path):
    run = three_commits(tmp_path / "run")
    (run / "checkpoints" / "step_000000008" / "variables.index").write_bytes(b"")
    averaged = average_commits(run, tmp_path / "mean", last=2)
    assert [source.step for source in averaged.sources] == [12, 4]
    ((path, reason),) = averaged.damaged
    assert path.name == "step_000000008" and reason == "variables.index fails its checksum"
    np.testing.assert_array_equal(saved(averaged.commit)["model/w"], [10, 2])


def test_the_directory_of_the_commits_is_taken_too(tmp_path):
    run = three_commits(tmp_path / "run")
    averaged = average_commits(run / "checkpoints", tmp_path / "mean")
    assert (
        averaged.commit.manifest["digest"]
        == (average_commits(run, tmp_path / "other").commit.manifest["digest"])
    )


# --- what it says


def test_the_manifest_is_that_of_the_newest_commit_without_its_run(tmp_path):
    run = three_commits(tmp_path / "run")
    newer = FIELDS["data"] | {"directory": "/elsewhere", "eval_split": "val"}
    commit(run, 16, {"w": np.zeros(2, np.float32)}, data=newer)
    averaged = average_commits(run, tmp_path / "mean", last=2)
    manifest = averaged.commit.manifest
    assert averaged.commit.step == 0 and manifest["config"] is None
    for name in ("architecture", "classes", "preprocessing"):
        assert manifest[name] == FIELDS[name]
    assert manifest["data"] == newer
    assert manifest["environment"]["tensorflow"] == tf.__version__
    digests = [
        checkpoint.find(run / "checkpoints" / f"step_{step:09}").manifest["digest"]
        for step in (16, 12)
    ]
    assert manifest["source"] == {
        "averaged": [{"step": 16, "digest": digests[0]}, {"step": 12, "digest": digests[1]}]
    }


def test_the_directory_is_there_whole_and_nothing_beside_it(tmp_path, monkeypatch):
    three_commits(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    averaged = average_commits("run", "runs/mean")
    assert str(averaged.commit.path) == "runs/mean/checkpoints/step_000000000"
    assert {str(p.relative_to("runs")) for p in pathlib.Path("runs").rglob("*") if p.is_dir()} == {
        "mean", "mean/checkpoints", "mean/checkpoints/step_000000000",
    }  # fmt: skip
    assert checkpoint.find("runs/mean") == averaged.commit


# --- what becomes of it


def test_it_is_loaded_and_evaluated_on_the_split_of_the_run(tmp_path):
    model = models.create("cifar_resnet", num_classes=10, channels=1, **OPTIONS)
    weights = []
    for step in (1, 2, 3):
        for seed, (name, variable) in enumerate(named_variables(model).items()):
            low, high = (0.5, 2) if name.endswith(("scale", "variance")) else (-0.7, 0.7)
            variable.assign(references.ramp(variable.shape, low, high, seed=100 * step + seed))
        weights.append({name: v.numpy() for name, v in named_variables(model).items()})
        commit(tmp_path / "run", step, weights[-1])
    averaged = average_commits(tmp_path / "run", tmp_path / "mean")
    loaded = load(averaged.commit)
    for name, variable in named_variables(loaded.model).items():
        mean = np.mean([each[name].astype(np.float64) for each in weights], axis=0)
        np.testing.assert_allclose(variable.numpy(), mean, rtol=1e-6, atol=1e-7)
    assert loaded.classes == tuple("0123456789") and loaded.pictures == PICTURES
    found = evaluate_checkpoint(tmp_path / "mean", DeviceRequest.parse("cpu"))
    assert (found["step"], found["split"], found["examples"]) == (0, "test", 360)
    assert found["checkpoint"] == str(averaged.commit.path)


def test_commits_of_a_real_run_and_no_training_from_there(tmp_path, monkeypatch, two_replicas):
    small_runs.use_tiny(monkeypatch, two_replicas)
    data, run, mean = (tmp_path / name for name in ("data", "run", "mean"))
    data.mkdir()
    pictures = small_runs.payloads(24)
    made.data_set(data, {"train": [pictures], "test": [pictures[:8]]}, classes=4, size=8)
    told = {"save_every_steps": 2, "keep": 3, "steps_per_call": 2}
    small_runs.train(data, run, **told)
    averaged = average_commits(run, mean)
    assert [source.step for source in averaged.sources] == [6, 4, 2]
    sources = [saved(source) for source in averaged.sources]
    expected = {
        name: np.mean([source[name].astype(np.float64) for source in sources], axis=0)
        for name in sources[0]
        if name.startswith("model/")
    }
    found = saved(averaged.commit)
    assert found.keys() == expected.keys() and len(found) == 3 < len(sources[0])
    for name, tensor in found.items():
        np.testing.assert_array_equal(tensor, expected[name].astype(np.float32))
        assert not np.array_equal(tensor, sources[0][name])
    with pytest.raises(UserError, match=r"ERROR 78: the directory holds .*, not a run"):
        small_runs.train(data, mean, **told)


# --- what is refused leaves nothing


OTHERS = [
    ("architecture", FIELDS["architecture"] | {"options": {"depth": 14}}),
    ("architecture", FIELDS["architecture"] | {"options": {}}),
    ("classes", list("1023456789")),
    ("classes", None),
    ("preprocessing", PICTURES.to_json() | {"height": 9}),
    ("preprocessing", PICTURES.to_json() | {"mean": [77.0]}),
]


@pytest.mark.parametrize("field, other", OTHERS)
def test_commits_that_differ(tmp_path, field, other):
    run = three_commits(tmp_path / "run")
    commit(run, 16, {"w": np.zeros(2, np.float32)}, **{field: other})
    message = f"its {field} is not that of step_000000016 | {run}/checkpoints/step_000000012 | "
    assert "a smaller --last" in str(refused(78, message, run, tmp_path / "mean"))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_fields_of_pictures_that_an_older_version_did_not_write(tmp_path):
    older = {name: value for name, value in PICTURES.to_json().items() if name != "antialias"}
    run = three_commits(tmp_path / "run", preprocessing=older)
    commit(run, 16, {"w": np.zeros(2, np.float32)})
    averaged = average_commits(run, tmp_path / "mean")
    assert averaged.commit.manifest["preprocessing"] == PICTURES.to_json()


@pytest.mark.parametrize("tensors", [
    {"v": np.zeros(2, np.float32)}, {"w": np.zeros(3, np.float32)}, {"w": np.zeros(2, np.float64)},
    {"w": np.zeros(2, np.float32), "v": np.zeros(2, np.float32)}, {},
])  # fmt: skip
def test_commits_with_other_variables(tmp_path, tensors):
    run = three_commits(tmp_path / "run")
    commit(run, 16, tensors)
    message = "its variables are not those of step_000000016"
    refused(78, message, run, tmp_path / "mean")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_fewer_than_two_commits(tmp_path):
    rule = "an average needs 2 commits or more, and there are "
    refused(66, f"{rule}0 that can be used | {tmp_path}/none | ", tmp_path / "none", tmp_path / "m")
    one = tmp_path / "one"
    first = commit(one, 4, {"w": np.zeros(2, np.float32)})
    error = refused(66, f"{rule}1 that can be used | {one} | ", one, tmp_path / "m")
    assert "--keep" in str(error) and error.details == ""
    refused(66, f"{rule}0 ", first.path, tmp_path / "m")  # one commit is no run
    commit(one, 8, {"w": np.zeros(2, np.float32)})
    (first.path / "manifest.json").unlink()
    error = refused(66, f"{rule}1 that can be used", one, tmp_path / "m")
    assert error.details == "  step_000000004: manifest.json: No such file or directory"
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


@pytest.mark.parametrize("last", [1, 0, -2])
def test_fewer_than_two_are_no_average(tmp_path, last):
    run = three_commits(tmp_path / "run")
    message = f"last must be 2 or more, got {last} | --last"
    refused(64, message, run, tmp_path / "mean", last=last)


@pytest.mark.parametrize("output", ["run", "file", "file/mean"])
def test_an_output_that_exists_or_cannot_be_made(tmp_path, output):
    run = three_commits(tmp_path / "run")
    (tmp_path / "file").write_text("mine")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    refused(73, "choose another name", run, tmp_path / output)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_an_empty_directory_is_no_output_yet(tmp_path):
    (tmp_path / "mean").mkdir()
    average_commits(three_commits(tmp_path / "run"), tmp_path / "mean")
    assert checkpoint.find(tmp_path / "mean").step == 0


# --- a run that goes on meanwhile


@pytest.mark.parametrize("moment", ["verify", "read"])
def test_a_commit_that_is_swept_meanwhile(tmp_path, monkeypatch, moment):
    run, done = three_commits(tmp_path / "run"), []
    module, name = {"verify": (averaged_module.commit, "verify"),
                    "read": (averaged_module, "open_reader")}[moment]  # fmt: skip
    real = getattr(module, name)

    def sweeping(path, **told):
        if not done and "step_000000008" in str(path):
            done.append(path)
            commit(run, 16, {"w": np.array([40, 40], np.float32)})
            shutil.rmtree(run / "checkpoints/step_000000008")
        return real(path, **told)

    monkeypatch.setattr(module, name, sweeping)
    averaged = average_commits(run, tmp_path / "mean", last=2)
    expected = {"verify": [12, 4], "read": [16, 12]}[moment]
    assert [source.step for source in averaged.sources] == expected and averaged.damaged == []
    w = [np.mean(x) for x in ([20, 0], [1, 3])] if moment == "verify" else [30, 20.5]
    assert saved(averaged.commit)["model/w"].tolist() == w
