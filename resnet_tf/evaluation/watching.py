"""The commits of a run, one after the other as they come."""

import os
import pathlib
import time
from collections.abc import Callable, Iterator

from resnet_tf import checkpoint, errors
from resnet_tf.checkpoint import Commit
from resnet_tf.errors import UserError
from resnet_tf.reporting import journal


def new_commits(
    model_dir: str | os.PathLike,
    *,
    every: float = 10.0,
    patience: float = 0.0,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Commit]:
    """Gives the newest commit of a model directory, and the newest again whenever there is one.

    Commits that come and go while the caller is busy are passed over. Ends after the last
    commit of a run that is done, which its journal tells.

    Args:
      model_dir: of a run, which need not have begun.
      every: seconds between two looks.
      patience: seconds without a new commit after which it ends; 0: never.
      sleep, clock: of the time in seconds.

    Raises:
      UserError: 78 where there are commits and none verifies.
    """
    model_dir, last, since = pathlib.Path(model_dir), None, clock()
    while True:
        newest = _newest(model_dir)
        if newest and (last is None or newest.manifest["digest"] != last.manifest["digest"]):
            last = newest
            yield newest
            since = clock()
            continue
        if last and _is_done(model_dir, last):
            return
        if patience and clock() - since >= patience:
            return
        sleep(every)


def _newest(model_dir: pathlib.Path) -> Commit | None:
    try:
        return checkpoint.find(model_dir)
    except UserError as error:
        # There is no commit yet, or the one just seen was swept before it was read.
        if error.code == errors.MISSING_INPUT:
            return None
        raise


def _is_done(model_dir: pathlib.Path, last: Commit) -> bool:
    done = [event for event in journal.read(model_dir) if event.get("event") == "done"]
    return bool(done) and done[-1].get("digest") == last.manifest["digest"]
