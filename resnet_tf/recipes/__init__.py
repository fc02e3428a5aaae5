"""Recipes: a name, its `Config`, its paper, what to expect and what was measured.

python train.py --recipe=NAME --data_dir=DIR
"""

import difflib

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.recipes import cifar10, fast, imagenet, small
from resnet_tf.recipes.recipe import Recipe

__all__ = ["Recipe", "get", "names"]

_RECIPES = {
    recipe.config.recipe: recipe
    for recipe in (*small.RECIPES, *cifar10.RECIPES, *imagenet.RECIPES, *fast.RECIPES)
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
