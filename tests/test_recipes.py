"""Recipes against what their papers publish."""

import json

import pytest

from resnet_tf import models, recipes
from resnet_tf.config import Config
from resnet_tf.errors import UserError

CIFAR_RECORDS = 50_000
PAPER_DEPTHS = (20, 32, 44, 56, 110)
ORDERINGS = ("a", "b", "c", "d", "d_v2", "e", "e_v2")


@pytest.mark.parametrize("name", recipes.names())
def test_recipe_is_valid_and_complete(name):
    recipe = recipes.get(name)
    assert recipe.config.recipe == name
    assert recipe.config.model_dir == f"runs/{name}"
    assert recipe.config.total_steps(CIFAR_RECORDS) >= 1
    assert recipe.paper and recipe.expected and recipe.measured
    restored = Config.from_json(json.loads(json.dumps(recipe.config.to_json())))
    assert restored == recipe.config


@pytest.mark.parametrize("name", recipes.names())
def test_network_of_the_recipe_is_registered(name):
    assert recipes.get(name).config.model in models.names()


def test_names_are_distinct_and_start_with_the_default():
    names = recipes.names()
    assert len(set(names)) == len(names)
    assert names[0] == "digits"


def common_to_cifar10(config):
    assert config.data_dir == "data/cifar10"
    assert config.batch_size == 128
    assert config.learning_rate == 0.1
    assert config.schedule == "step"
    assert config.momentum == 0.9
    assert config.weight_decay == 1e-4
    assert config.pad == 4
    assert config.flip is True
    assert config.warmup == "0"


def rates(config):
    return [config.learning_rate * factor for factor in config.factors]


@pytest.mark.parametrize("depth", PAPER_DEPTHS)
def test_cifar10_of_the_paper(depth):
    config = recipes.get(f"cifar10_resnet{depth}").config
    common_to_cifar10(config)
    assert config.model == f"cifar_resnet{depth}"
    assert config.total_steps(CIFAR_RECORDS) == 64_000
    assert config.nesterov is False
    if depth == 110:  # 0.01 for the first 400 steps
        assert config.boundaries == ("400", "32000", "48000")
        assert rates(config) == pytest.approx([0.01, 0.1, 0.01, 0.001])
    else:
        assert config.boundaries == ("32000", "48000")
        assert rates(config) == pytest.approx([0.1, 0.01, 0.001])


@pytest.mark.parametrize(
    ("depth", "error"), [(20, 8.75), (32, 7.51), (44, 7.17), (56, 6.97), (110, 6.43)]
)
def test_published_error_is_stated(depth, error):
    assert f"{error} %" in recipes.get(f"cifar10_resnet{depth}").expected


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_cifar10_orderings(ordering):
    config = recipes.get(f"cifar10_resnet32_{ordering}").config
    common_to_cifar10(config)
    assert config.model == f"cifar_resnet32_{ordering}"
    assert config.nesterov is True
    assert config.epochs == 200
    assert config.boundaries == ("81epochs", "122epochs")
    assert rates(config) == pytest.approx([0.1, 0.01, 0.001])


def test_digits_trains_on_the_embedded_data_for_900_steps():
    config = recipes.get("digits").config
    assert config.data_dir == "data/digits"
    assert config.total_steps(1437) == 900
    assert config.batch_size == 32
    assert config.flip is False  # a mirrored digit is another sign


def test_unknown_recipe_is_answered_with_the_nearest():
    with pytest.raises(UserError) as caught:
        recipes.get("cifar10_resnet32a")
    assert caught.value.code == 64
    assert "no recipe is called 'cifar10_resnet32a' | --recipe | choose " in str(caught.value)
    assert "cifar10_resnet32_a" in str(caught.value)


def test_unknown_recipe_like_none_lists_all():
    with pytest.raises(UserError) as caught:
        recipes.get("zzz")
    assert all(name in str(caught.value) for name in recipes.names())
