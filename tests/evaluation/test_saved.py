import numpy as np
import pytest
import small_commits

from resnet_tf import checkpoint, models
from resnet_tf.errors import UserError
from resnet_tf.evaluation import load
from resnet_tf.layers import named_variables
from resnet_tf.preprocessing import Preprocessing

PICTURES = Preprocessing(32, 32, 3, mean=(120.0, 121.0, 122.0), std=(60.0, 61.0, 62.0))


@pytest.mark.parametrize("architecture", [
    {"model": "a_later_network", "options": {}},
    {"model": "cifar_resnet20", "options": {"a_later_option": 1}},
])  # fmt: skip
def test_a_network_that_this_version_cannot_build_is_refused(tmp_path, architecture):
    manifest = {
        "architecture": {**architecture, "num_classes": 10},
        "classes": None,
        "preprocessing": PICTURES.to_json(),
        "environment": {"resnet_tf": "9.9"},
    }
    with pytest.raises(UserError, match=r"ERROR 78: this version cannot build .* 9\.9"):
        load(checkpoint.write(tmp_path, 1, {"model/w": np.zeros(1, np.float32)}, manifest))


@pytest.mark.parametrize("classes", [None, ["cat", "dog"]])
def test_network_classes_and_pictures_are_those_of_the_commit(tmp_path, classes):
    options = {"depth": 8, "width_multiplier": 0.25}
    model = models.create("cifar_resnet", num_classes=2, seed=3, **options)
    fields = small_commits.fields("cifar_resnet", options, 2, classes, PICTURES)
    variables = {f"model/{name}": v.numpy() for name, v in named_variables(model).items()}
    # What only training needs is there, too, and not in the way.
    state = {**variables, "optimizer/momentum/stem/kernel": np.ones(3, np.float32)}
    saved = load(checkpoint.write(tmp_path, 4, state, fields))
    assert saved.classes == (None if classes is None else ("cat", "dog"))
    assert saved.pictures == PICTURES
    for name, variable in named_variables(saved.model).items():
        np.testing.assert_array_equal(variable.numpy(), variables[f"model/{name}"])
    grey = np.array([[[[120, 182, 0]]]], np.uint8)
    np.testing.assert_allclose(saved.preprocess(grey).numpy(), [[[[0, 1, -122 / 62]]]], rtol=1e-6)


def test_a_commit_without_some_of_the_weights_is_refused(tmp_path):
    model = models.create("cifar_resnet", depth=8, num_classes=2)
    fields = {
        "architecture": {"model": "cifar_resnet", "options": {"depth": 8}, "num_classes": 2},
        "classes": None,
        "preprocessing": PICTURES.to_json(),
        "environment": {},
    }
    state = {f"model/{name}": v.numpy() for name, v in named_variables(model).items()}
    del state["model/head/bias"]
    commit = checkpoint.write(tmp_path, 4, state, fields)
    with pytest.raises(UserError, match="ERROR 78: 1 of 37 variables differ") as caught:
        load(commit)
    assert "model/head/bias" in caught.value.details


@pytest.mark.parametrize("width", [100.0, 1e6])
def test_a_network_larger_than_its_weights_is_refused_before_it_is_there(tmp_path, width):
    """A manifest cannot ask for memory. # fault S1"""
    options = {"depth": 8, "width_multiplier": 0.25}
    model = models.create("cifar_resnet", num_classes=2, **options)
    fields = small_commits.fields("cifar_resnet", options | {"width_multiplier": width}, 2, None,
                                  PICTURES)  # fmt: skip
    state = {f"model/{name}": v.numpy() for name, v in named_variables(model).items()}
    with pytest.raises(UserError, match="ERROR 78: this version cannot build the network of"):
        load(checkpoint.write(tmp_path, 4, state, fields))


@pytest.mark.parametrize("field, value", [
    ("architecture", None), ("architecture", {"model": 3, "options": {}, "num_classes": 2}),
    ("architecture", {"model": "cifar_resnet", "options": [], "num_classes": 2}),
    ("architecture", {"model": "cifar_resnet", "options": {}, "num_classes": "2"}),
    ("classes", 5), ("classes", ["a"]), ("classes", [1, 2]), ("environment", "x"),
    ("preprocessing", {}), ("preprocessing", PICTURES.to_json() | {"height": "8"}),
    ("preprocessing", PICTURES.to_json() | {"more": 1}),
])  # fmt: skip
def test_a_manifest_that_describes_no_network(tmp_path, field, value):
    """Sealed as it should be, by a stranger. # fault S1"""
    fields = small_commits.fields("cifar_resnet", {"depth": 8}, 2, None, PICTURES)
    commit = checkpoint.write(
        tmp_path, 4, {"model/w": np.zeros(1, np.float32)}, fields | {field: value}
    )
    with pytest.raises(UserError, match="ERROR 78: its manifest describes no network: "):
        load(commit)
