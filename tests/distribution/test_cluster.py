"""Who trains with whom: flags, TF_CONFIG, Slurm and Kubernetes, and what they may not say."""

import json
import socket

import pytest

from resnet_tf.distribution import cluster
from resnet_tf.distribution.cluster import Cluster, find
from resnet_tf.distribution.slurm_lists import expand_nodes, expand_tasks
from resnet_tf.errors import UserError


def config(cluster, kind="worker", index=0):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


TWO = ("a:1", "b:2")
SLURM = {
    "SLURM_STEP_NUM_TASKS": "3", "SLURM_STEP_NODELIST": "gpu[01-02]", "SLURM_PROCID": "2",
    "SLURM_STEP_TASKS_PER_NODE": "2,1", "SLURM_JOB_ID": "1",
}  # fmt: skip
JOB = {
    "RESNET_TF_WORKERS": "2", "RESNET_TF_SERVICE": "peers", "JOB_COMPLETION_INDEX": "1",
    "HOSTNAME": "train-x-1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "environment", "expected"),
    [
        (("", -1), {}, None),
        (("a:1", -1), {}, None),
        (("a:1", 0), {}, None),
        (("a:1, b:2", 1), {}, (TWO, 1, "--workers and --task")),
        (("", -1), {"TF_CONFIG": ""}, None),
        (("", -1), {"TF_CONFIG": "{}"}, None),
        (("", -1), config({"worker": ["a:1"]}), None),
        (("", -1), config({"worker": ["a:1", "b:2"]}, index=1), (TWO, 1, "TF_CONFIG")),
        (("", -1), config({"chief": ["a:1"], "worker": ["b:2"]}), (TWO, 1, "TF_CONFIG")),
        (("", -1), config({"chief": ["a:1"], "worker": ["b:2"]}, "chief"), (TWO, 0, "TF_CONFIG")),
        (("", -1), config({"master": ["a:1"], "worker": ["b:2"]}, "master"), (TWO, 0, "TF_CONFIG")),
        (("", -1), config({"worker": {"1": "b:2", "0": "a:1"}}), (TWO, 0, "TF_CONFIG")),
        (("a:1,b:2", 1), config({"worker": ["a:1", "b:2"]}, index=1),
         (TWO, 1, "--workers and --task")),
        (("", -1), SLURM, (("gpu01:20016", "gpu01:20017", "gpu02:20016"), 2, "Slurm")),
        (("", -1), SLURM | {"SLURM_STEP_NUM_TASKS": "1"}, None),
        (("", -1), {k: v for k, v in SLURM.items() if "STEP" not in k}, None),  # a batch script
        (("", -1), JOB, (("train-x-0.peers:29500", "train-x-1.peers:29500"), 1, "Kubernetes")),
        (("", -1), JOB | {"RESNET_TF_PORT": "5"},
         (("train-x-0.peers:5", "train-x-1.peers:5"), 1, "Kubernetes")),
        (("", -1), JOB | {"RESNET_TF_WORKERS": "1", "JOB_COMPLETION_INDEX": "0",
                          "HOSTNAME": "train-0"}, None),
        (("", -1), {"JOB_COMPLETION_INDEX": "1"}, None),  # of a Job that is not about this
    ],
)  # fmt: skip
def test_who_trains_with_whom(flags, environment, expected):
    found = find(*flags, environment)
    assert found == (expected and Cluster(*expected))


def test_a_cluster_says_who_writes():
    found = Cluster(TWO, 1, "")
    assert (found.is_chief, found.address) == (False, "b:2") and Cluster(TWO, 0, "").is_chief


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        (("", 1), {}, "--task is given without --workers"),
        (("a:1,b:2", -1), {}, "which of the workers this is is not said"),
        (("a:1,b:2", 2), {}, "there are 2 processes, and this is number 2"),
        (("a:1,b", 1), {}, "'b' is not HOST:PORT"),
        (("a:1,b:0", 1), {}, "'b:0' is not HOST:PORT"),
        (("a:1,b:65536", 1), {}, "'b:65536' is not HOST:PORT"),
        (("a:1,", 1), {}, "'' is not HOST:PORT"),
        (("a:1,a:1", 1), {}, "a:1 stands there twice"),
        (("", -1), {"TF_CONFIG": "{"}, "TF_CONFIG cannot be read: "),
        (("", -1), {"TF_CONFIG": "[]"}, "TF_CONFIG cannot be read: "),
        (("", -1), config({"worker": "a:1"}), "addresses must be a list of HOST:PORT"),
        (("", -1), config({"worker": ["a:1"]}, index=1), "there is no worker number 1 of 1"),
        (("", -1), config({"chief": ["a:1"], "worker": ["b:2"]}, "chief", 1), "no chief number 1"),
        (("", -1), config({"chief": ["a:1"], "worker": ["b:2"]}, index=-1), "no worker number -1"),
        (("", -1), config({"worker": ["a:1", "b:2"]}, index=0.9), "TF_CONFIG cannot be read: "),
        (("", -1), config({"worker": ["a:1", "b:2"]}, index=1e999), "TF_CONFIG cannot be read: "),
        (("", -1), config({"workers": ["a:1", "b:2"]}), "'workers' is no kind of task"),
        (("", -1), {"TF_CONFIG": "[" * 100_000}, "TF_CONFIG cannot be read: "),
        (("", -1), {"TF_CONFIG": json.dumps({"cluster": {"worker": ["a:1", "b:2"]}})},
         "it does not say which task this is"),
        (("a:1,[::1]:2", 1), {}, "'[::1]:2' is of IPv6"),
        (("a:1,::1:2", 1), {}, "'::1:2' is of IPv6"),
        (("a:1,a..b:2", 1), {}, "'a..b:2' is not HOST:PORT"),
        (("a:1,a b:2", 1), {}, "'a b:2' is not HOST:PORT"),
        (("a:1,x/a:2", 1), {}, "'x/a:2' is not HOST:PORT"),
        (("", -1), SLURM | {"SLURM_PROCID": "1", "SLURM_NODEID": "1"},
         "task 1 is on node 1, and not on node 0, as in blocks | Slurm | start srun with"),
        (("", -1), config({"worker": ["a:1"], "ps": ["b:2"]}), "parameter servers are not used"),
        (("", -1), config({"worker": ["a:1", "b:2"]}, "evaluator"), "an evaluator does not train"),
        (("", -1), config({"worker": ["a:1", "b:2"]}, "chief"), "task type 'chief' is not in the"),
        (("", -1), config({"worker": ["a:1", "b:2"]}, "x"), "task type 'x' is not in the cluster"),
        (("", -1), config({"chief": ["a:1", "b:2"]}, "chief"), "it names 2 chiefs"),
        (("", -1), config({"worker": ["a:1", "b:2"]}, index="x"), "TF_CONFIG cannot be read: "),
        (("a:1,b:2", 0), config({"worker": ["a:1", "b:2"]}, index=1),
         "--workers and --task says process 0 of a:1, b:2, TF_CONFIG process 1 of a:1, b:2"),
        (("", -1), SLURM | {"SLURM_PROCID": "x"}, "Slurm's variables cannot be read: "),
        (("", -1), SLURM | {"SLURM_PROCID": "3"}, "3 processes, and this is number 3"),
        (("", -1), SLURM | {"SLURM_STEP_TASKS_PER_NODE": "1(x2)"}, "are not 3 tasks"),
        (("", -1), {k: v for k, v in SLURM.items() if k != "SLURM_PROCID"},
         "SLURM_PROCID is not set | Slurm | start it with srun"),
        (("", -1), JOB | {"RESNET_TF_WORKERS": "two"}, "RESNET_TF_WORKERS='two' is no number"),
        (("", -1), JOB | {"RESNET_TF_SERVICE": ""}, "RESNET_TF_SERVICE is not set"),
        (("", -1), JOB | {"HOSTNAME": "other-5"}, "the host 'other-5' is not that of"),
        (("", -1), JOB | {"JOB_COMPLETION_INDEX": "2", "HOSTNAME": "t-2"}, "this is number 2"),
    ],
)  # fmt: skip
def test_what_is_told_wrong_is_named(flags, environment, message):
    """# fault F10"""
    with pytest.raises(UserError) as caught:
        find(*flags, environment)
    assert caught.value.code == 64 and message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("a", ["a"]),
        ("a,b.c-d", ["a", "b.c-d"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("a[08-10,12],b", ["a08", "a09", "a10", "a12", "b"]),
        ("r[1-2]n[3,5]x", ["r1n3x", "r1n5x", "r2n3x", "r2n5x"]),
    ],
)
def test_nodes_of_slurm(text, hosts):
    assert expand_nodes(text) == hosts


@pytest.mark.parametrize("text", ["", "a[", "a[x]", "a[3-1]", "a b", "a[1-999999999]", "a]"])
def test_what_is_no_list_of_nodes(text):
    with pytest.raises(ValueError):
        expand_nodes(text)


@pytest.mark.parametrize(
    ("text", "counts"), [("1", [1]), ("2(x3),1", [2, 2, 2, 1]), ("4,4", [4, 4])]
)
def test_tasks_of_slurm(text, counts):
    assert expand_tasks(text) == counts


@pytest.mark.parametrize("text", ["", "x", "2(x)", "2x3", "1(x999999999)"])
def test_what_is_no_list_of_tasks(text):
    with pytest.raises(ValueError):
        expand_tasks(text)


def test_a_port_that_is_taken_is_named():
    """# fault F10"""
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        found = Cluster((f"localhost:{port}", "b:2"), 0, "TF_CONFIG")
        with pytest.raises(UserError, match=f"ERROR 64: port {port} cannot be used: "):
            cluster.refuse_taken_port(found)
    cluster.refuse_taken_port(found)
