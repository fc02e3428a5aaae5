"""One small all-reduce before anything is built: links and drivers that fail do so here."""

import os
import sys
import threading

from resnet_tf import errors
from resnet_tf.errors import UserError

_SECONDS = 30.0


def refuse_broken_sums(strategy, seconds: float = _SECONDS) -> None:
    """Sums known numbers over all replicas; of one replica there is nothing to test.

    Replica r of n gives r + 1, so the sum is n (n + 1) / 2. To be called by every process. Where
    nothing comes back in time the process ends with code 70: no error reaches a thread that waits
    for a link.

    Raises:
      UserError: 70 for a wrong sum.
    """
    import tensorflow as tf

    count = strategy.num_replicas_in_sync
    if count == 1:
        return

    @tf.function(autograph=False)
    def summed():
        def of_replica():
            replica = tf.distribute.get_replica_context()
            own = tf.cast(replica.replica_id_in_sync_group + 1, tf.float32)
            return replica.all_reduce(tf.distribute.ReduceOp.SUM, tf.fill([256], own))

        return strategy.experimental_local_results(strategy.run(of_replica))

    deadline = threading.Timer(seconds, _end, (count, seconds))
    deadline.daemon = True
    deadline.start()
    try:
        sums = [float(each) for part in summed() for each in part.numpy()]
    finally:
        deadline.cancel()
    expected = count * (count + 1) / 2
    wrong = [value for value in sums if value != expected]
    if wrong:
        raise _broken(f"the sum over {count} devices is {wrong[0]:g}, not {expected:g}")


def _end(count: int, seconds: float) -> None:
    error = _broken(f"a sum over {count} devices has not come back in {seconds:g} s")
    print(error, file=sys.stderr, flush=True)
    os._exit(errors.INTERNAL)


def _broken(what: str) -> UserError:
    remedy = "see that devices and links work; --all_reduce sums in another way"
    return UserError(errors.INTERNAL, what, "--all_reduce", remedy)
