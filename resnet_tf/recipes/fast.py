"""The most accuracy in the least time."""

from resnet_tf.config import Config
from resnet_tf.recipes.recipe import Recipe

_CIFAR_MEAN, _CIFAR_STD = (125.307, 122.95, 113.865), (62.9932, 62.0887, 66.7048)


def _cifar10(recipe: str, model: str, told: dict, **about) -> Recipe:
    """Nesterov, large rate, straight lines up and down, smoothing, an average of the weights."""
    config = Config(
        recipe=recipe,
        model=model,
        data_dir="data/cifar10",
        mean=_CIFAR_MEAN,
        std=_CIFAR_STD,
        nesterov=True,
        weight_decay=5e-4,
        flip=True,
        eval_batch_size=500,
        **told,
    )
    return Recipe(
        config, paper="Coleman et al. 2017, DAWNBench; parts: Page 2018; training: our own", **about
    )


def _cifar10_fast() -> Recipe:
    """A wide network of few layers on a GPU, in 16 bits."""
    told = {
        "model_options": {"zero_last_scale": True},
        "epochs": 20.0,
        "batch_size": 512,
        "learning_rate": 0.1,
        "rate_rule": "linear",
        "rate_batch_size": 128,
        "schedule": "piecewise",
        "boundaries": ("20%", "100%"),
        "factors": (0.1, 1.0, 0.0),
        "label_smoothing": 0.1,
        "pad": 4,
        "cutout": 8,
        "ema": 0.999,
        "precision": "bfloat16",
        "save_every_steps": 490,
        "eval_every_steps": 490,
    }
    return _cifar10(
        "cifar10_fast",
        "cifar_resnet18",
        told,
        expected="aim: 94 % on lossless CIFAR-10; not published",
    )


def _cifar10_fast_cpu() -> Recipe:
    """What two cores can do in 15 minutes: four stages of few channels, smaller pictures first."""
    told = {
        "model_options": {"width_multiplier": 0.25, "zero_last_scale": True},
        "image_size": 32,
        "resolutions": (24.0, 32.0),
        "resolution_boundaries": ("60%",),
        "pad": 3,
        "epochs": 10.0,
        "batch_size": 128,
        "learning_rate": 0.3,
        "schedule": "piecewise",
        "boundaries": ("20%", "100%"),
        "factors": (0.1, 1.0, 0.0),
        "label_smoothing": 0.1,
        "ema": 0.99,
        "save_every_steps": 1303,
        "eval_every_steps": 1303,
    }
    return _cifar10(
        "cifar10_fast_cpu",
        "cifar_resnet18",
        told,
        expected="aim: the most that 15 minutes on 2 cores give; not published",
        measured=(
            "top-1 83.1 % in 14 min 55 s on a JPEG copy of CIFAR-10 (2 cores of a Xeon with"
            " AVX-512); plain PyTorch ResNet-20 beside it 81.9 % in 14 min 11 s"
        ),
    )


def _resnet50(recipe: str, paper: str, expected: str, *, departures: str, **told) -> Recipe:
    config = Config(
        recipe=recipe,
        model="resnet50",
        data_dir="data/imagenet",
        eval_split="validation",
        crop_scale=told.pop("crop_scale", (0.08, 1.0)),
        flip=True,
        save_every_steps=1000,
        eval_every_steps=5000,
        **told,
    )
    return Recipe(config, paper=paper, expected=expected, departures=departures)


def _imagenet_fast() -> Recipe:
    """18 epochs of growing pictures, evaluated at a larger size than they were trained at."""
    return _resnet50(
        "imagenet_resnet50_fast",
        "growing pictures: Howard 2018, DAWNBench; Leclerc et al. 2023, arXiv 2306.12517 (FFCV)",
        "top-1 about 74 % on ImageNet: FFCV reports 73.8 % in 16 epochs, 75.6 % in 24",
        departures="no blurred pools; an average of the weights; other sizes and boundaries",
        model_options={"zero_last_scale": True},
        image_size=192,
        resolutions=(128.0, 160.0, 192.0),
        resolution_boundaries=("7epochs", "13epochs"),
        eval_image_size=256,
        eval_shorter_side=288,
        epochs=18.0,
        batch_size=1024,
        learning_rate=0.5,
        rate_rule="linear",
        schedule="polynomial",
        warmup="2epochs",
        nesterov=True,
        weight_decay=5e-5,
        label_smoothing=0.1,
        crop_scale=(0.25, 1.0),
        precision="bfloat16",
        ema=0.999,
    )


def _imagenet_rsb_a3() -> Recipe:
    """Procedure A3: LAMB, a binary cross-entropy a class, 100 epochs at 160, tested at 224."""
    return _resnet50(
        "imagenet_resnet50_rsb_a3",
        "Wightman et al. 2021, arXiv 2110.00476, Table 2, procedure A3",
        "top-1 78.1 % on ImageNet",
        departures="RandAugment without noise in its magnitude; bilinear resizing; mixup and CutMix"
        " draw for each picture, not for a batch; the loss is summed over classes, not their mean",
        image_size=160,
        eval_image_size=224,
        eval_shorter_side=236,
        epochs=100.0,
        batch_size=2048,
        optimizer="lamb",
        learning_rate=8e-3,
        weight_decay=0.02,
        schedule="cosine",
        warmup="5epochs",
        loss="sigmoid",
        policy="randaugment",
        policy_magnitude=18,
        mixup=0.1,
        cutmix=1.0,
        precision="float16",
    )


RECIPES = (_cifar10_fast(), _cifar10_fast_cpu(), _imagenet_fast(), _imagenet_rsb_a3())
