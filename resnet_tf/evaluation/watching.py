"""The commits of a run, one after the other as they come."""

import os
import pathlib
import time
from collections.abc import Callable, Iterator

from resnet_tf import checkpoint, errors
from resnet_tf.checkpoint import Commit
from resnet_tf.checkpoint.directory import is_named_as_one
from resnet_tf.errors import UserError
from resnet_tf.reporting import journal


def new_commits(
    model_dir: str | os.PathLike,
    *,
    every: float = 10.0,
    patience: float = 0.0,
    say: Callable[[str], None] = lambda sentence: None,
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
      say: is told in a sentence what is waited for.
      sleep, clock: of the time in seconds.

    Raises:
      UserError: 64 for one commit, or weights that no run makes: nothing will come after them;
        78 where there are commits and none verifies.
    """
    if is_named_as_one(pathlib.Path(model_dir)):
        raise _refusal(model_dir, "this is one commit, and no other will come after it")
    return _new_commits(model_dir, every, patience, say, sleep, clock)


def _new_commits(model_dir, every, patience, say, sleep, clock) -> Iterator[Commit]:
    last, since, told = None, clock(), ""
    while True:
        newest = _newest(model_dir)
        if newest and newest.manifest.get("config", {}) is None:
            raise _refusal(model_dir, "these weights are of no run, and nothing will come after")
        if newest and (last is None or newest.manifest["digest"] != last.manifest["digest"]):
            last = newest
            yield newest
            since = clock()
            continue
        if last and _is_done(last):
            return
        if patience and clock() - since >= patience:
            return
        what = _awaited(model_dir, last)
        if what != told:
            say(what)
            told = what
        sleep(every)


def _awaited(model_dir: str | os.PathLike, last: Commit | None) -> str:
    if last is None:
        return f"waiting for the first commit in {model_dir}"
    if _events_of_the_end(last):
        return f"waiting: the run in {model_dir} was done before step {last.step}, and goes on"
    return f"waiting for commits after step {last.step} in {model_dir}"


def _refusal(model_dir: str | os.PathLike, what: str) -> UserError:
    return UserError(errors.BAD_FLAGS, what, model_dir, "leave --watch out")


def _newest(model_dir: str | os.PathLike) -> Commit | None:
    try:
        return checkpoint.find(model_dir)
    except UserError as error:
        # There is no commit yet, or the one just seen was swept before it was read.
        if error.code == errors.MISSING_INPUT:
            return None
        raise


def _is_done(last: Commit) -> bool:
    done = _events_of_the_end(last)
    return bool(done) and done[-1].get("digest") == last.manifest["digest"]


def _events_of_the_end(last: Commit) -> list[dict]:
    events = journal.read(last.path.parent.parent)  # which is in the cache, for a store
    return [event for event in events if event.get("event") == "done"]
