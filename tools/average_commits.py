"""Makes a model directory of the mean of a run's last commits; eval.py takes it as it is.

  python train.py --recipe=digits --model_dir=runs/digits --keep=5 --save_every_steps=50
  python tools/average_commits.py --checkpoint=runs/digits --output=runs/digits_mean --last=5
  python eval.py --checkpoint=runs/digits_mean

Averaged are the weights and the moving statistics of the network (Izmailov et al. 2018, arXiv
1803.05407). For exact statistics of the averaged weights a pass over the training data would be
needed; eval.py, on both directories, tells whether the average helped.
"""

import sys

from absl import flags

from resnet_tf import errors, runtime, scripts
from resnet_tf.errors import UserError

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "model directory of a run")
_OUTPUT = flags.DEFINE_string("output", None, "model directory to make")
_LAST = flags.DEFINE_integer("last", 5, "how many of the newest commits are averaged, 2 or more")


def main(_):
    for flag in (_CHECKPOINT, _OUTPUT):
        if not flag.value:
            what = f"--{flag.name} is not given"
            raise UserError(errors.BAD_FLAGS, what, f"--{flag.name}", "see --helpshort")
    runtime.configure()
    from resnet_tf.evaluation import average_commits
    from resnet_tf.reporting import journal

    averaged = average_commits(_CHECKPOINT.value, _OUTPUT.value, last=_LAST.value)
    for path, reason in averaged.damaged:
        print(f"passed over {path.name}: {reason}", file=sys.stderr)
    steps = [source.step for source in averaged.sources]
    if len(steps) < _LAST.value:
        print(f"there are {len(steps)} commits, fewer than --last={_LAST.value}", file=sys.stderr)
    print(f"averaged steps {', '.join(map(str, steps))}: {_OUTPUT.value}", file=sys.stderr)
    journal.emit({
        "event": "averaged",
        "checkpoint": str(averaged.commit.path),
        "steps": steps,
        "variables": averaged.variables,
        "digest": averaged.commit.manifest["digest"],
    })  # fmt: skip


if __name__ == "__main__":
    scripts.run(main)
