"""What a commit costs beside `tf.train.Checkpoint.write` of the same variables.

  python benchmarks/saving.py [--network=resnet50] [--rounds=7]

Both write in turn: a network with its momentum, as a training run saves it. Ours is on the disk
(fsync), has sha256 of files and state in its manifest, is looked at for values that are not finite,
and is read back; `Checkpoint.write` does none of that.
"""

import pathlib
import shutil
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import app, flags

from resnet_tf import runtime

_NETWORK = flags.DEFINE_string("network", "resnet50", "whose variables are saved")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "of one write each")
_PLACE = flags.DEFINE_string("place", "", "directory on the disk in question; default: temporary")


def main(_):
    runtime.configure()
    import tensorflow as tf

    from resnet_tf import checkpoint, models
    from resnet_tf.layers import named_variables

    model = models.create(_NETWORK.value, num_classes=1000)
    named = {f"model/{name}": v for name, v in named_variables(model).items()}
    named |= {f"momentum/{name}": tf.Variable(v) for name, v in named.items()}
    bare = tf.train.Checkpoint(**{name.replace("/", "_"): v for name, v in named.items()})
    folder = pathlib.Path(tempfile.mkdtemp(dir=_PLACE.value or None))
    seconds = {"ours": [], "Checkpoint.write": []}
    try:
        for number in range(1 + _ROUNDS.value):
            begin = time.perf_counter()
            tensors = {name: variable.numpy() for name, variable in named.items()}
            written = checkpoint.write(folder, number, tensors, {})
            middle = time.perf_counter()
            bare.write(str(folder / f"bare{number}"))
            end = time.perf_counter()
            if number:  # the first pair warms up
                seconds["ours"].append(middle - begin)
                seconds["Checkpoint.write"].append(end - middle)
            megabytes = sum(file.stat().st_size for file in written.path.iterdir()) / 1e6
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{_NETWORK.value} with momentum, {megabytes:.0f} MB, {_ROUNDS.value} rounds in turn")
    for name, found in seconds.items():
        print(
            f"{name:>16}  {statistics.median(found):.3f} s  ({min(found):.3f} to {max(found):.3f})"
        )
    ratios = sorted(a / b for a, b in zip(*seconds.values()))
    print(f"ours / theirs, median of pairs: {ratios[len(ratios) // 2]:.2f}")


if __name__ == "__main__":
    app.run(main)
