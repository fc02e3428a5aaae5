"""Shows a network layer by layer: output shape, variables, parameters, multiply-accumulates.

  python tools/summary.py resnet50
  python tools/summary.py resnet50 --input_size=160 --num_classes=20
  python tools/summary.py cifar_resnet --model_options=depth=14,shortcut=B

The table goes to stderr, the totals as one line of JSON to stdout.
"""

import sys

from absl import flags

from resnet_tf import errors, runtime, scripts
from resnet_tf.errors import UserError, bad_flag

_INPUT_SIZE = flags.DEFINE_string("input_size", None, "SIDE or HEIGHTxWIDTH; default: the usual")
_NUM_CLASSES = flags.DEFINE_integer("num_classes", None, "default: the network's")
_MODEL_OPTIONS = flags.DEFINE_list("model_options", [], "as name=value,name=value")
_LAYERS = flags.DEFINE_bool("layers", False, "a line of JSON for every layer, too")


def main(arguments):
    if len(arguments) != 1:
        what = f"one network must be named, got {len(arguments)}"
        raise UserError(errors.BAD_FLAGS, what, "summary.py", "such as: tools/summary.py resnet50")
    name, options = arguments[0], scripts.options_from("model_options", _MODEL_OPTIONS.value)
    if _NUM_CLASSES.value is not None:
        if "num_classes" in options:
            raise bad_flag("num_classes", "and model_options both give the classes")
        options["num_classes"] = _NUM_CLASSES.value
    told_size = _size()
    runtime.configure()
    from resnet_tf import models
    from resnet_tf.models.summary import summarize
    from resnet_tf.reporting import journal

    model = models.create_as_told(name, **options)
    pictures = models.usual_preprocessing(name)
    height, width = told_size or (pictures.height, pictures.width)
    try:
        layers = summarize(model, height, width)
    except ValueError as error:
        raise bad_flag("input_size", str(error)) from error
    total, trainable = models.count_parameters(model)
    macs = sum(layer.macs for layer in layers)
    print(_table(layers), file=sys.stderr)
    print(
        f"\n{name} at {height}x{width}: {total:,} parameters, {trainable:,} of them trainable;"
        f" {macs / 1e9:.3f} GMAC",
        file=sys.stderr,
    )
    for layer in layers if _LAYERS.value else ():
        journal.emit({
            "event": "layer", "name": layer.name, "output": layer.output,
            "variables": layer.variables, "parameters": layer.parameters, "macs": layer.macs,
        })  # fmt: skip
    journal.emit({
        "event": "summary", "model": name, "height": height, "width": width,
        "parameters": total, "trainable": trainable, "macs": macs,
    })  # fmt: skip


def _size():
    text = _INPUT_SIZE.value
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() and int(side) for side in sides):
        raise bad_flag("input_size", "must be SIDE or HEIGHTxWIDTH in pixels", repr(text))
    return int(sides[0]), int(sides[-1])


def _table(layers):
    rows = [("layer", "output", "variables", "parameters", "M MAC")]
    rows += [
        (
            layer.name,
            "x".join(map(str, layer.output)),
            _variables(layer.variables),
            f"{layer.parameters:,}" if layer.variables else "",
            f"{layer.macs / 1e6:,.3f}" if layer.macs else "",
        )
        for layer in layers
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = [
        "  ".join(
            cell.rjust(width) if i >= 3 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _variables(shapes):
    """Names with one shape behind those that share it: `kernel 3x3x3x16, bias 16`."""
    names = {}
    for name, shape in shapes.items():
        names.setdefault("x".join(map(str, shape)), []).append(name)
    return ", ".join(f"{' '.join(group)} {shape}" for shape, group in names.items())


if __name__ == "__main__":
    scripts.run(main, positional=True)
