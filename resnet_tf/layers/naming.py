"""Names of variables: the path of attributes that leads to each."""

from collections.abc import Iterator

import tensorflow as tf


def named_variables(module: tf.Module) -> dict[str, tf.Variable]:
    """Every variable below `module`, by its path of attribute names, sorted by name.

    `module.stage1[0].conv1.kernel` is called `stage1/0/conv1/kernel`. These names are the
    keys in a checkpoint, so an attribute, once saved under, is never renamed. Attributes
    that start with an underscore are private and not followed; a variable reached twice
    keeps the first of its names.
    """
    names, seen = {}, set()
    for name, variable in sorted(_walk(module, ())):
        if id(variable) not in seen:
            seen.add(id(variable))
            names[name] = variable
    return names


def _walk(node: object, path: tuple[str, ...]) -> Iterator[tuple[str, tf.Variable]]:
    if isinstance(node, tf.Variable):
        yield "/".join(path), node
    elif isinstance(node, tf.Module):
        for key, child in vars(node).items():
            if not key.startswith("_"):
                yield from _walk(child, (*path, key))
    elif isinstance(node, (list, tuple)):
        for index, child in enumerate(node):
            yield from _walk(child, (*path, str(index)))
