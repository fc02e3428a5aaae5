"""Fine-tuning: parts, what is frozen, rates by part, where the weights come from."""

import shutil

import made
import numpy as np
import pytest
from small_runs import payloads

from resnet_tf import checkpoint, models
from resnet_tf.config import Config
from resnet_tf.errors import UserError
from resnet_tf.evaluation import import_weights
from resnet_tf.input import Manifest
from resnet_tf.layers import BatchNorm, named_variables
from resnet_tf.models import registry
from resnet_tf.preprocessing import Preprocessing
from resnet_tf.training import command, fine_tuning
from resnet_tf.training.feed import pictures_of

import tensorflow as tf  # isort: skip

CLASSES = 4
SMALL = {"depth": 8, "width_multiplier": 0.125}
EIGHTH = {"width_multiplier": 0.125}
THREE = ["stage1", "stage2", "stage3"]
FOUR = [*THREE, "stage4"]


def network(name="cifar_resnet", classes=CLASSES, seed=0, **options):
    return models.create(name, num_classes=classes, seed=seed, **(options or SMALL))


def arrays(model):
    return {name: variable.numpy() for name, variable in named_variables(model).items()}


def plan(model, **told):
    return fine_tuning.make_plan(Config(steps=1, **told), model)


def trainable(model):
    return {name for name, variable in named_variables(model).items() if variable.trainable}


# --- parts

PARTS = [
    ("cifar_resnet", SMALL, ["stem", *THREE, "head"]),
    *[("cifar_resnet_ordering", SMALL | {"ordering": ordering},
       ["stem", *THREE, "final_norm", "head"]) for ordering in ("a", "d", "e_v2")],
    ("cifar_resnet34", EIGHTH, ["stem", *THREE, "final_norm", "head"]),
    ("cifar_resnet50", EIGHTH, ["stem", *FOUR, "final_norm", "head"]),
    ("cifar_resnet18", EIGHTH, ["stem", *FOUR, "head"]),
    ("resnet18", EIGHTH, ["stem", *FOUR, "head"]),
    ("resnet50_v1", EIGHTH, ["stem", *FOUR, "head"]),
    ("resnet50_d", EIGHTH, ["stem", *FOUR, "head"]),
    ("se_resnet50", EIGHTH, ["stem", *FOUR, "head"]),
    ("resnet18_v2", EIGHTH, ["stem", *FOUR, "final_norm", "head"]),
    ("ex6_net", EIGHTH, [
        "conv1a", "conv2a", "conv2b", "concat3a", "concat4a", "concat5a", "concat5b", "concat5c",
        "concat6a", "conv3a", "conv4a", "head"]),
    ("plain_resnet100", {"seed": 0}, ["stem1", "stem2", *FOUR, "head"]),
]  # fmt: skip


def test_every_family_is_in_this_table():
    families = {row.family for row in registry._REGISTRY.values()}
    assert {registry._REGISTRY[name].family for name, _, _ in PARTS} == families


@pytest.mark.parametrize("name, options, expected", PARTS)
def test_the_parts_of_every_family_from_the_pictures_to_the_head(name, options, expected):
    model = models.create(name, **options)
    parts = model.parts
    assert list(parts) == expected
    together = [variable for names in parts.values() for variable in names]
    assert sorted(together) == sorted(named_variables(model))
    for part, names in parts.items():
        assert all(name.startswith((f"{part}/", f"{part}_")) for name in names)


# --- freeze


def test_nothing_is_frozen_by_default():
    model = network()
    found = plan(model)
    assert set(found.trained) == trainable(model) and found.rate_factors == {}
    assert not any(m.frozen for m in model.submodules if isinstance(m, BatchNorm))


@pytest.mark.parametrize("freeze, stays", [
    (("stem",), ("stem/", "stem_norm/")),
    (("stem", "stage1"), ("stem/", "stem_norm/", "stage1/")),
    (("stage",), ("stage1/", "stage2/", "stage3/")),
    (("head",), ("head/",)),
    (("stage2/0",), ("stage2/0/",)),
    (("stage2/0/conv1",), ("stage2/0/conv1/",)),
    (("stage1/0/norm2",), ("stage1/0/norm2/",)),
])  # fmt: skip
def test_what_freeze_names_stays_with_its_batch_norms(freeze, stays):
    model = network()
    found = plan(model, freeze=freeze)
    assert set(found.trained) == {n for n in trainable(model) if not n.startswith(stays)}
    named = {id(v): name for name, v in named_variables(model).items()}
    for norm in (m for m in model.submodules if isinstance(m, BatchNorm)):
        assert norm.frozen == named[id(norm.offset)].startswith(stays)


def test_stem_is_all_stems():
    model = models.create("plain_resnet100")
    found = plan(model, freeze=("stem",))
    assert set(found.trained) == {
        name for name in trainable(model) if not name.startswith(("stem1/", "stem2/"))
    }
    assert not any(n.startswith("stem2/") for n in plan(model, freeze=("stem2",)).trained)
    assert any(n.startswith("stem1/") for n in plan(model, freeze=("stem2",)).trained)


def test_a_block_is_not_the_ones_whose_numbers_begin_like_it():
    model = models.create("cifar_resnet", depth=74, width_multiplier=0.0625)  # 12 blocks a stage
    found = plan(model, freeze=("stage1/1",))
    left = trainable(model) - set(found.trained)
    assert left and all(name.startswith("stage1/1/") for name in left)


def test_freeze_bn_keeps_all_batch_norms_and_no_convolution():
    model = network()
    found = plan(model, freeze_bn=True)
    assert set(found.trained) == {n for n in trainable(model) if n.endswith(("kernel", "bias"))}
    assert all(m.frozen for m in model.submodules if isinstance(m, BatchNorm))


@pytest.mark.parametrize("part", ["stem2", "stages", "stag", "conv1", "st.*", "stage1/7"])
def test_a_part_that_there_is_not(part):
    with pytest.raises(UserError) as caught:
        plan(network(), freeze=("stem", part))
    assert str(caught.value) == (
        "ERROR 64: freeze must name parts of the network: stem, stage1, stage2, stage3, head, got"
        f" {part!r} | --freeze | see --helpfull for its meaning"
    )


def test_something_must_be_left_to_train():
    with pytest.raises(UserError, match="ERROR 64: freeze must leave something to train"):
        plan(network(), freeze=("stem", "stage", "head"))


# --- layer decay


def test_rates_fall_from_the_head_to_the_pictures():
    model = network()
    found = plan(model, layer_decay=0.5).rate_factors
    by_part = {"stem": 1 / 16, "stage1": 1 / 8, "stage2": 1 / 4, "stage3": 1 / 2}
    assert found.keys() == {n for n in trainable(model) if not n.startswith("head/")}
    for name, factor in found.items():
        assert factor == by_part[name.split("/")[0].removesuffix("_norm")]


def test_frozen_parts_count_in_the_rates_too():
    found = plan(network(), layer_decay=0.5, freeze=("stage2",)).rate_factors
    assert found["stem/kernel"] == 1 / 16 and found["stage3/0/conv1/kernel"] == 1 / 2


# --- where the weights come from


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twelve pictures of four classes; the other set has the same under other names."""
    directories = {}
    for name, classes in (("data", CLASSES), ("other", CLASSES + 1)):
        directory = directories[name] = tmp_path_factory.mktemp(name)
        splits = {"train": [payloads(12)], "test": [payloads(4)]}
        made.data_set(directory, splits, classes=classes, size=8)
    return directories


def train(data, model_dir, **told):
    fields = {
        "model": "cifar_resnet", "model_options": SMALL, "data_dir": str(data), "steps": 4,
        "model_dir": str(model_dir), "batch_size": 4, "devices": "cpu", "steps_per_call": 2,
        "learning_rate": 0.05, "eval_batch_size": 4,
    }  # fmt: skip
    return command.train(Config(**(fields | told)))


def tensors(path, prefix=""):
    commit = checkpoint.find(path)
    reader = tf.train.load_checkpoint(commit.variables)
    return {
        name[len(prefix) :]: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.startswith(prefix)
    }


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A run whose pictures are normalised in a way of its own."""
    directory = tmp_path_factory.mktemp("runs") / "origin"
    train(
        data["data"], directory, steps=2, mean=(90.0, 91.0, 92.0), std=(40.0, 41.0, 42.0), ema=0.5
    )
    return directory


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Weights of a network without names of classes, and the network."""
    directory, model = tmp_path_factory.mktemp("imported"), network(seed=7)
    np.savez(directory / "w.npz", **as_torch(model))
    import_weights("cifar_resnet", directory / "w.npz", directory / "run", options=SMALL)
    return directory / "run", model


def as_torch(model):
    """Its variables in torchvision's names and layout."""
    leaves = {
        "kernel": "weight", "scale": "weight", "offset": "bias", "bias": "bias",
        "moving_mean": "running_mean", "moving_variance": "running_var",
    }  # fmt: skip
    file = {}
    for name, array in arrays(model).items():
        *path, leaf = name.split("/")
        if path[0].startswith("stage"):
            layer = f"layer{path[0][5:]}.{path[1]}.{path[2].replace('norm', 'bn')}"
        else:
            layer = {"stem": "conv1", "stem_norm": "bn1", "head": "fc"}[path[0]]
        array = np.transpose(array, (3, 2, 0, 1)) if array.ndim == 4 else array
        file[f"{layer}.{leaves[leaf]}"] = array.T if array.ndim == 2 else array
    return file


def names_of(classes):
    return [f"class {i}" for i in range(classes)]


def test_the_average_is_taken_where_there_is_one(run):
    model = network(seed=3)
    assert fine_tuning.start_from(checkpoint.find(run), model, names_of(CLASSES)) == ()
    found, average, last = arrays(model), tensors(run, "average/"), tensors(run, "model/")
    assert found.keys() == average.keys() == last.keys()
    assert all((found[name] == average[name]).all() for name in found)
    assert not all((found[name] == last[name]).all() for name in found)


@pytest.mark.parametrize("classes", [
    names_of(5), names_of(3), names_of(4)[::-1], ["ant", "bee", "cat", "dog"],
])  # fmt: skip
def test_the_head_is_new_where_the_classes_are_others(run, classes):
    model, fresh = network(classes=len(classes), seed=3), network(classes=len(classes), seed=3)
    new = fine_tuning.start_from(checkpoint.find(run), model, classes)
    assert new == ("head/bias", "head/kernel")
    found, first, average = arrays(model), arrays(fresh), tensors(run, "average/")
    for name in found:
        np.testing.assert_array_equal(found[name], (first if name in new else average)[name])


@pytest.mark.parametrize("classes, new", [(10, ()), (4, ("head/bias", "head/kernel"))])
def test_weights_without_names_of_classes_fit_the_same_number(tmp_path, classes, new):
    model = network(classes=10, seed=7)
    np.savez(tmp_path / "w.npz", **as_torch(model))
    import_weights("cifar_resnet", tmp_path / "w.npz", tmp_path / "run", options=SMALL)
    mine = network(classes=classes, seed=3)
    assert fine_tuning.start_from(checkpoint.find(tmp_path / "run"), mine, names_of(classes)) == new
    found, theirs = arrays(mine), arrays(model)
    assert all((found[name] == theirs[name]).all() for name in found if name not in new)


@pytest.mark.parametrize("name, options, row", [
    ("cifar_resnet", {"depth": 14, "width_multiplier": 0.125}, "average/stage1/1/conv1/kernel"),
    ("cifar_resnet", {"depth": 8, "width_multiplier": 0.25}, "average/stem/kernel"),
    ("cifar_resnet18", EIGHTH, "average/head/kernel"),
])  # fmt: skip
def test_another_network_is_refused_with_a_table(run, name, options, row):
    model = network(name, seed=3, **options)
    before = arrays(model)
    with pytest.raises(UserError) as caught:
        fine_tuning.start_from(checkpoint.find(run), model, names_of(CLASSES))
    error = caught.value
    assert error.code == 78 and "variables differ from the checkpoint" in error.what
    assert error.remedy == (
        "give --model=cifar_resnet with its --model_options, or another --init_from"
    )
    heading, *lines = error.details.splitlines()
    assert heading.split() == ["variable", "in", "the", "checkpoint", "in", "the", "model"]
    assert row in {line.split()[0] for line in lines}
    assert all((value == before[name]).all() for name, value in arrays(model).items())


@pytest.mark.parametrize("make, what", [
    (lambda path: None, "it is no directory that exists"),
    (lambda path: path.mkdir(), "there is no commit"),
])  # fmt: skip
def test_a_path_without_weights(tmp_path, make, what):
    make(tmp_path / "none")
    with pytest.raises(UserError) as caught:
        fine_tuning.origin_of(Config(steps=1, init_from=str(tmp_path / "none")))
    assert str(caught.value) == (
        f"ERROR 66: {what} | {tmp_path}/none | give --init_from=MODEL_DIR or one of its"
        " checkpoints/step_…"
    )
    assert fine_tuning.origin_of(Config(steps=1)) is None


# --- the table


def test_the_table_of_trained_frozen_and_new():
    model = network()
    found = plan(model, freeze=("stem",), freeze_bn=True, layer_decay=0.5)
    table = fine_tuning.describe(found, model, ("head/bias", "head/kernel"))
    rows = [line.split() for line in table.splitlines()]
    # Two convolutions, and two batch norms of four vectors, in each stage of one block.
    assert rows == [
        ["part", "variables", "parameters", "trained", "rate", "start"],
        ["stem", "5", str(27 * 2 + 8), "frozen", "-", "restored"],
        ["stage1", "10", str(2 * 36 + 2 * 8), "2", "of", "6", "x", "0.125", "restored"],
        ["stage2", "10", str(72 + 144 + 2 * 16), "2", "of", "6", "x", "0.25", "restored"],
        ["stage3", "10", str(288 + 576 + 2 * 32), "2", "of", "6", "x", "0.5", "restored"],
        ["head", "2", str(8 * 4 + 4), "2", "of", "2", "x", "1", "new"],
    ]
    without = fine_tuning.describe(plan(model), model, None).splitlines()
    assert {line.split()[-1] for line in without[1:]} == {"new"}


def test_a_new_head_must_be_trained():
    model = network()
    new = ("head/bias", "head/kernel")
    fine_tuning.refuse_frozen(new, plan(model, freeze=("stem",)), model)
    fine_tuning.refuse_frozen((), plan(model, freeze=("head",)), model)
    with pytest.raises(UserError, match="ERROR 64: freeze must leave the head, which is new "):
        fine_tuning.refuse_frozen(new, plan(model, freeze=("head",)), model)


# --- through the loop


# fault G6
def test_a_fine_tuning_run(data, run, tmp_path, capsys):
    """Frozen: the stem and all batch norms. The head is new. The rates fall."""
    told = {
        "init_from": str(run), "freeze": ("stem",), "freeze_bn": True, "layer_decay": 0.5,
        "ema": 0.5, "on_nonfinite": "rollback",
    }  # fmt: skip
    done = train(data["other"], tmp_path / "run", save_every_steps=1, keep=9, **told)
    table = [line.split() for line in capsys.readouterr().err.splitlines() if "  " in line]
    assert ["stem", "5", "62", "frozen", "-", "restored"] in table
    assert ["head", "2", "45", "2", "of", "2", "x", "1", "new"] in table
    steps = [tensors(tmp_path / "run" / "checkpoints" / f"step_{step:09d}") for step in range(5)]
    origin = tensors(run, "average/")
    for name, array in origin.items():
        frozen = name.startswith("stem") or "norm" in name
        first, last = (steps[i][f"model/{name}"] for i in (0, -1))
        if name.startswith("head"):
            assert first.shape != array.shape
        else:
            np.testing.assert_array_equal(first, array)
            np.testing.assert_array_equal(steps[0][f"average/{name}"], array)
        assert (first == last).all() == frozen, name
        assert (f"optimizer/momentum/{name}" in steps[0]) == (not frozen)
    assert steps[0]["average_updates"] == 0 and steps[-1]["average_updates"] == 4
    manifest = checkpoint.find(tmp_path / "run").manifest
    start = checkpoint.find(run)
    assert manifest["origin"] == {
        "checkpoint": str(start.path), "step": 2, "digest": start.manifest["digest"],
    }  # fmt: skip
    assert manifest["preprocessing"]["mean"] == [90, 91, 92]
    assert manifest["preprocessing"]["std"] == [40, 41, 42]
    assert done["digest"] == manifest["digest"]


def test_interrupted_and_resumed_without_its_origin_it_ends_in_the_same_bits(
    data, run, tmp_path, capsys
):
    origin = shutil.copytree(run, tmp_path / "origin")
    told = {"init_from": str(origin), "freeze": ("stem", "stage1"), "layer_decay": 0.5, "ema": 0.5}
    whole = train(data["other"], tmp_path / "whole", **told)
    train(data["other"], tmp_path / "resumed", steps=2, **told)
    expected = checkpoint.find(tmp_path / "whole").manifest
    shutil.rmtree(origin)
    capsys.readouterr()
    resumed = train(data["other"], tmp_path / "resumed", **told)
    assert "resumed from step 2" in capsys.readouterr().err
    assert resumed["digest"] == whole["digest"]
    found = checkpoint.find(tmp_path / "resumed").manifest
    assert found["origin"] == expected["origin"] and found["origin"]["step"] == 2
    assert found["preprocessing"] == expected["preprocessing"]
    with pytest.raises(UserError, match="ERROR 66: it is no directory that exists"):
        train(data["other"], tmp_path / "anew", **told)


def test_a_mean_that_is_given_goes_before_that_of_the_origin(data, imported, tmp_path):
    weights, model = imported
    told = {"init_from": str(weights), "steps": 1, "learning_rate": 0.0, "weight_decay": 0.0}
    mean, std = (10.0, 11.0, 12.0), (20.0, 21.0, 22.0)
    train(data["data"], tmp_path / "given", mean=mean, std=std, **told)
    pictures = checkpoint.find(tmp_path / "given").manifest["preprocessing"]
    assert (pictures["mean"], pictures["std"]) == (list(mean), list(std))
    train(data["data"], tmp_path / "usual", **told)
    pictures = checkpoint.find(tmp_path / "usual").manifest["preprocessing"]
    assert pictures["mean"] == [125.307, 122.95, 113.865]  # CIFAR-10's
    # At rate 0 the weights are still those of the file, but for the moving statistics.
    found, theirs = tensors(tmp_path / "usual", "model/"), arrays(model)
    for name in theirs:
        assert (found[name] == theirs[name]).all() == ("moving" not in name)


def test_of_grey_weights_for_pictures_in_colour_the_normalisation_is_the_datas(data):
    config = Config(steps=1, data_dir=str(data["data"]))
    manifest = Manifest.load(data["data"])
    grey = Preprocessing(8, 8, 1, (5.0,), (6.0,))
    colour = Preprocessing(8, 8, 3, (5.0,) * 3, (6.0,) * 3)
    assert pictures_of(config, manifest, grey)[0].mean == (100.0,) * 3
    assert pictures_of(config, manifest, colour)[0].mean == (5.0,) * 3
