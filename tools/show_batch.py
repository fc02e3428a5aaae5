"""Draws the pictures that training sees at a position, as it sees them.

  python tools/show_batch.py --recipe=digits --output=batch.png
  python tools/show_batch.py --recipe=imagenet_resnet50 --data_dir=data/imagenet --position=1000000

Takes every flag that a recipe has. Position counts examples from the first step on; what is drawn
is cropped, mirrored, coloured and mixed by the same numbers that train.py would draw there.
"""

import itertools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import flags

from resnet_tf import errors, recipes, runtime, scripts
from resnet_tf.errors import UserError, bad_flag

_POSITION = flags.DEFINE_integer("position", 0, "first example to draw")
_COUNT = flags.DEFINE_integer("count", 32, "pictures at most; they end with their batch")
_OUTPUT = flags.DEFINE_string("output", "batch.png", "PNG file to write")
scripts.define_config_flags(common=["recipe", "data_dir", "batch_size", "seed", "image_size"])


def main(_):
    for name, flag, low in (("position", _POSITION, 0), ("count", _COUNT, 1)):
        if flag.value < low:
            raise bad_flag(name, f"must be {low} or more", flag.value)
    if not pathlib.Path(_OUTPUT.value).absolute().parent.is_dir():
        raise UserError(errors.CANNOT_CREATE, "its folder does not exist", _OUTPUT.value, "make it")
    recipe = recipes.get(scripts.FLAGS.recipe or "digits").config
    config = scripts.config_from_flags(recipe)
    scripts.refuse_without_matplotlib("grid", "tools/show_batch.py")
    runtime.configure()
    from resnet_tf.input import Manifest
    from resnet_tf.preparation import cached
    from resnet_tf.reporting import journal, say

    manifest = Manifest.load(cached.directory_of(config.data_dir, say=say))
    pictures = _batch(config, manifest)[: _COUNT.value]
    _draw(pictures, f"{config.recipe}, {manifest.name}, from position {_POSITION.value}")
    say(f"{_OUTPUT.value}: {len(pictures)} pictures")
    journal.emit({"event": "drawn", "output": _OUTPUT.value, "pictures": len(pictures),
                  "records": [int(record) for _, _, record in pictures]})  # fmt: skip


def _batch(config, manifest) -> list[tuple]:
    """(pixels uint8, label as text, record) from the position to the end of its batch."""
    import tensorflow as tf

    from resnet_tf.training.feed import Feed, pictures_of

    feed = Feed(config, tf.distribute.get_strategy(), manifest, pictures_of(config, manifest)[0])
    step, first = divmod(_POSITION.value, config.examples_a_step)
    while (batch := _made(feed, step)) is None:
        pass
    images, labels, marks = batch
    pixels = tf.cast(tf.round(images), tf.uint8).numpy()
    texts = [_text(label, manifest.classes) for label in labels.numpy()]
    return list(zip(pixels, texts, marks[:, 0].numpy()))[first:]


def _made(feed, step: int) -> tuple | None:
    """The batch of a step; None where a bad record of it has just been left out."""
    import tensorflow as tf

    try:
        return next(iter(feed.batches(step)))
    except tf.errors.OpError:
        if feed.skip_bad(step) is None:
            raise  # it was no record
        return None


def _text(label, classes: tuple[str, ...]) -> str:
    """A class's name; of a soft label each class with its share."""
    if label.ndim == 0:
        return classes[label]
    shares = sorted(((share, name) for share, name in zip(label, classes) if share > 0.005))
    return "\n".join(f"{name} {share:.2f}" for share, name in reversed(shares))


def _draw(pictures: list[tuple], title: str) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    columns = min(8, len(pictures))
    rows = -(-len(pictures) // columns)
    # Class names may hold dollar signs, which are no formulas.
    with rc_context({"text.parse_math": False}):
        figure = Figure(figsize=(1.6 * columns, 1.9 * rows + 0.4), layout="constrained", dpi=120)
        figure.suptitle(title, fontsize=9)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, picture in itertools.zip_longest(grid.flat, pictures):
            axes.axis("off")
            if picture:
                pixels, text, record = picture
                grey = pixels.shape[-1] == 1
                axes.imshow(pixels[..., 0] if grey else pixels, cmap="grey" if grey else None,
                            vmin=0, vmax=255)  # fmt: skip
                axes.set_title(f"{text}\nrecord {record}", fontsize=6)
        figure.savefig(_OUTPUT.value, format="png")


if __name__ == "__main__":
    scripts.run(main)
