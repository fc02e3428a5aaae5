"""Steps outside of the loop: nothing is saved, evaluated or kept."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.training.run import Run


def calls(
    run: Run, step: int, count: int, say: Callable[[str], None]
) -> Iterator[dict[str, np.ndarray]]:
    """What calls of `run.train` return, of up to `count` steps each, for as long as it is asked.

    As in a run, a call ends where the size of the pictures changes, and a record that cannot be
    used is left out where that is allowed.

    Args:
      run: whose variables change.
      step: number of finished steps.
      count: steps a call.
      say: takes a line for each record that is left out.

    Raises:
      UserError: 65, naming the record, where it may not be left out.
    """
    while True:
        iterator = iter(run.feed.batches(step))
        resize = min((at for at in run.feed.resizes if at > step), default=None)
        while resize is None or step < resize:
            steps = count if resize is None else min(count, resize - step)
            try:
                health = run.train(iterator, tf.constant(steps))
            except tf.errors.OpError:
                step = int(run.step.numpy())
                found = run.feed.skip_bad(step)
                if found is None:
                    raise  # it was no record
                say(f"left out from step {step} on: {found[1]}")
                break
            yield {name: values.numpy() for name, values in health.items()}
            step = int(run.step.numpy())


def finite(health: dict[str, np.ndarray], step: int) -> dict[str, np.ndarray]:
    """The health of a step, which a loss scale may have left out.

    Raises:
      UserError: 76 where its loss or its gradient is not finite otherwise.
    """
    if (health["finite"] | health["overflowed"]).all():
        return health
    raise UserError(
        errors.NUMERICAL,
        f"loss or gradient is not finite at step {step} (loss {health['loss'][-1]:g}, gradient norm"
        f" {health['gradient_norm'][-1]:g})",
        f"step {step}",
        "give a lower --learning_rate, more --warmup or --clip=norm",
    )
