"""Trains a residual network.

Give a recipe, and change any of its values with a flag of the same name. The same command
run again goes on where it stopped.

  python train.py                                  handwritten digits, under a minute
  python train.py --recipe=cifar10_resnet20 --data_dir=data/cifar10
  python train.py --recipe=digits --print_config   what would be run, as JSON
"""

import json
import pathlib

from absl import flags

from resnet_tf import recipes, runtime, scripts
from resnet_tf.errors import bad_flag

_FIND_LR = flags.DEFINE_bool("find_lr", False, "try rates from low to high, draw the losses, exit")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "check everything a long run needs, and exit")
_PROFILE_STEPS = flags.DEFINE_list(
    "profile_steps", None, "profile from,to: the steps after the first number, up to the second"
)
_PRINT_CONFIG = flags.DEFINE_bool("print_config", False, "print the resolved Config and exit")

_COMMON = """
    recipe model data_dir model_dir steps epochs batch_size seed learning_rate devices
    save_every_steps eval_every_steps log_every_steps
"""
scripts.define_config_flags(common=_COMMON.split())


def main(_):
    recipe = recipes.get(scripts.FLAGS.recipe or "digits").config
    config = scripts.config_from_flags(recipe)
    if _PRINT_CONFIG.value:
        print(json.dumps(config.to_json()))
        return
    from resnet_tf.distribution import DeviceRequest

    request = DeviceRequest.parse(config.devices)
    runtime.configure(request.logical_cpus, config.intra_op_threads, config.inter_op_threads)
    if _DRY_RUN.value:
        from resnet_tf.training import dry_run

        dry_run.check(config)
    elif _FIND_LR.value:
        from resnet_tf.training import find_rate

        find_rate.find(config)
    else:
        from resnet_tf.training import loop

        loop.train(config, _profiler(config))


def _profiler(config):
    """Of the steps that --profile_steps names; None where it names none."""
    if not _PROFILE_STEPS.value:
        return None
    from resnet_tf.training.profile import Profiler

    steps = scripts.numbers_from("profile_steps", _PROFILE_STEPS.value)
    if (
        len(steps) != 2
        or not all(step == int(step) for step in steps)
        or not 0 <= steps[0] < steps[1]
    ):
        raise bad_flag("profile_steps", "must be two whole numbers that rise", steps)
    return Profiler(pathlib.Path(config.model_dir) / "profile", int(steps[0]), int(steps[1]))


if __name__ == "__main__":
    scripts.run(main)
