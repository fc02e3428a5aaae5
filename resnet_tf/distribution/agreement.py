"""What processes that train together must agree on, and do agree on before anything is written."""

import hashlib
import json
from collections.abc import Callable, Mapping

from resnet_tf import errors
from resnet_tf.distribution.cluster import Cluster
from resnet_tf.distribution.strategy import processes
from resnet_tf.errors import UserError


def refuse_disagreement(strategy, cluster: Cluster, told: Mapping[str, object]) -> None:
    """Compares what every process says, by its sha256, field by field.

    To be called by all of them; none returns before all have called.

    Args:
      strategy: of them.
      cluster: this process among them.
      told: JSON values by name, the same names everywhere.

    Raises:
      UserError: 78 in every process, naming each field that differs, and who has another one.
    """
    names = sorted(told)
    rows = _gathered(strategy, [_mark(told[name]) for name in names])
    differ = {
        name: [process for process in range(len(rows)) if rows[process][i] != rows[0][i]]
        for i, name in enumerate(names)
    }
    differ = {name: others for name, others in differ.items() if others}
    if not differ:
        return
    table = [("", "differs from process 0 in", f"here, in process {cluster.index}")]
    table += [(name, ", ".join(map(str, who)), str(told[name])) for name, who in differ.items()]
    raise UserError(
        errors.MISMATCH,
        f"the processes do not agree on {', '.join(differ)}",
        cluster.source,
        "give all of them the same flags, data and version",
        details=errors.table(table),
    )


def wait_for_all(strategy) -> None:
    """Returns once every process is here."""
    _gathered(strategy, [0])


def largest_of_all(strategy, value: int) -> int:
    """The largest that a process gave; returns once all have called."""
    return max(number for (number,) in _gathered(strategy, [value]))


def make_largest(strategy, variable) -> Callable[[], int]:
    """Builds a function that gives the largest value that a variable has in any process.

    It is to be called by all of them, and returns once all have called.

    Args:
      strategy: of them.
      variable: int64 scalar, one of each process.
    """
    import tensorflow as tf

    @tf.function(autograph=False)
    def gather():
        def of_replica():
            replica = tf.distribute.get_replica_context()
            return replica.all_gather(tf.reshape(variable.read_value(), [1]), axis=0)

        return strategy.experimental_local_results(strategy.run(of_replica))[0]

    return lambda: int(gather().numpy().max())


def _gathered(strategy, values: list[int]) -> list[list[int]]:
    """The values of each process, in their order."""
    import tensorflow as tf

    @tf.function(autograph=False)
    def gather():
        def of_replica():
            replica = tf.distribute.get_replica_context()
            return replica.all_gather(tf.constant([values], tf.int64), axis=0)

        return strategy.experimental_local_results(strategy.run(of_replica))[0]

    rows = gather().numpy().tolist()
    return rows[:: len(rows) // processes(strategy)]


def _mark(value: object) -> int:
    text = json.dumps(value, sort_keys=True, default=str)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)
