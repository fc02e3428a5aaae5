"""Processes that meet before they are joined: who waits, for whom, and for how long."""

import threading

import pytest

from resnet_tf.distribution import Cluster, meet
from resnet_tf.distribution.launcher import free_ports
from resnet_tf.errors import UserError
from resnet_tf.stopping import Asked, Stop


def clusters(count, **told):
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(count))
    return [Cluster(addresses, index, "TF_CONFIG", **told) for index in range(count)]


@pytest.mark.parametrize("count", [2, 5])
def test_all_go_on_once_all_are_there(count):
    all_of_them, said, gone_on = clusters(count), [], []

    def come(cluster):
        meet(cluster, said.append)
        gone_on.append(cluster.index)

    threads = [threading.Thread(target=come, args=(cluster,)) for cluster in all_of_them]
    for thread in threads[1:]:
        thread.start()
    threads[1].join(1.0)
    assert gone_on == []
    threads[0].start()
    for thread in threads:
        thread.join(60)
    assert sorted(gone_on) == list(range(count)) and said == []


def test_who_has_not_come_is_named():
    """# fault F4"""
    here = clusters(4, start_timeout=0.5)[1]
    with pytest.raises(UserError) as caught:
        meet(here, lambda sentence: None)
    a, _, c, d = here.addresses
    assert str(caught.value) == (
        f"ERROR 70: not reached within 0.5 s: process 0 ({a}), process 2 ({c}), process 3 ({d}) |"
        " TF_CONFIG | start all of them; --start_timeout gives them longer"
    )


def test_of_many_only_some_are_named():
    here = clusters(20, start_timeout=0.1)[0]
    with pytest.raises(UserError, match=r"process 8 \([\d.:]+\) and 11 more \|"):
        meet(here, lambda sentence: None)


def test_a_long_wait_is_said_once(monkeypatch):
    from resnet_tf.distribution import rendezvous

    monkeypatch.setattr(rendezvous, "_SILENT", 0.1)
    here, said = clusters(2, start_timeout=1.0)[0], []
    with pytest.raises(UserError):
        meet(here, said.append)
    assert said == [f"waiting for process 1 ({here.addresses[1]})"]


def test_a_stop_ends_the_wait():
    here = clusters(2, start_timeout=600.0)[0]
    with Stop(max_runtime=0.5).listening() as stop, pytest.raises(Asked), stop.at_once():
        meet(here, lambda sentence: None)
    assert stop.error("", "").code == 75
