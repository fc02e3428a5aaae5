"""Fine-tuning: where the weights come from, which of them are trained, and how fast.

--init_from=PATH         weights of a commit, its average where it has one; the head is new
                         where the classes are others
--freeze=stem,stage1     parts that stay; their batch norms use what they have stored
--freeze_bn              all batch norms stay
--layer_decay=d          the rate of a part is d times that of the part behind it:
                         rate · d^(n - 1 - i) for part i of n, counted from the pictures
                         (Howard and Ruder 2018, arXiv 1801.06146, section 3.2)
"""

import dataclasses
import math
import re
from collections.abc import Collection

from resnet_tf import checkpoint, errors, models
from resnet_tf.checkpoint import Commit
from resnet_tf.config import Config
from resnet_tf.errors import UserError, bad_flag
from resnet_tf.layers import BatchNorm, named_variables


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is trained of a network.

    Attributes:
      trained: names of the variables that the optimizer updates.
      rate_factors: factor of the rate by name of a trainable variable, where it is not 1.
    """

    trained: tuple[str, ...]
    rate_factors: dict[str, float]


def make_plan(config: Config, model: models.Classifier) -> Plan:
    """Freezes what the flags say, and tells what is left.

    Raises:
      UserError: 64 for a part that the network does not have, or where nothing is left.
    """
    frozen = _frozen(config, model)
    named = named_variables(model)
    if config.freeze_bn:
        frozen |= _names_of(_batch_norms(model), named)
    for norm in _batch_norms(model):
        norm.frozen = any(named[name] is norm.offset for name in frozen)
    trained = [name for name, v in named.items() if v.trainable and name not in frozen]
    if not trained:
        raise bad_flag("freeze", "must leave something to train")
    return Plan(tuple(trained), _rate_factors(config.layer_decay, model))


def _frozen(config: Config, model: models.Classifier) -> set[str]:
    """Names of all variables of the parts that `freeze` names.

    stem is also stem1, stem2 and stem_norm, but stage1/1 is not stage1/10.
    """
    frozen = set()
    for part in config.freeze:
        form = re.compile(rf"{re.escape(part)}((?<!\d)\d+|_[^/]*)?(/.*)?")
        found = {name for name in named_variables(model) if form.fullmatch(name)}
        if not found:
            rule = f"must name parts of the network: {', '.join(model.parts)}"
            raise bad_flag("freeze", rule, repr(part))
        frozen |= found
    return frozen


def _batch_norms(model):
    return [module for module in model.submodules if isinstance(module, BatchNorm)]


def _names_of(modules, named) -> set[str]:
    own = {id(variable) for module in modules for variable in module.variables}
    return {name for name, variable in named.items() if id(variable) in own}


def _rate_factors(decay: float, model: models.Classifier) -> dict[str, float]:
    parts, named = list(model.parts.values()), named_variables(model)
    factors = {
        name: decay ** (len(parts) - 1 - number)
        for number, names in enumerate(parts)
        for name in names
        if named[name].trainable
    }
    return {name: factor for name, factor in factors.items() if factor != 1}


def origin_of(config: Config) -> Commit | None:
    """The commit that `init_from` names; None without one.

    Raises:
      UserError: 66 where there is none, 78 where it cannot be used.
    """
    if not config.init_from:
        return None
    try:
        return checkpoint.described(checkpoint.find(config.init_from))
    except UserError as error:
        remedy = "give --init_from=MODEL_DIR or one of its checkpoints/step_…"
        raise UserError(error.code, error.what, error.where, remedy, error.details) from error


def start_from(
    origin: Commit, model: models.Classifier, classes: Collection[str]
) -> tuple[str, ...]:
    """Gives the network the weights of a commit.

    Args:
      origin: of any run, or imported weights; its average is taken where it has one.
      model: of the same architecture, but that the head may have other classes.
      classes: names of the classes that are trained on.

    Returns:
      Names of the variables that keep their first values: those of a head of other classes.

    Raises:
      UserError: 78, with a table, where the networks differ. Nothing is assigned then.
    """
    shapes = checkpoint.shapes_of(origin)
    prefix = "average/" if any(name.startswith("average/") for name in shapes) else "model/"
    named = {prefix + name: variable for name, variable in named_variables(model).items()}
    new = set() if _same_classes(origin, classes) else set(model.parts["head"])
    left = {prefix + name for name in new}
    kept = {name: variable for name, variable in named.items() if name not in left}
    try:
        checkpoint.restore(origin, kept, prefix=prefix, leaving=left)
    except UserError as error:
        made_by = origin.manifest["architecture"]
        remedy = f"give --model={made_by['model']} with its --model_options, or another --init_from"
        raise UserError(error.code, error.what, error.where, remedy, error.details) from error
    return tuple(sorted(new))


def refuse_frozen(new: Collection[str], plan: Plan, model: models.Classifier) -> None:
    """Raises UserError 64 where a head with its first, random weights would never be trained."""
    named = named_variables(model)
    if any(named[name].trainable and name not in plan.trained for name in new):
        raise bad_flag("freeze", "must leave the head, which is new since the classes differ")


def _same_classes(origin: Commit, classes: Collection[str]) -> bool:
    """Weights without names of classes fit those of the same number."""
    names = origin.manifest["classes"]
    if names is None:
        return origin.manifest["architecture"]["num_classes"] == len(classes)
    return names == list(classes)


def describe(plan: Plan, model: models.Classifier, new: Collection[str] | None) -> str:
    """A table of trained, frozen and new variables, a line a part.

    Args:
      plan: of what is trained.
      model: the network.
      new: names of the variables that were not restored; None where none was.
    """
    named = named_variables(model)
    rows = [("part", "variables", "parameters", "trained", "rate", "start")]
    for part, names in model.parts.items():
        trainable = [name for name in names if named[name].trainable]
        trained = [name for name in trainable if name in plan.trained]
        factor = plan.rate_factors.get(trainable[0], 1.0)
        fresh = new is None or names[0] in new
        rows.append((
            part,
            str(len(names)),
            f"{sum(math.prod(named[name].shape) for name in names):,}",
            "frozen" if not trained else f"{len(trained)} of {len(trainable)}",
            f"x {factor:.4g}" if trained else "-",
            "new" if fresh else "restored",
        ))  # fmt: skip
    return errors.table(rows)
