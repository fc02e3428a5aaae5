"""The same networks in Keras, as a user would write or take them, without softmax."""

import re

import keras
from keras import layers

# Keras' numbers of a block's layers in `keras.applications`; 0 is the shortcut's.
LAYERS = (
    {"0_conv": "shortcut/conv", "0_bn": "shortcut/norm"}
    | {f"{k}_conv": f"conv{k}" for k in (1, 2, 3)}
    | {f"{k}_bn": f"norm{k}" for k in (1, 2, 3)}
)
OUTSIDE = {"conv1_conv": "stem", "conv1_bn": "stem_norm", "predictions": "head"}
VARIABLES = {"gamma": "scale", "beta": "offset"}


def create(network: str, size: int, classes: int) -> keras.Model:
    """The network called so among ours; of ResNet-50, v1 with biases."""
    if network == "resnet50":
        return keras.applications.ResNet50(
            weights=None,
            input_shape=(size, size, 3),
            classes=classes,
            classifier_activation=None,
        )
    return cifar_resnet(int(network.removeprefix("cifar_resnet")), size, classes)


def cifar_resnet(depth: int, size: int, classes: int) -> keras.Model:
    """6n + 2 layers with shortcut A (He et al. 2015, arXiv 1512.03385, section 4.2).

    Layers are named as ours are, with dots.
    """
    x = inputs = keras.Input((size, size, 3))
    x = layers.ReLU()(_conv_norm(x, 16, 1, "stem", "stem_norm"))
    for stage, channels in enumerate((16, 32, 64), start=1):
        for block in range((depth - 2) // 6):
            stride = 2 if stage > 1 and block == 0 else 1
            x = _block(x, channels, stride, f"stage{stage}.{block}.")
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, name="head")(x))


def _block(x, channels: int, stride: int, name: str):
    """conv BN ReLU conv BN, add, ReLU."""
    y = layers.ReLU()(_conv_norm(x, channels, stride, f"{name}conv1", f"{name}norm1"))
    y = _conv_norm(y, channels, 1, f"{name}conv2", f"{name}norm2")
    if stride > 1:
        new = (channels - x.shape[-1]) // 2
        x = keras.ops.pad(x[:, ::stride, ::stride], [[0, 0], [0, 0], [0, 0], [new, new]])
    return layers.ReLU()(layers.Add()([y, x]))


def _conv_norm(x, channels: int, stride: int, conv: str, norm: str):
    padding = "same"
    if stride > 1:  # where "same" would pad at the bottom and the right only
        x, padding = layers.ZeroPadding2D(1)(x), "valid"
    x = layers.Conv2D(channels, 3, stride, padding, use_bias=False, name=conv)(x)
    return layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=norm)(x)


def our_name(layer: str, variable: str) -> str:
    """The name of our variable for Keras' layer `conv3_block2_1_bn` and variable `gamma`."""
    block = re.fullmatch(r"conv(\d)_block(\d+)_(\w+)", layer)
    if block:
        stage, number, part = block.groups()
        path = f"stage{int(stage) - 1}/{int(number) - 1}/{LAYERS[part]}"
    else:
        path = OUTSIDE.get(layer, layer).replace(".", "/")
    return f"{path}/{VARIABLES.get(variable, variable)}"


def load(model: keras.Model, arrays) -> None:
    """Copies our weights, all of them and nothing else."""
    named = {our_name(layer.name, v.name): v for layer in model.layers for v in layer.variables}
    unlike = named.keys() ^ (set(arrays.files) - {"images", "labels"})
    if unlike:
        raise ValueError(f"not in both networks: {', '.join(sorted(unlike))}")
    for name, variable in named.items():
        variable.assign(arrays[name])
