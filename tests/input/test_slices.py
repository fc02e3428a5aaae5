"""Whatever the number of processes and replicas, each position of a batch belongs to one."""

import itertools

import pytest

from resnet_tf.input.slices import Slices


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_all_together_ask_for_the_positions_of_one(workers, replicas):
    """# fault F13"""
    size, first_step, steps = 72, 5, 3
    per_replica = size // (workers * replicas)
    pipelines = [
        Slices(first_step, size, per_replica, worker * replicas, replicas).batches()
        for worker in range(workers)
    ]
    batches = [p.take(steps * replicas).as_numpy_iterator() for p in pipelines]
    for step in range(first_step, first_step + steps):
        # Each process hands a batch to each of its replicas in turn.
        asked = [b.tolist() for each in batches for b in itertools.islice(each, replicas)]
        assert list(itertools.chain(*asked)) == list(range(step * size, (step + 1) * size))
