"""How far the updates of a run's replicas are from those of one device.

Each update is made from the same state and on the same batch, by the replicas and by one device
that has the whole batch:

* in shares, one after the other (`InShares`), whose batch norms see what those of a replica see.
  This is the run's own mathematics, so only the order of sums differs;
* at once, whose batch norms see the whole batch. Where they are synchronised among replicas, or
  there are none, it is the same mathematics, but rounding may carry single ReLUs over their corner.

The difference of two updates u, v is |u - v| / max(|u|, |v|): 0 for equal ones, 1/2 where one is
twice the other, so also where of two replicas' sum a mean was made. |·| is the root of the sum of
squares over all variables of a kind: weights, moving statistics, each slot of the optimizer … What
is below the last bits of the values themselves is no difference.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.preprocessing import Preprocessing
from resnet_tf.training import chosen, trial
from resnet_tf.training.run import Run, build, make_step
from resnet_tf.training.shares import InShares

Values = Mapping[str, np.ndarray]

# In a row: of 16 bits with a dynamic scale, which halves each time.
_MOST_OVERFLOWS = 24
_LAST_BITS = 2


@dataclasses.dataclass(frozen=True)
class Difference:
    """Of an update of the replicas from that of one device.

    Attributes:
      by_kind: of the variables of each kind; "loss" and "gradient norm" are kinds as well.
      variable: the one in which the variables that are furthest off differ most.
      of_variable: the difference of its own update.
      gradient_ratio: length of the replicas' gradient over that of the one device's.
      same_pictures: whether both had the same records, and the same pixels of them.
    """

    by_kind: dict[str, float]
    variable: str
    of_variable: float
    gradient_ratio: float
    same_pictures: bool

    @property
    def kind(self) -> str:
        """The kind that is furthest off."""
        return max(self.by_kind, key=self.by_kind.__getitem__)

    @property
    def largest(self) -> float:
        """The difference of that kind."""
        return self.by_kind[self.kind]


def at_once(run: Run) -> Run:
    """A run's network and batches on the first of its devices, which has the whole batch."""
    first = run.strategy.extended.worker_devices[0]
    # No second mirrored strategy: collectives of several can mix. This one has none.
    one = tf.distribute.OneDeviceStrategy(first)
    pictures = Preprocessing.from_json(run.describe["preprocessing"])
    twin = build(run.config, one, run.manifest, pictures)
    twin.feed.leave_out(run.feed.bad.found)
    return twin


def in_shares(twin: Run, shares: int) -> Run:
    """The same, sharing its variables, with so many shares of a batch one after the other."""
    gradient = InShares(twin.gradient, shares)
    schedule = chosen.schedule_from(twin.config, twin.records)
    train = make_step(twin.config, twin.strategy, twin.state, gradient, schedule)
    return dataclasses.replace(twin, train=train)


def compare(
    run: Run, twins: Mapping[str, Run], updates: int, say: Callable[[str], None]
) -> Iterator[tuple[int, dict[str, Difference]]]:
    """Makes updates with the replicas, each from where the one before it ended, and as the twins.

    Args:
      run: whose variables change, from the state that they have.
      twins: of `at_once` or `in_shares`, by a name for each.
      updates: their number. Those that every one leaves out, for the loss scale's sake, do not
        count.
      say: takes a line for each record that is left out.

    Yields:
      The number of the step, and how far it is from that of each twin.

    Raises:
      UserError: 76 where a loss or gradient is not finite, or the loss scale never low enough.
    """
    step, left_out = int(run.step.numpy()), 0
    calls = trial.calls(run, step, 1, say)
    of_twins = {name: trial.calls(twin, step, 1, say) for name, twin in twins.items()}
    while updates:
        before, found = run.tensors(), {}
        health = trial.finite(next(calls), step + 1)
        after, sound = run.tensors(), health["finite"].all()
        for name, twin in twins.items():
            _assign(twin.variables, before)
            expected = trial.finite(next(of_twins[name]), step + 1)
            found[name] = _difference(run, before, (after, health), (twin.tensors(), expected))
            sound |= expected["finite"].all()
        step += 1
        if sound:
            updates -= 1
            yield step, found
        elif (left_out := left_out + 1) > _MOST_OVERFLOWS:
            what = f"gradients overflow in each of {left_out} steps"
            raise UserError(errors.NUMERICAL, what, "--loss_scale", "give a lower one")


def unequal_copies(run: Run) -> list[str]:
    """Names of the variables that are not the same on all devices of this process, bit by bit."""
    found = []
    for name, variable in run.variables.items():
        first, *others = (v.numpy() for v in run.strategy.experimental_local_results(variable))
        if any(first.tobytes() != other.tobytes() for other in others):
            found.append(name)
    return found


def _assign(variables: Mapping[str, tf.Variable], values: Values) -> None:
    for name, variable in variables.items():
        variable.assign(values[name])


def _difference(
    run: Run, before: Values, many: tuple[Values, Values], one: tuple[Values, Values]
) -> Difference:
    """From the state before, and state and health after, of the replicas and of one device."""
    (after, health), (expected, of_one) = many, one
    trained = {f"model/{name}" for name in run.plan.trained}
    squares = {name: _squares(before[name], after[name], expected[name]) for name in before}
    kinds: dict[str, np.ndarray] = {}
    for name, three in squares.items():
        kind = _kind(name, trained)
        kinds[kind] = kinds.get(kind, np.zeros(3)) + three
    by_kind = {kind: _relative(three) for kind, three in kinds.items()}
    furthest = max(by_kind, key=by_kind.__getitem__)
    worst = max(
        (name for name in squares if _kind(name, trained) == furthest),
        key=lambda name: squares[name][0],
    )
    for name in ("loss", "gradient_norm"):
        u, v = (float(x[name][0]) for x in (health, of_one))
        by_kind[name.replace("_", " ")] = _relative(np.square([u - v, u, v]))
    return Difference(
        by_kind,
        worst,
        _relative(squares[worst]),
        _ratio(float(health["gradient_norm"][0]), float(of_one["gradient_norm"][0])),
        all((health[name] == of_one[name]).all() for name in ("order", "pictures")),
    )


def _kind(name: str, trained: set[str]) -> str:
    """Of a variable, by the name that it is saved under."""
    first, *rest = name.split("/")
    if first == "model":
        return "weights" if name in trained else "statistics"
    return rest[0] if first == "optimizer" else first


def _squares(before: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Sums of the squares of u - v and of the moves of both, float64 `[3]`."""
    rounding = _LAST_BITS * np.spacing(np.abs(before).astype(np.float32)).astype(np.float64)
    before, u, v = (x.astype(np.float64) for x in (before, u, v))
    apart = np.maximum(np.abs(u - v) - rounding, 0)
    return np.array([np.square(x).sum() for x in (apart, u - before, v - before)])


def _ratio(u: float, v: float) -> float:
    """u / v; 1 where there is none."""
    return u / v if v and math.isfinite(u) and math.isfinite(v) else 1.0


def _relative(squares: np.ndarray) -> float:
    """|u - v| / max(|u|, |v|) of their squares; 0 where both are nothing, 2 without an end."""
    if not np.isfinite(squares).all():
        return 2.0
    apart, longer = squares[0], max(squares[1], squares[2])
    return float(np.sqrt(apart / longer)) if longer else 0.0
