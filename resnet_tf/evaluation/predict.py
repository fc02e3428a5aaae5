"""What is on these pictures?"""

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from resnet_tf.evaluation import picture_files
from resnet_tf.evaluation.explain import Explainer
from resnet_tf.evaluation.saved import LoadedModel
from resnet_tf.evaluation.views import at_temperature


def predict(
    loaded: LoadedModel,
    paths: Sequence[str],
    *,
    top: int = 5,
    batch_size: int = 64,
    temperature: float = 1.0,
    explainer: Explainer | None = None,
    synsets: Mapping[str, str] | None = None,
) -> Iterator[dict]:
    """Looks at picture files, in order.

    Args:
      loaded: the network.
      paths: of JPEG and PNG files.
      top: how many classes are given, at most.
      batch_size: pictures at a time.
      temperature: by which logits are divided.
      explainer: of each picture's first class.
      synsets: class names by synset, where folders are called after these.

    Yields:
      For each path `file` and `top`, a list of {"class", "score"}, the likeliest first, and
      `true` where the picture's folder has the name or the synset of a class, and `explained`
      where an `explainer` made a file; or `file` and `error` for a picture that cannot be used.
    """
    model = at_temperature(loaded.model, temperature)
    names = loaded.class_names
    number = min(top, len(names))
    true = {name: name for name in names}
    true |= {synset: name for synset, name in (synsets or {}).items() if name in true}

    @tf.function(autograph=False, reduce_retracing=True)
    def look(pixels):
        shares = tf.nn.softmax(
            tf.cast(model(loaded.preprocess(pixels), training=False), tf.float32)
        )
        return tf.math.top_k(shares, number)

    for numbers, pixels, bad in picture_files.batches(paths, loaded.pictures, batch_size):
        scores, classes = (x.numpy() for x in look(pixels)) if numbers else ((), ())
        rows = {n: {"file": paths[n], "error": reason} for n, reason in bad.items()}
        for place, n in enumerate(numbers):
            rows[n] = _row(paths[n], scores[place], classes[place], names, true)
            if explainer:
                told = explainer.write(n, paths[n], pixels[place], classes[place][0])
                rows[n]["explained"] = told
        yield from (rows[n] for n in sorted(rows))


def _row(path: str, scores: np.ndarray, classes: np.ndarray, names: Sequence[str], true: dict):
    row = {
        "file": path,
        "top": [
            # The shortest decimals that mean these float32.
            {"class": names[c], "score": float(str(score))}
            for score, c in zip(scores, classes)
        ],
    }
    folder = pathlib.Path(os.path.abspath(path)).parent.name
    return row | ({"true": true[folder]} if folder in true else {})
