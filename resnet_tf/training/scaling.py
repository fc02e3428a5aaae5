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
# In shares, of every update. At once, of the median and of every update: single ReLUs.
_WITHIN = 1e-4
_MEDIAN_WITHIN, _EACH_WITHIN = 1e-2, 0.25
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
    """

    replicas: int
    statistics: str
    updates: list[tuple[int, dict[str, Difference]]]
    reason: str

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
    verdict = Verdict(replicas, "synchronized" if synchronized else local, made, "")
    return dataclasses.replace(verdict, reason=_reason(verdict, as_one.unequal_copies(run)))


def _reason(verdict: Verdict, unequal: list[str]) -> str:
    """The likely reason why the updates are not those of one device; empty where they are."""
    same = [found[verdict.exact] for _, found in verdict.updates]
    if not all(difference.same_pictures for difference in same):
        return "they were not given the same pictures"
    if verdict.exact == IN_SHARES and verdict.largest > _WITHIN:
        return _reason_of(max(same, key=lambda difference: difference.largest))
    if unequal:
        return f"they do not keep the same values, {len(unequal)} variables such as {unequal[0]}"
    at_once = [found[AT_ONCE] for _, found in verdict.updates if AT_ONCE in found]
    if not at_once:
        return ""
    if verdict.statistics == "local":
        ratio = statistics.median(difference.gradient_ratio for difference in at_once)
        near = 1 / _LENGTH_WITHIN < ratio < _LENGTH_WITHIN
        return "" if near or len(at_once) < _SETTLED else _of_scale(ratio)
    typical = sorted(at_once, key=lambda difference: difference.largest)[len(at_once) // 2]
    worst = max(at_once, key=lambda difference: difference.largest)
    if typical.largest > _MEDIAN_WITHIN or worst.largest > _EACH_WITHIN:
        return _reason_of(typical if typical.largest > _MEDIAN_WITHIN else worst)
    return ""


def _reason_of(difference: Difference) -> str:
    kinds, gradients = difference.by_kind, difference.by_kind["gradient norm"]
    wrong = {kind for kind, size in kinds.items() if size > _WITHIN}
    far = f"{difference.largest:.2g} of {difference.kind}, most in {difference.variable}"
    if gradients > 0.1:
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
