"""Recipes: a name, its `Config`, its paper, what to expect and what was measured.

python train.py --recipe=NAME
"""

import dataclasses
import difflib

from resnet_tf import errors
from resnet_tf.config import Config
from resnet_tf.errors import UserError

_HE_2015 = "He et al. 2015, arXiv 1512.03385, section 4.2"
_HE_2016 = "He et al. 2016, arXiv 1603.05027"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A configuration and where it comes from.

    Attributes:
      config: what the run is told.
      paper: source of network and training.
      expected: the published result, or what the recipe was made for.
      measured: what it gave here, with the machine; "not measured" where nobody ran it.
    """

    config: Config
    paper: str
    expected: str
    measured: str = "not measured"


def _digits() -> Recipe:
    config = Config(
        recipe="digits",
        model="cifar_resnet",
        model_options={"depth": 8},
        data_dir="data/digits",
        steps=900,
        batch_size=32,
        learning_rate=0.1,
        schedule="cosine",
        warmup="50",
        nesterov=True,
        weight_decay=5e-4,
        pad=1,
        save_every_steps=100,
        eval_every_steps=300,
        eval_batch_size=120,
        log_every_steps=100,
    )
    return Recipe(
        config,
        paper=f"network: {_HE_2015}, on 8x8 pictures; training: our own",
        expected="98 % or more of the 360 test digits",
    )


def _cifar10_paper(depth: int, error: float) -> Recipe:
    """64,000 steps, the rate divided by 10 at 32,000 and 48,000; pad 4, crop, flip."""
    # The paper starts its deepest net at a tenth of the rate, for the first 400 steps.
    slow_start = depth == 110
    config = Config(
        recipe=f"cifar10_resnet{depth}",
        model=f"cifar_resnet{depth}",
        data_dir="data/cifar10",
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


def _cifar10_ordering(ordering: str) -> Recipe:
    """200 epochs, Nesterov, 0.1 / 0.01 / 0.001 changing at epochs 81 and 122."""
    config = Config(
        recipe=f"cifar10_resnet32_{ordering}",
        model=f"cifar_resnet32_{ordering}",
        data_dir="data/cifar10",
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
    return Recipe(
        config,
        paper=f"{_HE_2016}, at depth 32",
        expected="not published at this depth",
    )


_RECIPES = {
    recipe.config.recipe: recipe
    for recipe in (
        _digits(),
        *(
            _cifar10_paper(depth, error)
            for depth, error in ((20, 8.75), (32, 7.51), (44, 7.17), (56, 6.97), (110, 6.43))
        ),
        *(_cifar10_ordering(o) for o in ("a", "b", "c", "d", "d_v2", "e", "e_v2")),
    )
}


def names() -> list[str]:
    """Names of all recipes."""
    return list(_RECIPES)


def get(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
      UserError: 64, with the nearest names, where there is none.
    """
    if name not in _RECIPES:
        near = difflib.get_close_matches(name, _RECIPES, n=3) or list(_RECIPES)
        raise UserError(
            errors.BAD_FLAGS,
            f"no recipe is called {name!r}",
            "--recipe",
            f"choose {', '.join(near)}",
        )
    return _RECIPES[name]
