"""The same network, weights, batch and update in Keras' `fit`.

  python keras_step.py --start=FILE.npz [--network=NAME] [--settings=keras|ours]
      [--steps_a_call=N]

`--settings=keras` changes nothing: oneDNN and allocator as the wheel and glibc have them, and
`jit_compile="auto"`. `--settings=ours` gives Keras our oneDNN and allocator, without XLA.
"""

import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from cases import MEAN, STD, arguments, case_of
from stepping import measure, report


def main(flags: argparse.Namespace) -> None:
    begin = time.perf_counter()
    if flags.settings == "ours":
        import resnet_tf  # noqa: F401  sets oneDNN and the allocator
    import keras
    import keras_networks
    import numpy as np
    import tensorflow as tf

    imported, case = time.perf_counter(), case_of(flags)
    arrays = np.load(flags.start, allow_pickle=False)
    model = keras_networks.create(flags.network, case.size, case.classes)
    keras_networks.load(model, arrays)
    model.compile(
        keras.optimizers.SGD(case.rate, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile="auto" if flags.settings == "keras" else False,
        steps_per_execution=flags.steps_a_call,
    )
    images = (arrays["images"].astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
    batches = tf.data.Dataset.from_tensors((images, arrays["labels"])).repeat()
    built, moments = time.perf_counter(), []
    clock = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda *_: moments.append(time.perf_counter()),
        on_epoch_end=lambda *_: moments.append(time.perf_counter()),
    )

    def advance(count):
        # One epoch; the clock leaves out what `fit` does once a call.
        fitted = model.fit(batches, steps_per_epoch=count, verbose=0, callbacks=[clock])
        return fitted.history["loss"][0], moments[-1] - moments[-2]

    report(
        import_s=imported - begin,
        build_s=built - imported,
        versions={"Keras": keras.__version__, "TensorFlow": tf.__version__},
        **measure(advance, case, flags.steps_a_call),
    )


if __name__ == "__main__":
    parser = arguments(__doc__.splitlines()[0])
    parser.set_defaults(peer="keras")
    parser.add_argument("--settings", choices=("keras", "ours"), default="keras")
    parser.add_argument("--steps_a_call", type=int, default=1)
    main(parser.parse_args())
