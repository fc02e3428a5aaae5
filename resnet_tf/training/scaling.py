"""Whether the replicas of a run make the updates of one device, and if not, the likely reason.

`tools/verify_scaling.py` asks that, and `train.py --dry_run`. See `as_one` for what is compared.
What is right, as measured on digits with two to eight logical CPUs, by SGD, Adam and LAMB, in 8 to
100 updates each:

    in shares              at most 1.2e-7, and 2.5e-7 of single variables, also in bfloat16
    at once, synchronised  at most 1.4e-5; in bfloat16 2.5e-3 in the median, at most 7e-2
    at once, statistics local to a replica: 0.2 to 1.2 away, which is no mistake; the gradient is
                           0.62 to 1.59 times as long, 0.77 to 1.24 in the median of five updates

and what is wrong by a factor of two or more is 0.5 or more away, in every update.
"""

import dataclasses
import statistics
from collections.abc import Callable

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.training import as_one
from resnet_tf.training.as_one import Difference
from resnet_tf.training.run import Run

IN_SHARES, AT_ONCE = "shares", "whole batch"
# In shares, of every update. At once, of most updates and of every one, since single ReLUs flip.
_WITHIN = 1e-4
_MOST_WITHIN, _EACH_WITHIN = 1e-2, 0.25
# A bias in front of a batch norm has a gradient of rounding alone. Of that, these make full steps,
# in these kinds of variables, which therefore are let through up to _EACH_WITHIN.
_ADAPTIVE = ("adam", "adamw", "lamb", "rmsprop")
_OF_ROUNDING = frozenset(("weights", "average", "rmsprop_momentum"))
# At once, where statistics are local: how much longer the gradient, in the median of so many.
_LENGTH_WITHIN, _SETTLED = 1.5, 5


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
      replicas: their number.
      statistics: of batch norms in training: "none", "local" to a replica or "synchronized".
      updates: the step, and how far it was from that of one device, by the way of that device.
      reason: why the replicas do not make the updates of one device; empty where they do.
      loose: kinds of variables that may differ more, since their steps may be of rounding alone.
    """

    replicas: int
    statistics: str
    updates: list[tuple[int, dict[str, Difference]]]
    reason: str
    loose: frozenset[str] = frozenset()

    @property
    def exact(self) -> str:
        """The way of the one device that computes the same mathematics."""
        return AT_ONCE if self.statistics == "synchronized" else IN_SHARES

    @property
    def largest(self) -> float:
        """The largest difference from that."""
        return max(found[self.exact].largest for _, found in self.updates)

    def __str__(self) -> str:
        if self.reason:
            return f"{self.replicas} replicas do not make the update of one device: {self.reason}"
        said = f"{self.replicas} replicas give the update of one, largest difference"
        return f"{said} {self.largest:.1g}"

    def problem(self) -> UserError | None:
        """The error, where there is a reason."""
        if not self.reason:
            return None
        remedy = (
            "see whether --devices=cpu:2 is right: if so, look at the devices, their driver and"
            " links, and --all_reduce; else report it"
        )
        return UserError(errors.NUMERICAL, str(self), "--devices", remedy)


def verify(
    run: Run,
    updates: int,
    say: Callable[[str], None],
    tell: Callable[[int, dict[str, Difference]], None] = lambda step, found: None,
    whole: bool = True,
) -> Verdict:
    """Makes some updates of a run, with its replicas and with one device.

    Args:
      run: whose variables change, from the state that they have.
      updates: their number.
      say: takes a line for each record that is left out.
      tell: takes each update as it is made.
      whole: compare with the whole batch at once as well, where that is not all there is. One
        device must then have the memory for it.

    Raises:
      UserError: as `as_one.compare`.
    """
    once, replicas = as_one.at_once(run), run.strategy.num_replicas_in_sync
    synchronized = run.gradient.synchronized
    twins = {} if synchronized else {IN_SHARES: as_one.in_shares(once, replicas)}
    twins |= {AT_ONCE: once} if synchronized or whole else {}
    made = []
    for step, found in as_one.compare(run, twins, updates, say):
        made.append((step, found))
        tell(step, found)
    # Batch norms that move are known once the step was traced.
    local = "local" if run.gradient.moved else "none"
    kind = "synchronized" if synchronized else local
    loose = _OF_ROUNDING if run.config.optimizer in _ADAPTIVE else frozenset()
    verdict = Verdict(replicas, kind, made, "", loose)
    return dataclasses.replace(verdict, reason=_reason(verdict, as_one.unequal_copies(run)))


def _reason(verdict: Verdict, unequal: list[str]) -> str:
    """The likely reason why the updates are not those of one device; empty where they are."""
    same = [found[verdict.exact] for _, found in verdict.updates]
    if not all(difference.same_pictures for difference in same):
        return "they were not given the same pictures"
    if verdict.exact == IN_SHARES and (wrong := _beyond(verdict, same, _WITHIN)):
        return _reason_of(verdict, wrong, _WITHIN)
    if unequal:
        return f"they do not keep the same values, {len(unequal)} variables such as {unequal[0]}"
    at_once = [found[AT_ONCE] for _, found in verdict.updates if AT_ONCE in found]
    if verdict.statistics == "local":
        return _reason_of_length(at_once)
    wrong = _beyond(verdict, at_once, _MOST_WITHIN)
    if 2 * len(wrong) > len(at_once) or _beyond(verdict, at_once, _EACH_WITHIN):
        return _reason_of(verdict, wrong, _MOST_WITHIN)
    return ""


def _beyond(verdict: Verdict, made: list[Difference], within: float) -> list[Difference]:
    """The updates of which some kind is further off than it may be."""
    return [difference for difference in made if _wrong_kinds(verdict, difference, within)]


def _wrong_kinds(verdict: Verdict, difference: Difference, within: float) -> set[str]:
    return {
        kind
        for kind, size in difference.by_kind.items()
        if size > (_EACH_WITHIN if kind in verdict.loose else within)
    }


def _reason_of_length(at_once: list[Difference]) -> str:
    """Of gradients with the batch statistics of a share beside those with the whole batch's."""
    if len(at_once) < _SETTLED:
        return ""
    ratio = statistics.median(difference.gradient_ratio for difference in at_once)
    return "" if 1 / _LENGTH_WITHIN < ratio < _LENGTH_WITHIN else _of_scale(ratio)


def _reason_of(verdict: Verdict, made: list[Difference], within: float) -> str:
    difference = max(made, key=lambda difference: difference.largest)
    wrong = _wrong_kinds(verdict, difference, within)
    far = f"{difference.largest:.2g} of {difference.kind}, most in {difference.variable}"
    if difference.by_kind["gradient norm"] > 0.1:
        return f"{_of_scale(difference.gradient_ratio)} ({far})"
    if wrong == {"statistics"}:
        return f"moving statistics are not the mean over replicas ({far})"
    if wrong == {"loss"}:
        return f"the loss is not the sum over replicas ({far})"
    if "gradient norm" not in wrong:
        return f"of the same gradient they make another update: decay, clipping, average ({far})"
    return (
        "their gradients differ: random numbers that depend on the replica, or a device, driver or"
        f" link that computes wrongly ({far})"
    )


def _of_scale(ratio: float) -> str:
    return (
        f"their gradient is {ratio:.3g} times as long: a sum over replicas that is made twice, or a"
        " mean in its place"
    )
