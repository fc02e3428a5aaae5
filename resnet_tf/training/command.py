"""One command that trains: where, from which commit, and then the loop.

decide what to resume · build · lock the directory, in which nothing may have changed since · the
loop · unlock
"""

import contextlib
import dataclasses
import functools
import pathlib

from resnet_tf import checkpoint, errors, reporting, runtime
from resnet_tf.checkpoint import Lock, Mirror, is_address
from resnet_tf.config import Config
from resnet_tf.distribution import (
    Cluster,
    DeviceRequest,
    make_strategy,
    meet,
    refuse_broken_sums,
    refuse_disagreement,
    wait_for_all,
)
from resnet_tf.errors import UserError
from resnet_tf.reporting.goodput import Goodput
from resnet_tf.stopping import STOPS, Asked, Stop
from resnet_tf.training import ending, loop, resume, saving, start, together
from resnet_tf.training.place import Place
from resnet_tf.training.profile import Profiler


def train(
    config: Config,
    profiler: Profiler | None = None,
    stop: Stop | None = None,
    cluster: Cluster | None = None,
) -> dict:
    """Trains as `config` says, from where an earlier command stopped, to the end.

    Args:
      config: of the run.
      profiler: of some of its steps; none by default.
      stop: may ask it to end before; nobody does by default.
      cluster: the processes that train it together, each by a call of its own; by default it is
        this one alone.

    Returns:
      The "done" event: step, epoch, examples_seen, images_per_second, train_loss, eval,
      checkpoint and digest.

    Raises:
      UserError: for all that a user can mend; what was committed stays. 75, 130 or 143 where it
        was asked to stop: the step that was reached is committed.
    """
    stop = stop or Stop()
    try:
        if cluster:
            return _train_together(config, profiler, stop, cluster)
        if is_address(config.model_dir):
            return _train_mirrored(config, profiler, stop)
        return _train_in(Place(config, pathlib.Path(config.model_dir)), profiler, stop)
    except Asked:
        raise stop.error("before it had begun", config.model_dir) from None


def _train_mirrored(config: Config, profiler: Profiler | None, stop: Stop) -> dict:
    """Trains in a directory of this machine, of which the store is a mirror."""
    lost = functools.partial(stop.ask, "another process, which has the run", errors.RESUMABLE)
    mirror = Mirror(config.model_dir, lost, reporting.say)
    with stop.at_once():
        mirror.open()
    reporting.say(f"{mirror.address}: working in {mirror.directory}")
    try:
        here = dataclasses.replace(config, model_dir=str(mirror.directory))
        return _train_in(Place(here, mirror.directory, mirror), profiler, stop)
    except UserError as error:
        raise error.calling(mirror.directory, mirror.address) from error
    finally:
        mirror.close()


def _train_together(
    config: Config, profiler: Profiler | None, stop: Stop, cluster: Cluster
) -> dict:
    """Trains as one of several processes, of which the chief alone writes in the directory.

    The others do all that it does, in a directory of their own that nobody keeps.
    """
    together.refuse_alone_only(config)
    if finished := ending.say_again_alone(config):
        return finished
    with stop.at_once():
        if cluster.is_chief:
            Lock.refuse_held(pathlib.Path(config.model_dir))
            together.warn_of_strangers(cluster, reporting.say)
        meet(cluster, reporting.say)
    if not cluster.is_chief:
        reporting.hush()
    with together.naming_the_lost(cluster), together.own_directory(config, cluster) as here:
        place = Place(here, pathlib.Path(config.model_dir), cluster=cluster)
        return _train_in(place, profiler, stop)


def _train_in(place: Place, profiler: Profiler | None, stop: Stop) -> dict:
    clock = Goodput(runtime.process_age())
    config, cluster = place.config, place.cluster
    # Several processes end together, in the first step.
    with contextlib.nullcontext() if cluster else stop.at_once():
        if place.is_writers:
            Lock.refuse_held(place.home)
        # Before anything is computed, which a strategy of several processes needs.
        strategy = make_strategy(
            DeviceRequest.parse(config.devices), cluster, config.all_reduce, config.require_gpus
        )
        stop.listen_again()
        refuse_broken_sums(strategy)
        manifest = start.data_of(config)
        seen = checkpoint.commits(place.commits)
        resumed, damaged = resume.choose(dataclasses.replace(config, model_dir=str(place.home)))
        run = start.prepare(config, manifest, strategy, resumed)
    if profiler:
        profiler.refuse_beyond(run.total_steps)
    if cluster:
        refuse_disagreement(strategy, cluster, together.to_agree_on(run, resumed))
    if resumed:
        if finished := ending.say_again(config, run.total_steps, resumed, place.name_of):
            return finished
        resume.tell_or_refuse_inexact(resumed, run.describe, config, reporting.say)
    if place.is_writers:
        saving.refuse_full(run)
    lock = start.take_directory(config, seen if place.is_writers else [])
    try:
        if resumed and place.is_writers:
            resume.set_aside(damaged, resumed, reporting.say)
            if place.mirror:
                place.mirror.let_go(path.name for path, _ in damaged)
        stop.tell(lambda code: run.stop.assign(STOPS.index(code)))
        locked = dataclasses.replace(place, lock=lock)
        done = loop.train_to_the_end(run, resumed, locked, clock, profiler, stop)
        if cluster:
            wait_for_all(strategy)  # who leaves early looks lost to the others
        return done
    finally:
        lock.release()
