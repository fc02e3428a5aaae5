"""What every network here is: a function from images to logits."""

import math

import tensorflow as tf

from resnet_tf.layers import Conv2D, Dense, global_average_pool


class Classifier(tf.Module):
    """A stack of feature stages, global average pooling and a dense head.

    A family makes its variables in the constructor, among them `head`, a `Dense`, and says
    in `features` how images become feature maps.
    """

    head: Dense

    def __call__(self, images: tf.Tensor, training: bool) -> tf.Tensor:
        """Logits.

        Args:
          images: float32 `[N, H, W, C]`, normalised.
          training: use batch statistics (and move the stored ones) or the stored ones.

        Returns:
          float32 `[N, classes]`, never through a softmax.
        """
        return self.head(global_average_pool(self.features(images, training)["final"]))

    def features(self, images: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Feature maps float32 `[N, h, w, c]` by stage, in order; "final" is what is pooled."""
        raise NotImplementedError(f"{type(self).__name__} does not define features")

    @property
    def decayed_variables(self) -> list[tf.Variable]:
        """The kernels of convolutions and dense layers; biases and batch norms do not decay."""
        layers = (m for m in self.submodules if isinstance(m, (Conv2D, Dense)))
        return [layer.kernel for layer in layers]


def count_parameters(model: tf.Module) -> tuple[int, int]:
    """Numbers in all variables, and in the trainable ones (no moving statistics)."""
    total, trainable = (
        sum(math.prod(v.shape) for v in variables)
        for variables in (model.variables, model.trainable_variables)
    )
    return total, trainable
