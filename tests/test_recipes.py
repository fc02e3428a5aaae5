"""Recipes against what their papers publish."""

import json
import pathlib

import pytest

from resnet_tf import models, recipes
from resnet_tf.config import Config
from resnet_tf.errors import UserError
from resnet_tf.layers import named_variables

CIFAR_RECORDS = 50_000
PAPER_DEPTHS = (20, 32, 44, 56, 110)
IMAGENET_RECORDS = 1_281_167
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


@pytest.mark.parametrize("name", recipes.names())
def test_command_of_the_recipe(name):
    directory = recipes.get(name).config.data_dir
    assert directory.startswith("data/")
    expected = f"python train.py --recipe={name} --data_dir={directory}"
    if name == "imagenet20_ex6_net":
        expected += " --init_from=runs/ex6_net"
    assert recipes.get(name).command == expected


@pytest.mark.parametrize("name", recipes.names())
def test_network_of_the_recipe_can_be_built_with_its_options(name):
    config = recipes.get(name).config
    options = {"num_classes": 20, "width_multiplier": 0.125, **config.model_options}
    model = models.create(config.model, **options)
    if config.image_size:
        assert config.image_size >= model.smallest_image
    # As its data has the pictures, or the network's own size, in evaluation at least.
    usual = models.usual_preprocessing(config.model)
    smaller = {"imagenet_resnet50_fast": 192, "imagenet_resnet50_rsb_a3": 160}
    assert config.image_size in (0, smaller.get(name, usual.height))
    assert config.eval_image_size in (0, usual.height, 256)


def test_all_recipes():
    imagenet = [f"imagenet_resnet{d}" for d in (18, 34, 50, 101, 152)]
    imagenet += [f"imagenet_resnet{d}{v}" for d in (50, 101, 152) for v in ("_v1", "_v2", "_d")]
    cifar = [f"cifar10_resnet{d}" for d in (18, 34, 50, 101, 152, *PAPER_DEPTHS)]
    cifar += [f"cifar10_resnet32_{ordering}" for ordering in ORDERINGS]
    others = ["digits", "flowers20_plain_resnet100", "imagenet20_ex6_net"]
    others += ["cifar10_fast", "cifar10_fast_cpu"]
    others += ["imagenet_resnet50_fast", "imagenet_resnet50_rsb_a3"]
    assert sorted(recipes.names()) == sorted([*others, *cifar, *imagenet])
    assert len(recipes.names()) == 38


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


TWO_HUNDRED_EPOCHS = [*(f"32_{ordering}" for ordering in ORDERINGS), "34", "50", "101", "152"]


@pytest.mark.parametrize("name", TWO_HUNDRED_EPOCHS)
def test_cifar10_of_two_hundred_epochs(name):
    config = recipes.get(f"cifar10_resnet{name}").config
    common_to_cifar10(config)
    assert config.model == f"cifar_resnet{name}"
    assert config.model_options == {}
    assert config.optimizer == "sgd"
    assert config.nesterov is True
    assert config.label_smoothing == 0
    assert config.epochs == 200
    assert config.total_steps(CIFAR_RECORDS) == 78_125
    assert config.boundaries == ("81epochs", "122epochs")
    assert rates(config) == pytest.approx([0.1, 0.01, 0.001])


def test_cifar10_of_18_layers():
    """Pixels / 255, no augmentation, Adam at 0.01 for ten epochs of batches of 128."""
    config = recipes.get("cifar10_resnet18").config
    assert (config.model, config.data_dir) == ("cifar_resnet18", "data/cifar10")
    assert (config.optimizer, config.learning_rate) == ("adam", 0.01)
    assert (config.schedule, config.warmup) == ("constant", "0")
    assert (config.batch_size, config.epochs) == (128, 10)
    assert config.total_steps(CIFAR_RECORDS) == 3906  # 3906.25
    assert (config.mean, config.std) == ((0, 0, 0), (255, 255, 255))
    assert (config.pad, config.flip) == (0, False)
    assert config.weight_decay == 0 and config.label_smoothing == 0


def test_imagenet20_of_ex6_net():
    recipe = recipes.get("imagenet20_ex6_net")
    config = recipe.config
    assert (config.model, config.model_options) == ("ex6_net", {})
    assert config.data_dir == "data/imagenet20"
    assert (config.train_split, config.eval_split) == ("train", "validation")
    assert config.image_size == 299
    # Pixels of 0 and 255 become -1 and 1.
    assert [(0 - m) / s for m, s in zip(config.mean, config.std)] == [-1, -1, -1]
    assert [(255 - m) / s for m, s in zip(config.mean, config.std)] == [1, 1, 1]
    assert (config.eval_central_fraction, config.eval_shorter_side) == (0.875, 0)
    assert (config.optimizer, config.learning_rate) == ("adam", 1e-4)
    assert (config.schedule, config.warmup) == ("constant", "0")
    assert (config.batch_size, config.epochs) == (32, 2)
    assert config.total_steps(26_000) == 1625
    assert config.weight_decay == 4e-5
    assert (config.pad, config.flip) == (0, True)
    assert (config.save_every_steps, config.eval_every_steps, config.keep) == (50, 50, 3)
    # Whole pictures resized plainly, mirrored, brightness by 32 levels and saturation by half.
    assert (config.crop_scale, config.antialias) == ((), False)
    assert config.brightness * 255 == 32 and config.saturation == 0.5
    assert (config.contrast, config.hue, config.policy) == (0, 0, "")
    assert "only where --init_from names one" in recipe.departures


def test_flowers20_of_plain_resnet100():
    """Whole pictures in random order, nothing else: no mirrors, no shifts, no decay."""
    config = recipes.get("flowers20_plain_resnet100").config
    assert (config.model, config.data_dir) == ("plain_resnet100", "data/flowers20")
    assert config.image_size == 224
    assert (config.optimizer, config.momentum) == ("sgd", 0.9)
    assert (config.pad, config.flip, config.weight_decay) == (0, False, 0)
    assert (config.eval_shorter_side, config.eval_central_fraction) == (0, 0)


IMAGENET = [
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    *(f"resnet{depth}{variant}" for depth in (50, 101, 152) for variant in ("_v1", "_v2", "_d")),
]


@pytest.mark.parametrize("name", IMAGENET)
def test_imagenet_of_ninety_epochs(name):
    recipe = recipes.get(f"imagenet_{name}")
    config = recipe.config
    assert (config.model, config.data_dir) == (name, "data/imagenet")
    assert (config.train_split, config.eval_split) == ("train", "validation")
    # 224 of the middle of pictures whose shorter side is 256
    assert (config.image_size, config.eval_shorter_side) == (224, 256)
    assert config.eval_central_fraction == 0
    assert (config.mean, config.std) == ((), ())
    assert (config.optimizer, config.momentum, config.nesterov) == ("sgd", 0.9, True)
    assert config.learning_rate / config.batch_size == pytest.approx(0.1 / 256)
    assert (config.schedule, config.warmup) == ("cosine", "5epochs")
    assert config.epochs == 90
    assert config.total_steps(IMAGENET_RECORDS) == 450_410  # 450,410.27
    assert config.weight_decay == 1e-4
    assert config.label_smoothing == 0.1
    assert config.flip is True
    assert config.crop_scale == (0.08, 1) and config.crop_ratio == (3 / 4, 4 / 3)
    assert not recipe.departures
    assert "1512.03385" in recipe.paper or "_" in name


@pytest.mark.parametrize("name", IMAGENET)
def test_last_scale_of_each_branch_starts_at_zero_but_for_full_pre_activation(name):
    config = recipes.get(f"imagenet_{name}").config
    assert config.model_options == ({} if name.endswith("_v2") else {"zero_last_scale": True})
    model = models.create(name, width_multiplier=0.125, **config.model_options)
    scales = {k: v.numpy() for k, v in named_variables(model).items() if k.endswith("scale")}
    last = "norm2" if name in ("resnet18", "resnet34") else "norm3"
    for key, scale in scales.items():
        zero = f"/{last}/" in key and not name.endswith("_v2")
        assert (scale == (0 if zero else 1)).all(), key


@pytest.mark.parametrize(
    ("name", "arxiv"), [("_v1", "1512.03385"), ("_v2", "1603.05027"), ("_d", "1812.01187")]
)
def test_each_variant_names_its_paper(name, arxiv):
    network, training, _ = recipes.get(f"imagenet_resnet50{name}").paper.partition("training:")
    assert arxiv in network and training


def test_imagenet_by_procedure_a3():
    """Wightman et al. 2021, Table 2: what the table's column A3 says."""
    config = recipes.get("imagenet_resnet50_rsb_a3").config
    assert (config.image_size, config.eval_image_size, config.epochs) == (160, 224, 100)
    assert (config.batch_size, config.optimizer, config.learning_rate) == (2048, "lamb", 8e-3)
    assert (config.schedule, config.warmup, config.weight_decay) == ("cosine", "5epochs", 0.02)
    assert (config.loss, config.label_smoothing, config.mixup, config.cutmix) == (
        "sigmoid", 0.0, 0.1, 1.0)  # fmt: skip
    # Magnitude 6 of 10, here of 30; test crop ratio 0.95 (236 · 0.95 = 224.2).
    assert (config.policy, config.policy_layers, config.policy_magnitude) == ("randaugment", 2, 18)
    assert config.eval_shorter_side == 236
    assert config.flip and config.repeats == 1 and config.ema == 0 and not config.clip


def test_imagenet_in_little_time_grows_its_pictures():
    config = recipes.get("imagenet_resnet50_fast").config
    assert 16 <= config.epochs <= 32
    assert list(config.resolutions) == sorted(config.resolutions) and len(config.resolutions) == 3
    assert config.eval_image_size > config.image_size


@pytest.mark.parametrize("name", ["cifar10_fast", "cifar10_fast_cpu"])
def test_cifar10_in_little_time_ends_at_rate_zero_and_is_averaged(name):
    config = recipes.get(name).config
    assert config.schedule == "piecewise" and config.boundaries[-1] == "100%"
    assert config.factors[-1] == 0 and 0 < config.ema < 1


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


@pytest.mark.parametrize("name", recipes.names())
def test_the_page_of_recipes_says_what_the_recipe_says(name):
    page = pathlib.Path(__file__).resolve().parent.parent / "docs" / "recipes.md"
    recipe = recipes.get(name)
    cells = (f"`{name}`", f"`{recipe.config.model}`", recipe.expected, recipe.measured,
             recipe.departures or "-")  # fmt: skip
    assert f"| {' | '.join(cells)} |" in page.read_text(encoding="utf-8")
