"""What the tests hold the package against: NumPy and hand arithmetic, nothing of TensorFlow.

All in float64 and written for reading, not for speed. Images are `[N, H, W, C]`.
"""

import numpy as np


def conv2d(x, kernel, stride=1, padding="same", bias=None):
    """Convolution by its definition; padding "same" (TF's), "valid" or an integer."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    size = kernel.shape[0]
    pads = [_pads(length, size, stride, padding) for length in x.shape[1:3]]
    x = np.pad(x, [(0, 0), *pads, (0, 0)])
    out_h = (x.shape[1] - size) // stride + 1
    out_w = (x.shape[2] - size) // stride + 1
    y = np.zeros((x.shape[0], out_h, out_w, kernel.shape[3]))
    for i in range(out_h):
        for j in range(out_w):
            window = x[:, i * stride : i * stride + size, j * stride : j * stride + size]
            y[:, i, j] = np.tensordot(window, kernel, axes=3)
    return y if bias is None else y + np.asarray(bias, np.float64)


def _pads(length, size, stride, padding):
    if padding == "valid":
        return 0, 0
    if padding == "same":
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        return total // 2, total - total // 2
    return padding, padding


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


def cross_entropy(logits, labels):
    """-log softmax(logits)[label]."""
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -log_softmax[np.arange(len(labels)), labels]


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
