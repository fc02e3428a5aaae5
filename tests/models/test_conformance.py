"""What every registered network must do, and a check that none is left out."""

import numpy as np
import pytest
import references
import tensorflow as tf

from resnet_tf import checkpoint, models
from resnet_tf.layers import named_variables

# What a family's own name needs beside it; the rest is the name's alone.
OPTIONS = {
    "cifar_resnet": {"depth": 8},
    "cifar_resnet_ordering": {"depth": 8, "ordering": "e"},
}
# Too deep to trace twice in a test that runs at every change; the same blocks, more of them.
SLOW = {"cifar_resnet110", "cifar_resnet1202"}

NAMES = [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in models.names()]
IMAGES = references.ramp((4, 8, 8, 3))


def build(name):
    return models.create(name, num_classes=10, seed=3, **OPTIONS.get(name, {}))


def perturb(model, branch_scale):
    """Batch norms far from the identity, so that a value in the wrong place shows."""
    for seed, (name, variable) in enumerate(named_variables(model).items()):
        if not name.endswith("kernel"):
            low, high = (0.5, 1.5) if name.endswith(("scale", "variance")) else (-0.2, 0.2)
            scale = branch_scale if name.endswith("norm2/scale") else 1.0
            variable.assign(scale * references.ramp(variable.shape, low, high, seed))


@pytest.mark.parametrize("name", NAMES)
def test_traces_once_saves_restores_and_runs_on_two_replicas(name, tmp_path, two_replicas):
    model = build(name)
    # Hundreds of branches of full size would overflow in inference.
    perturb(model, branch_scale=0.1 if name in SLOW else 1.0)

    @tf.function
    def forward(images):
        return model(images, training=False)

    expected = forward(IMAGES).numpy()
    assert forward(IMAGES[::-1]).dtype == tf.float32
    assert forward.experimental_get_tracing_count() == 1
    assert expected.shape == (4, 10) and np.isfinite(expected).all()
    assert np.abs(expected - expected[0]).max() > 1e-3  # it looks at its input

    saved = checkpoint.write(
        tmp_path, 1, {k: v.numpy() for k, v in named_variables(model).items()}, {}
    )
    with two_replicas.scope():
        copy = build(name)
    checkpoint.restore(saved, named_variables(copy))

    @tf.function
    def on_both(images):
        return two_replicas.run(lambda x: copy(x, training=False), args=(images,))

    halves = two_replicas.experimental_distribute_values_from_function(
        lambda c: tf.constant(np.split(IMAGES, 2)[c.replica_id_in_sync_group])
    )
    outputs = two_replicas.experimental_local_results(on_both(halves))
    joined = np.concatenate([part.numpy() for part in outputs])
    np.testing.assert_allclose(joined, expected, rtol=1e-4, atol=1e-4)


def test_every_name_is_tested():
    assert [param.values[0] for param in NAMES] == models.names()
