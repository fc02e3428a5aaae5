"""Trains a residual network.

Give a recipe, and change any of its values with a flag of the same name. The same command
run again goes on where it stopped.

  python train.py                                  handwritten digits, under a minute
  python train.py --recipe=cifar10_resnet20 --data_dir=data/cifar10
  python train.py --recipe=digits --print_config   what would be run, as JSON
"""

import json

from absl import flags

from resnet_tf import recipes, runtime, scripts

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
    from resnet_tf.training import loop

    loop.train(config)


if __name__ == "__main__":
    scripts.run(main)
