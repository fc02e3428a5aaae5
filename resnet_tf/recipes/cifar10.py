"""CIFAR-10."""

from resnet_tf.config import Config
from resnet_tf.recipes.recipe import Recipe

# Of the 50,000 training pictures, in pixel units.
_MEAN, _STD = (125.307, 122.95, 113.865), (62.9932, 62.0887, 66.7048)
_HE_2015 = "He et al. 2015, arXiv 1512.03385, section 4.2"
_HE_2016 = "He et al. 2016, arXiv 1603.05027"


def _paper(depth: int, error: float) -> Recipe:
    """64,000 steps, the rate divided by 10 at 32,000 and 48,000; pad 4, crop, flip."""
    # The paper starts its deepest net at a tenth of the rate, for the first 400 steps.
    slow_start = depth == 110
    config = Config(
        recipe=f"cifar10_resnet{depth}",
        model=f"cifar_resnet{depth}",
        data_dir="data/cifar10",
        mean=_MEAN,
        std=_STD,
        steps=64_000,
        batch_size=128,
        learning_rate=0.1,
        schedule="step",
        boundaries=("400", "32000", "48000") if slow_start else ("32000", "48000"),
        factors=(0.1, 1.0, 0.1, 0.01) if slow_start else (1.0, 0.1, 0.01),
        weight_decay=1e-4,
        pad=4,
        flip=True,
        save_every_steps=1000,
        eval_every_steps=4000,
        eval_batch_size=500,
    )
    return Recipe(config, paper=_HE_2015, expected=f"test error {error} % on CIFAR-10")


def _two_hundred_epochs(network: str, paper: str) -> Recipe:
    """Nesterov, 0.1 / 0.01 / 0.001 changing at epochs 81 and 122."""
    config = Config(
        recipe=f"cifar10_{network.removeprefix('cifar_')}",
        model=network,
        data_dir="data/cifar10",
        mean=_MEAN,
        std=_STD,
        epochs=200.0,
        batch_size=128,
        learning_rate=0.1,
        schedule="step",
        boundaries=("81epochs", "122epochs"),
        factors=(1.0, 0.1, 0.01),
        nesterov=True,
        weight_decay=1e-4,
        pad=4,
        flip=True,
        save_every_steps=1000,
        eval_every_steps=3910,
        eval_batch_size=500,
    )
    return Recipe(config, paper=paper, expected="not published at this depth and size")


def _resnet18() -> Recipe:
    """Pixels / 255, no augmentation, Adam."""
    config = Config(
        recipe="cifar10_resnet18",
        model="cifar_resnet18",
        data_dir="data/cifar10",
        epochs=10.0,
        batch_size=128,
        optimizer="adam",
        learning_rate=0.01,
        weight_decay=0.0,
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
        save_every_steps=391,
        eval_every_steps=391,
        eval_batch_size=500,
    )
    return Recipe(
        config,
        paper="network: He et al. 2015, arXiv 1512.03385, widened; training: a tutorial's",
        expected="not published",
    )


RECIPES = (
    *(
        _paper(depth, error)
        for depth, error in ((20, 8.75), (32, 7.51), (44, 7.17), (56, 6.97), (110, 6.43))
    ),
    *(
        _two_hundred_epochs(f"cifar_resnet32_{ordering}", f"{_HE_2016}, at depth 32")
        for ordering in ("a", "b", "c", "d", "d_v2", "e", "e_v2")
    ),
    _two_hundred_epochs("cifar_resnet34", f"{_HE_2016}, with two bottlenecks"),
    *(
        _two_hundred_epochs(f"cifar_resnet{depth}", f"{_HE_2016}, ordering c of bottlenecks")
        for depth in (50, 101, 152)
    ),
    _resnet18(),
)
