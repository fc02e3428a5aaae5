"""What every registered network must do, and a check that none is left out."""

import concurrent.futures
import fnmatch
import multiprocessing

import numpy as np
import pytest
import references

from resnet_tf import checkpoint, models, runtime
from resnet_tf.layers import named_variables
from resnet_tf.models import cifar_bottleneck, imagenet
from resnet_tf.training import schedules
from resnet_tf.training.gradient import Gradient
from resnet_tf.training.optimizers import SGD
from resnet_tf.training.step import TrainingState, make_train_step

import tensorflow as tf  # isort: skip

# By pattern, the last that fits: the pixels a side, and what a name needs beside it. Where there
# are batch norms, the last feature map keeps 2x2 pixels (ex6_net: one) of each of the examples.
SETTINGS = {
    "cifar_resnet*": (8, {"width_multiplier": 0.5}),
    "cifar_resnet": (8, {"depth": 8}),
    "cifar_resnet_ordering": (8, {"depth": 8, "ordering": "e"}),
    "cifar_resnet18": (16, {"width_multiplier": 0.25}),
    "cifar_resnet50": (32, {"width_multiplier": 0.25}),
    "cifar_resnet1[05][12]": (32, {"width_multiplier": 0.25}),
    "resne[tx]*": (33, {"width_multiplier": 0.25}),
    "se_resnet*": (33, {"width_multiplier": 0.25}),
    "wide_resnet*": (33, {"width_multiplier": 0.25}),
    "ex6_net": (139, {"width_multiplier": 0.25}),
    "plain_resnet100": (32, {"width_multiplier": 0.5}),
}
# Too deep to trace at every change; the same blocks as in others, more of them.
SLOW = [n for n in models.names() if any(d in n for d in ("101", "110", "152", "200", "1202"))]

BATCH, CLASSES, RATE = 8, 10, 0.01
ONE = tf.distribute.get_strategy()  # no strategy: one replica


def marked(slow):
    """All registered names, some of them marked as slow."""
    marks = {name: [pytest.mark.slow] for name in slow}
    return [pytest.param(name, marks=marks.get(name, [])) for name in models.names()]


def build(name):
    fitting = [value for key, value in SETTINGS.items() if fnmatch.fnmatchcase(name, key)]
    size, options = fitting[-1]
    has_norms = name != "plain_resnet100"
    model = models.create(
        name, num_classes=CLASSES, seed=3, dropout=0.2, sync_batch_norm=has_norms, **options
    )
    return model, size


def perturb(name, model):
    """Batch norms and biases far from the identity, so that a value in the wrong place shows.

    Branches are small enough that hundreds of them do not overflow in inference.
    """
    branch = 0.2 if "1202" in name else 0.5 if name in SLOW or "50" in name else 1.0
    for seed, (key, variable) in enumerate(named_variables(model).items()):
        if not key.endswith("kernel"):
            low, high = (0.5, 1.5) if key.endswith(("scale", "variance")) else (-0.2, 0.2)
            inside = key.startswith("stage") and key.endswith("scale") and "shortcut" not in key
            factor = branch if inside else 1.0
            variable.assign(factor * references.ramp(variable.shape, low, high, seed))
        elif name == "plain_resnet100":
            variable.assign(0.6 * variable)


def batch(size):
    return references.ramp((BATCH, size, size, 3)), np.arange(BATCH) % CLASSES


def logits(strategy, model, images):
    """Of the global batch, in inference, and how often that was traced."""

    @tf.function(autograph=False)
    def forward(images):
        return strategy.run(lambda x: model(x, training=False), args=(images,))

    def run(images):
        shares = np.split(images, strategy.num_replicas_in_sync)
        outputs = forward(
            strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(shares[context.replica_id_in_sync_group])
            )
        )
        return np.concatenate(
            [output.numpy() for output in strategy.experimental_local_results(outputs)]
        )

    first = run(images)
    assert np.abs(run(images[::-1]) - first[::-1]).max() <= 1e-4 * np.abs(first).max()
    return first, forward.experimental_get_tracing_count()


def one_step(strategy, model, size):
    """The loss of one training step, and by how much it moved each variable."""
    with strategy.scope():
        optimizer = SGD(model)
        state = TrainingState(model, optimizer, tf.Variable(0, dtype=tf.int64, trainable=False))
    gradient = Gradient(
        model, model.trainable_variables, preprocess=lambda x: x, batch_size=BATCH, seed=5
    )
    train = make_train_step(strategy, state, gradient, schedule=schedules.constant(RATE))
    images, labels = batch(size)
    marks = tf.stack([tf.range(len(labels), dtype=tf.int64)] * 2, axis=1)
    data = tf.data.Dataset.from_tensor_slices((images, labels, marks)).batch(BATCH)
    before = {key: v.numpy() for key, v in named_variables(model).items()}
    health = train(iter(strategy.experimental_distribute_dataset(data)), tf.constant(1))
    assert health["finite"].numpy().all()
    after = {key: v.numpy() for key, v in named_variables(model).items()}
    return health["loss"].numpy()[0], {key: after[key] - before[key] for key in after}


@pytest.mark.parametrize("name", marked(SLOW))
def test_traces_once_saves_restores_and_runs_on_two_replicas(name, tmp_path, two_replicas):
    model, size = build(name)
    perturb(name, model)
    images, _ = batch(size)
    expected, traces = logits(ONE, model, images)
    assert traces == 1
    assert expected.dtype == np.float32 and expected.shape == (BATCH, CLASSES)
    assert np.isfinite(expected).all()
    assert np.abs(expected - expected[0]).max() > 1e-3  # it looks at its input

    saved = checkpoint.write(
        tmp_path, 1, {k: v.numpy() for k, v in named_variables(model).items()}, {}
    )
    with two_replicas.scope():
        copy, _ = build(name)
    checkpoint.restore(saved, named_variables(copy))
    on_two, traces = logits(two_replicas, copy, images)
    assert traces == 1
    assert np.abs(on_two - expected).max() < 1e-4 * np.abs(expected).max()


def compare_training(name, two_replicas):
    """One step on one replica and on two, with synchronised batch norms and with dropout."""
    results = []
    for strategy in (ONE, two_replicas):
        with strategy.scope():
            model, size = build(name)
        perturb(name, model)
        results.append(one_step(strategy, model, size))
    (loss, moved), (loss_on_two, moved_on_two) = results
    np.testing.assert_allclose(loss_on_two, loss, rtol=1e-4)
    # Rounding is 1e-5, but where it carries a ReLU over its corner the gradients of some
    # channels change by a few hundredths. Noise or statistics of its own on each replica, or a
    # mean in place of a sum, would change all by a half or more.
    largest = max(np.linalg.norm(m) for key, m in moved.items() if "moving" not in key)
    for key, one in moved.items():
        difference, size = np.linalg.norm(moved_on_two[key] - one), np.linalg.norm(one)
        if "moving" in key:
            assert size > 0 and difference < 2e-3 * size, key
        else:  # a bias in front of a batch norm has no gradient but rounding
            assert difference < 0.2 * max(size, 1e-3 * largest), key


# One name for each kind of layer that replicas could treat apart, at little depth: (1, 2, 1, 1)
# blocks for 50 layers.
SHALLOW = [
    "cifar_resnet_ordering", "cifar_resnet18", "cifar_resnet50", "ex6_net",
    "resnet50_v2", "resnet50_d", "se_resnet50",
]  # fmt: skip


@pytest.mark.parametrize("name", SHALLOW)
def test_one_replica_and_two_train_alike_with_few_blocks_of_each_kind(
    name, two_replicas, monkeypatch
):
    for family in (cifar_bottleneck, imagenet):
        monkeypatch.setitem(family.BLOCKS, 50, (1, 2, 1, 1))
    compare_training(name, two_replicas)


def compare_training_in_this_process(name):
    compare_training(name, tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]))


# Without the 1202 layers, which only infer here: the blocks are those of `cifar_resnet110`.
@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in models.names() if n != "cifar_resnet1202"])
def test_one_replica_and_two_train_alike(name):
    # A process each, since TensorFlow keeps the graphs of a traced step until its end: all of
    # them together would be more than ten gigabytes.
    with concurrent.futures.ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), initializer=runtime.configure, initargs=(2,)
    ) as process:
        process.submit(compare_training_in_this_process, name).result()


def test_every_name_is_tested():
    assert [param.values[0] for param in marked(SLOW)] == models.names()
