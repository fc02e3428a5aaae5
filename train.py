"""Trains a residual network.

Give a recipe, and change any of its values with a flag of the same name. The same command
run again goes on where it stopped.

  python train.py                                  handwritten digits, under a minute
  python train.py --recipe=cifar10_resnet20 --data_dir=data/cifar10
  python train.py --recipe=digits --print_config   what would be run, as JSON
  python train.py --recipe=digits --dry_run        whether it can be run, and how long it takes
"""

import dataclasses
import json
import math
import os
import pathlib
import sys

from resnet_tf import early  # noqa: F401  # isort: skip  first: now SIGUSR1 is answered
from absl import flags

from resnet_tf import recipes, runtime, scripts
from resnet_tf.errors import bad_flag
from resnet_tf.stopping import Stop

# Where --helpfull lists what is not common enough for --helpshort.
_RARE = "resnet_tf.training"

_DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "check all that a long run needs, and how long it will take; changes nothing"
)
_FIND_LR = flags.DEFINE_bool(
    "find_lr", False, "raise the rate step by step, and draw the losses into model_dir"
)
_LOW = flags.DEFINE_float("find_lr_low", 1e-6, "find_lr: the first rate", module_name=_RARE)
_HIGH = flags.DEFINE_float("find_lr_high", 10.0, "find_lr: the last rate", module_name=_RARE)
_STEPS = flags.DEFINE_integer(
    "find_lr_steps", 200, "find_lr: steps from one to the other", module_name=_RARE
)
_PROFILE_STEPS = flags.DEFINE_list(
    "profile_steps", None, "profile from,to: the steps after the first number, up to the second"
)
_WORKERS = flags.DEFINE_string(
    "workers", "", "HOST:PORT of every process that trains together, the chief's first"
)
_TASK = flags.DEFINE_integer("task", -1, "number of this process among --workers")
_START_TIMEOUT = flags.DEFINE_float(
    "start_timeout", 120.0, "seconds that --workers wait for each other", module_name=_RARE
)
_PRINT_CONFIG = flags.DEFINE_bool("print_config", False, "print the resolved Config and exit")

_COMMON = """
    recipe model data_dir model_dir init_from steps epochs batch_size seed learning_rate devices
    precision save_every_steps eval_every_steps log_every_steps overfit_batches
"""
scripts.define_config_flags(common=_COMMON.split())


def main(_):
    recipe = recipes.get(scripts.FLAGS.recipe or "digits").config
    config = scripts.config_from_flags(recipe)
    if _PRINT_CONFIG.value:
        print(json.dumps(config.to_json()))
        return
    _refuse_two_tasks(config.model_dir)
    profiled, ramp = _profiled(), _ramp()
    from resnet_tf.distribution import DeviceRequest
    from resnet_tf.distribution.cluster import find, refuse_taken_port

    cluster = find(_WORKERS.value, _TASK.value, os.environ)
    if cluster:
        for flag in (_DRY_RUN, _FIND_LR):
            if flag.value:
                raise bad_flag(flag.name, "is for one process", cluster.source)
        if not 0 < _START_TIMEOUT.value < math.inf:
            raise bad_flag("start_timeout", "must be above 0 and finite", _START_TIMEOUT.value)
        cluster = dataclasses.replace(cluster, start_timeout=_START_TIMEOUT.value)
        os.environ.pop("TF_CONFIG", None)  # which TensorFlow would read in its own way
        refuse_taken_port(cluster)
    request = DeviceRequest.parse(config.devices)
    if not (_DRY_RUN.value or _FIND_LR.value):
        # From here on, so that loading TensorFlow does not miss a signal.
        with Stop(config.max_runtime, runtime.process_age()).listening() as stop:
            _train(config, request, profiled, stop, cluster)
        return
    runtime.configure(request.logical_cpus, config.intra_op_threads, config.inter_op_threads)
    if _DRY_RUN.value:
        from resnet_tf.training import dry_run

        dry_run.check(config)
    else:
        from resnet_tf.training import find_rate

        find_rate.find(config, *ramp)


def _train(config, request, profiled: tuple[int, int] | None, stop: Stop, cluster) -> None:
    runtime.configure(request.logical_cpus, config.intra_op_threads, config.inter_op_threads)
    from resnet_tf import reporting
    from resnet_tf.training import command
    from resnet_tf.training.profile import Profiler

    directory = pathlib.Path(config.model_dir) / "profile"
    writes = not cluster or cluster.is_chief
    if not writes:
        reporting.silence(sys.stdout)
    profiler = Profiler(directory, *profiled) if profiled and writes else None
    command.train(config, profiler, stop, cluster)


def _refuse_two_tasks(model_dir: str) -> None:
    given = [flag.name for flag in (_DRY_RUN, _FIND_LR, _PROFILE_STEPS) if flag.value]
    if given and "://" in model_dir:
        raise bad_flag(given[0], "needs a --model_dir on this machine, not a store's", model_dir)
    if len(given) > 1:
        raise bad_flag(given[0], f"and {given[1]} exclude each other")


def _profiled() -> tuple[int, int] | None:
    """The steps that --profile_steps names; None where it names none."""
    if not _PROFILE_STEPS.value:
        return None
    steps = scripts.numbers_from("profile_steps", _PROFILE_STEPS.value)
    if (
        len(steps) != 2
        or not all(step == int(step) for step in steps)
        or not 0 <= steps[0] < steps[1]
    ):
        raise bad_flag("profile_steps", "must be two whole numbers that rise", steps)
    return int(steps[0]), int(steps[1])


def _ramp() -> tuple[float, float, int] | None:
    """Lowest and highest rate of --find_lr and the steps between; None without it."""
    if not _FIND_LR.value:
        return None
    scripts.refuse_without_matplotlib("curve", "--find_lr")
    low, high, steps = _LOW.value, _HIGH.value, _STEPS.value
    if not 0 < low < math.inf:
        raise bad_flag("find_lr_low", "must be above 0 and finite", low)
    if not low < high < math.inf:
        raise bad_flag("find_lr_high", f"must be above find_lr_low {low:g} and finite", high)
    if not 20 <= steps <= 10_000:
        raise bad_flag("find_lr_steps", "must be from 20 to 10000", steps)
    return low, high, steps


if __name__ == "__main__":
    scripts.run(main)
