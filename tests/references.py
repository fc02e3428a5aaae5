"""What the tests hold the package against: NumPy and hand arithmetic, nothing of TensorFlow.

All in float64 and written for reading, not for speed. Images are `[N, H, W, C]`.
"""

import numpy as np


def conv2d(x, kernel, stride=1, padding="same", bias=None, dilation=1, groups=1):
    """Convolution by its definition; padding as `resnet_tf.layers.Conv2D` takes it."""
    x = np.asarray(x, np.float64)
    kernel = _spread(np.asarray(kernel, np.float64), x.shape[3], dilation, groups)
    x, windows = _windows(x, kernel.shape[:2], stride, padding, fill=0)
    y = np.zeros((x.shape[0], *windows.shape[:2], kernel.shape[3]))
    for (i, j), (rows, columns) in _each(windows):
        y[:, i, j] = np.tensordot(x[:, rows, columns], kernel, axes=3)
    return y if bias is None else y + np.asarray(bias, np.float64)


def _spread(kernel, channels_in, dilation, groups):
    """The kernel of an ordinary convolution: zeros between taps and across groups."""
    height, width, inside, channels = kernel.shape
    spans = [dilation * (size - 1) + 1 for size in (height, width)]
    full = np.zeros((*spans, channels_in, channels))
    outside = channels // groups
    for g in range(groups):
        into, out = slice(g * inside, (g + 1) * inside), slice(g * outside, (g + 1) * outside)
        full[::dilation, ::dilation, into, out] = kernel[..., out]
    return full


def max_pool(x, size, stride, padding="valid"):
    """Largest value of each window; the padding is left out."""
    return _pool(x, size, stride, padding, np.nanmax)


def average_pool(x, size, stride, padding="valid"):
    """Mean of each window; the padding is left out."""
    return _pool(x, size, stride, padding, np.nanmean)


def _pool(x, size, stride, padding, reduce):
    x, windows = _windows(np.asarray(x, np.float64), (size, size), stride, padding, fill=np.nan)
    y = np.zeros((x.shape[0], *windows.shape[:2], x.shape[3]))
    for (i, j), (rows, columns) in _each(windows):
        y[:, i, j] = reduce(x[:, rows, columns], axis=(1, 2))
    return y


def _windows(x, size, stride, padding, fill):
    """The padded images, and for each output pixel the (rows, columns) it is made from."""
    pads = [_pads(length, k, stride, padding) for length, k in zip(x.shape[1:3], size)]
    x = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=fill)
    rows, columns = (
        [slice(start, start + k) for start in range(0, length - k + 1, stride)]
        for length, k in zip(x.shape[1:3], size)
    )
    windows = np.empty((len(rows), len(columns)), object)
    for i, j in np.ndindex(*windows.shape):
        windows[i, j] = rows[i], columns[j]
    return x, windows


def _each(windows):
    return ((index, windows[index]) for index in np.ndindex(*windows.shape))


def _pads(length, size, stride, padding):
    if padding == "valid":
        return 0, 0
    if padding == "same":
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        return total // 2, total - total // 2
    if padding == "symmetric":
        return (size - 1) // 2, (size - 1) // 2
    return padding, padding


def resize(image, height, width, antialias):
    """Bilinear, half-pixel centres: `[h, w, c]` to float64 `[height, width, c]`.

    Antialiased, the triangle that weighs the pixels is as wide as an output pixel where that
    is wider than an input pixel; otherwise it is always as wide as an input pixel.
    """

    def weights(length_in, length_out):
        scale = length_in / length_out
        support = max(scale, 1) if antialias else 1
        centres = (np.arange(length_out)[:, None] + 0.5) * scale
        distances = np.abs(np.arange(length_in) + 0.5 - centres) / support
        triangle = np.maximum(1 - distances, 0)
        return triangle / triangle.sum(axis=1, keepdims=True)

    rows, columns = weights(image.shape[0], height), weights(image.shape[1], width)
    return np.einsum("ih,jw,hwc->ijc", rows, columns, image.astype(np.float64))


def batch_statistics(x):
    """Mean and (biased) variance of each channel, and the number of values they come from."""
    x = np.asarray(x, np.float64).reshape(-1, np.shape(x)[-1])
    return x.mean(axis=0), x.var(axis=0), len(x)


def normalize(x, mean, variance, scale, offset, epsilon):
    """scale · (x - mean) / √(variance + epsilon) + offset."""
    spread = np.sqrt(np.asarray(variance, np.float64) + epsilon)
    return scale * (np.asarray(x, np.float64) - mean) / spread + offset


def batch_norm(x, scale, offset, epsilon=1e-5):
    """Batch normalisation in training."""
    mean, variance, _ = batch_statistics(x)
    return normalize(x, mean, variance, scale, offset, epsilon)


def relu(x):
    """max(x, 0)."""
    return np.maximum(x, 0)


def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def cross_entropy(logits, labels):
    """-log softmax(logits)[label]."""
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -log_softmax[np.arange(len(labels)), labels]


def lars(
    weights, gradients, rate, *, kernel, coefficient, momentum, nesterov, epsilon, decay, decoupled
):
    """LARS (arXiv 1708.03888, algorithm 1): the weights after each gradient.

    `kernel`: whether they have a rate of their own and decay. The constant rate is inside the
    momentum, as the paper has it.
    """
    weights, velocity, after = np.asarray(weights, np.float64), 0.0, []
    for gradient in gradients:
        own, step = rate, np.asarray(gradient, np.float64)
        shrink = np.zeros_like(weights)
        if kernel:
            inside = 0.0 if decoupled else decay
            size = np.linalg.norm(weights.ravel())
            against = np.linalg.norm(step.ravel()) + inside * size + epsilon
            own = rate * coefficient * size / against
            step = step + inside * weights
            shrink = rate * decay * weights if decoupled else shrink
        velocity = momentum * velocity + own * step
        moved = own * step + momentum * velocity if nesterov else velocity
        weights = weights - moved - shrink
        after.append(weights)
    return after


def lamb(weights, gradients, rate, *, kernel, beta1, beta2, epsilon, decay, decoupled):
    """LAMB (arXiv 1904.00962, algorithm 2): the weights after each gradient.

    `kernel`: whether they have a rate of their own and decay.
    """
    weights, after = np.asarray(weights, np.float64), []
    means = squares = 0.0
    for t, gradient in enumerate(np.asarray(gradients, np.float64), start=1):
        means = beta1 * means + (1 - beta1) * gradient
        squares = beta2 * squares + (1 - beta2) * gradient**2
        step = (means / (1 - beta1**t)) / (np.sqrt(squares / (1 - beta2**t)) + epsilon)
        shrink = np.zeros_like(weights)
        if kernel:
            step = step if decoupled else step + decay * weights
            shrink = rate * decay * weights if decoupled else shrink
            step = step * np.linalg.norm(weights.ravel()) / np.linalg.norm(step.ravel())
        weights = weights - rate * step - shrink
        after.append(weights)
    return after


def ramp(shape, low=-1.0, high=1.0, seed=0):
    """Distinct values from low to high in a fixed, shuffled order, float32."""
    values = np.linspace(low, high, int(np.prod(shape)))
    return np.random.default_rng(seed).permutation(values).reshape(shape).astype(np.float32)


def numeric_gradient(function, x, step=1e-2):
    """Central differences of a scalar function at every entry of x."""
    gradient = np.zeros(x.shape)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


def fill(variables, kernels=(-0.7, 0.7)):
    """Distinct values in named variables, batch norms far from the identity.

    With `kernels` None, the kernels stay what they are.
    """
    for seed, (name, variable) in enumerate(variables.items()):
        low, high = (0.5, 2.0) if name.endswith(("scale", "moving_variance")) else (-0.7, 0.7)
        if name.endswith("kernel"):
            if kernels is None:
                continue
            low, high = kernels
        variable.assign(ramp(variable.shape, low, high, seed))


class Layers:
    """The layers of a module in NumPy, by the path of their attributes.

    Only weights are taken from the module. Strides, dilations and groups are what the test
    says that they are.
    """

    def __init__(self, module, training, padding="symmetric", epsilon=1e-5):
        self.module, self.training = module, training
        self.padding, self.epsilon = padding, epsilon

    def below(self, path):
        """The same of the module at `path`."""
        return Layers(self.layer(path), self.training, self.padding, self.epsilon)

    def layer(self, path):
        layer = self.module
        for part in path.split("."):
            layer = layer[int(part)] if part.isdigit() else getattr(layer, part)
        return layer

    def conv(self, path, x, stride=1, dilation=1, groups=1, padding=None):
        layer = self.layer(path)
        bias = None if layer.bias is None else layer.bias.numpy()
        padding = padding or self.padding
        return conv2d(x, layer.kernel.numpy(), stride, padding, bias, dilation, groups)

    def norm(self, path, x):
        layer = self.layer(path)
        scale = 1.0 if layer.scale is None else layer.scale.numpy()
        offset = layer.offset.numpy()
        if self.training:
            return batch_norm(x, scale, offset, self.epsilon)
        stored = layer.moving_mean.numpy(), layer.moving_variance.numpy()
        return normalize(x, *stored, scale, offset, self.epsilon)

    def dense(self, path, x):
        layer = self.layer(path)
        return x @ layer.kernel.numpy().astype(np.float64) + layer.bias.numpy()


def target(labels, classes, smoothing=0.0):
    """What a loss aims at, `[N, classes]`: hard or soft labels, smoothed."""
    labels = np.asarray(labels)
    rows = np.eye(classes)[labels] if labels.ndim == 1 else labels.astype(np.float64)
    return (1 - smoothing) * rows + smoothing / classes


def sigmoid_cross_entropy(logits, target):
    """Σ over classes of -q log σ - (1 - q) log(1 - σ)."""
    p = sigmoid(np.asarray(logits, np.float64))
    return -(target * np.log(p) + (1 - target) * np.log(1 - p)).sum(axis=1)


def focal(logits, target, gamma):
    """-Σ q (1 - p)^gamma log p, with p the softmax."""
    odds = np.exp(np.asarray(logits, np.float64))
    p = odds / odds.sum(axis=1, keepdims=True)
    return -(target * (1 - p) ** gamma * np.log(p)).sum(axis=1)


def moving_average(first, values, decay):
    """What an exponential average with warm-up is after the last value."""
    average = first
    for t, value in enumerate(values):
        d = min(decay, (1 + t) / (10 + t))
        average = d * average + (1 - d) * value
    return average
