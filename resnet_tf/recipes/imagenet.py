"""ImageNet, and 20 of its classes."""

from resnet_tf.config import Config
from resnet_tf.recipes.recipe import Recipe

_PAPERS = {
    "": "He et al. 2015, arXiv 1512.03385; stride in the 3x3 as in PyTorch's",
    "_v1": "He et al. 2015, arXiv 1512.03385",
    "_v2": "He et al. 2016, arXiv 1603.05027",
    "_d": "He et al. 2018, arXiv 1812.01187",
}
# Top-1 of others, single crop of 224: torchvision's weights (90 epochs, step schedule),
# TF-slim's for v1 and v2, and Table 5 of the paper for d (120 epochs).
_TOP1 = {
    "resnet18": 69.8, "resnet34": 73.3, "resnet50": 76.1, "resnet101": 77.4, "resnet152": 78.3,
    "resnet50_v1": 75.2, "resnet101_v1": 76.4, "resnet152_v1": 76.8,
    "resnet50_v2": 75.6, "resnet101_v2": 77.0, "resnet152_v2": 77.8,
    "resnet50_d": 77.2,
}  # fmt: skip


def _ninety_epochs(network: str) -> Recipe:
    """Random resized crops, Nesterov, 0.1 for 256 images, 5 epochs of warm-up, cosine."""
    variant = "".join(network.partition("_")[1:])
    config = Config(
        recipe=f"imagenet_{network}",
        model=network,
        # Full pre-activation has no batch norm at the end of a branch.
        model_options={} if variant == "_v2" else {"zero_last_scale": True},
        data_dir="data/imagenet",
        eval_split="validation",
        image_size=224,
        eval_shorter_side=256,
        epochs=90.0,
        batch_size=256,
        learning_rate=0.1,
        schedule="cosine",
        warmup="5epochs",
        nesterov=True,
        weight_decay=1e-4,
        label_smoothing=0.1,
        crop_scale=(0.08, 1.0),
        flip=True,
        save_every_steps=1000,
        eval_every_steps=5005,
    )
    top1 = _TOP1.get(network)
    return Recipe(
        config,
        paper=f"network: {_PAPERS[variant]}; training: Goyal et al. 2017, arXiv 1706.02677, with"
        " cosine and smoothing as in arXiv 1812.01187",
        expected=f"top-1 about {top1} % on ImageNet" if top1 else "not published",
    )


def _ex6_net() -> Recipe:
    """20 classes of ImageNet in [-1, 1], 299x299; evaluation on the central 87.5 %.

    Its source goes on from a checkpoint of the network: tools/import_weights.py makes a directory
    for --init_from of one. Without it the weights are new.
    """
    config = Config(
        recipe="imagenet20_ex6_net",
        model="ex6_net",
        data_dir="data/imagenet20",
        eval_split="validation",
        image_size=299,
        mean=(127.5, 127.5, 127.5),
        std=(127.5, 127.5, 127.5),
        eval_central_fraction=0.875,
        epochs=2.0,
        batch_size=32,
        optimizer="adam",
        learning_rate=1e-4,
        weight_decay=4e-5,
        antialias=False,
        flip=True,
        brightness=32 / 255,
        saturation=0.5,
        save_every_steps=50,
        eval_every_steps=50,
        keep=3,
    )
    return Recipe(
        config,
        paper="stem: Szegedy et al. 2016, arXiv 1602.07261; network and training: its source's",
        expected="not published",
        departures="starts from a checkpoint only where --init_from names one; Adam's epsilon is"
        " 1e-7",
        flags="--init_from=runs/ex6_net",
    )


RECIPES = (
    _ex6_net(),
    *(_ninety_epochs(f"resnet{depth}") for depth in (18, 34, 50, 101, 152)),
    *(_ninety_epochs(f"resnet{d}{v}") for v in ("_v1", "_v2", "_d") for d in (50, 101, 152)),
)
