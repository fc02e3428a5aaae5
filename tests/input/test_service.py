"""Batches of data services: the same ones in the same order, whatever the number of machines."""

import itertools
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import small_runs

from resnet_tf.errors import UserError
from resnet_tf.input import service
from resnet_tf.input.slices import Slices

import tensorflow as tf  # isort: skip

ROOT = pathlib.Path(__file__).resolve().parents[2]


_SERVE = """
import resnet_tf
from resnet_tf.input import service
three = [service.serve("localhost") for _ in range(3)]
print(*(each.address for each in three), flush=True)
input()
"""


@pytest.fixture(scope="module")
def services():
    """Addresses of three, in a process of their own: ending them waits for all who asked."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield process.stdout.readline().split()
    process.kill()
    process.communicate()


@pytest.mark.parametrize("text, expected", [
    ("", ()), ("grpc://a:1", ("grpc://a:1",)),
    ("grpc://a.b-c:1, grpc://a:65535", ("grpc://a.b-c:1", "grpc://a:65535")),
])  # fmt: skip
def test_addresses(text, expected):
    assert service.addresses_from(text) == expected


@pytest.mark.parametrize(
    "text", ["a:1", "grpc://a", "grpc://:1", "grpc://a:0", "grpc://a:65536", "grpc://a:1,", "x"]
)
def test_what_is_no_address(text):
    with pytest.raises(UserError, match="ERROR 64: data_service must be grpc://HOST:PORT,…"):
        service.addresses_from(text)


def test_a_machine_that_stands_there_twice():
    with pytest.raises(UserError, match="ERROR 64: data_service must name each machine once"):
        service.addresses_from("grpc://a:1,grpc://a:1")


def test_nobody_answers():
    with pytest.raises(UserError, match="ERROR 66: no data service answers: Connection refused"):
        service.refuse_absent(["grpc://127.0.0.1:1"])


def test_a_name_that_no_machine_has():
    with pytest.raises(UserError, match=r"ERROR 66: no data service answers: .*label"):
        service.refuse_absent(["grpc://a..b:5050"])


def test_a_port_that_is_taken(services):
    port = int(services[0].rpartition(":")[2])
    with pytest.raises(OSError, match="Address already in use"):
        service.serve("localhost", port)


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
@pytest.mark.parametrize("replicas", [1, 2])
def test_parts_make_the_whole(parts, replicas):
    def batches(part, parts):
        slices = Slices(3, 24, 4, 1, replicas, part, parts)
        return [b.tolist() for b in slices.batches().take(30 // parts).as_numpy_iterator()]

    each = [batches(part, parts) for part in range(parts)]
    in_turn = list(itertools.chain(*zip(*each)))
    assert in_turn == batches(0, 1)[: len(in_turn)]
    for part in range(parts):
        slices = Slices(3, 24, 4, 1, replicas, part, parts)
        found = slices.within(tf.constant(0, tf.int64), tf.constant(24 * 12, tf.int64)).numpy()
        flat = np.concatenate(each[part])
        assert found.tolist() == sorted(flat)[: len(found)] and len(found)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small_runs.data_set(tmp_path_factory.mktemp("data") / "it", train=13)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, two_replicas):
    small_runs.use_tiny(monkeypatch, two_replicas)


LEVERS = {"steps": 9, "steps_per_call": 2, "pad": 1, "flip": True, "hue": 0.1, "mixup": 0.2}


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory, two_replicas):
    with pytest.MonkeyPatch.context() as patch:
        small_runs.use_tiny(patch, two_replicas)
        return small_runs.train(data, tmp_path_factory.mktemp("runs") / "plain", **LEVERS)["digest"]


@pytest.mark.parametrize(("count", "reader"), [(1, "auto"), (2, "indexed"), (3, "indexed")])
def test_a_run_has_the_same_bits(data, tmp_path, services, undisturbed, count, reader):
    addresses = ",".join(services[:count])
    told = LEVERS | {"data_service": addresses, "reader": reader}
    done = small_runs.train(data, tmp_path / "run", **told)
    assert done["digest"] == undisturbed


@pytest.mark.parametrize("told", [
    {"devices": "cpu:2", "batch_size": 8},
    {"shuffle_window": 1, "reader": "windowed"},
    {"overfit_batches": 2},
])  # fmt: skip
def test_devices_windows_and_batches_that_come_again(data, tmp_path, services, told):
    addresses = ",".join(services[:2])
    here = small_runs.train(data, tmp_path / "here", **LEVERS | told)
    there = small_runs.train(data, tmp_path / "there", data_service=addresses, **LEVERS | told)
    assert there["digest"] == here["digest"]


def test_resumed_with_other_machines(data, tmp_path, services, undisturbed, monkeypatch):
    told = LEVERS | {"save_every_steps": 3}
    first, both = services[0], f"{services[2]},{services[1]}"
    asked = small_runs.config(data, tmp_path / "run", data_service=first, **told)
    small_runs.interrupt_after(3, asked, monkeypatch)
    done = small_runs.train(data, tmp_path / "run", data_service=both, **told)
    assert done["digest"] == undisturbed


def test_a_bad_record_is_named_as_ever(data, tmp_path, services):
    bad = small_runs.data_set(tmp_path / "bad", train=13)
    (shard,) = bad.glob("train-*")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(UserError, match="ERROR 65: the record fails its checksum"):
        small_runs.train(bad, tmp_path / "run", data_service=services[0], **LEVERS)


def test_memory_is_of_one_machine(data, tmp_path, services):
    address = services[0]
    with pytest.raises(UserError, match="ERROR 64: reader memory is of this machine"):
        small_runs.train(data, tmp_path / "run", data_service=address, reader="memory", steps=1)


def test_a_service_that_began_anew_is_not_trained_on():
    """A worker that is started again would give the first batches once more."""
    own = service.serve("localhost")
    batches = iter(service.made_elsewhere([own.address], lambda part, parts: endless()))
    assert [int(next(batches)) for _ in range(5)] == [0, 1, 2, 3, 4]
    own.worker._stop()
    services = tf.data.experimental.service
    again = services.WorkerServer(services.WorkerConfig(own.address.removeprefix("grpc://")))
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        for _ in range(1000):
            next(batches)
    assert str(service.explained(caught.value)) == (
        "ERROR 74: a data service began anew, and no longer gives the batch that is due |"
        " --data_service | the same command goes on"
    )
    del again


def endless():
    return tf.data.Dataset.counter()


def test_other_errors_stay_as_they_are():
    error = tf.errors.DataLossError(None, None, "another")
    assert service.explained(error) is error
