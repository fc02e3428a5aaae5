"""Trains in several processes of this machine, as an engine does on several machines.

  python tools/launch.py --workers=2 -- python train.py --recipe=cifar10_resnet20 --data_dir=…
  python tools/launch.py --workers=4 --max_restarts=3 -- python train.py …

Each process is told who the others are by TF_CONFIG. The first that fails is named and the others
are ended; with --max_restarts all are started again, and go on from the last commit. Signals are
passed on. stdout is the chief's; lines of stderr have the number of their process before them.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import flags

from resnet_tf import errors, scripts
from resnet_tf.errors import UserError, bad_flag

_WORKERS = flags.DEFINE_integer("workers", 2, "number of processes")
_MAX_RESTARTS = flags.DEFINE_integer("max_restarts", 0, "how often all are started again")
_GRACE = flags.DEFINE_float("grace", 15.0, "seconds that the others have once one has failed")


def main(command):
    if _WORKERS.value < 1:
        raise bad_flag("workers", "must be 1 or more", _WORKERS.value)
    if _MAX_RESTARTS.value < 0:
        raise bad_flag("max_restarts", "must be 0 or more", _MAX_RESTARTS.value)
    if not 0 <= _GRACE.value < float("inf"):
        raise bad_flag("grace", "must be 0 or more, and finite", _GRACE.value)
    if not command:
        raise UserError(errors.BAD_FLAGS, "no command is given", "arguments", "give it after --")
    from resnet_tf.distribution import launcher

    try:
        code = launcher.launch(command, _WORKERS.value, _MAX_RESTARTS.value, _GRACE.value)
    except OSError as error:
        what = f"the command cannot be started: {error.strerror}"
        raise UserError(errors.MISSING_INPUT, what, command[0], "give another") from error
    sys.exit(code)


if __name__ == "__main__":
    scripts.run(main, positional=True)
