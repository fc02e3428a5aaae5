"""Which processes train together, and which of them this one is.

Told by, and no two of them may disagree:

    flags        --workers=HOST:PORT,HOST:PORT,… --task=NUMBER
    TF_CONFIG    as TensorFlow defines it, and Kubeflow's TFJob and others set it
    Slurm        the variables of a step that srun starts with several tasks
    Kubernetes   JOB_COMPLETION_INDEX of an indexed Job, with RESNET_TF_WORKERS=COUNT and the name
                 of its headless service in RESNET_TF_SERVICE

Process 0 is the chief: it alone writes. Nothing here needs TensorFlow, so what is told wrong is
named before it is loaded.
"""

import dataclasses
import json
import re
import socket
from collections.abc import Mapping

from resnet_tf import errors
from resnet_tf.distribution.slurm_lists import MOST, expand_nodes, expand_tasks
from resnet_tf.errors import UserError

# Where nothing says a port. Below 32768, from where on Linux gives ports to whoever connects.
_PORT = 29500
_SLURM_PORT, _SLURM_PORTS = 20000, 9408
_HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
_KINDS = {"chief", "master", "worker", "ps", "evaluator"}


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes of a run, of which there are two or more.

    Attributes:
      addresses: host:port of each; the first is the chief's.
      index: of this process among them.
      source: what told it.
      start_timeout: seconds that the processes wait for each other.
    """

    addresses: tuple[str, ...]
    index: int
    source: str
    start_timeout: float = 120.0

    @property
    def is_chief(self) -> bool:
        """Whether it is this process that writes."""
        return self.index == 0

    @property
    def address(self) -> str:
        """Of this process."""
        return self.addresses[self.index]


def find(workers: str, task: int, environment: Mapping[str, str]) -> Cluster | None:
    """What flags and environment say; None for one process alone.

    Args:
      workers, task: the flags; "" and -1 where they are not given.
      environment: as `os.environ`.

    Raises:
      UserError: 64, naming what is wrong, or which two disagree.
    """
    told = [
        _from_flags(workers, task),
        _from_tf_config(environment.get("TF_CONFIG", "")),
        _from_slurm(environment),
        _from_kubernetes(environment),
    ]
    found = [cluster for cluster in told if cluster]
    for other in found[1:]:
        if (other.addresses, other.index) != (found[0].addresses, found[0].index):
            what = (
                f"{found[0].source} says process {found[0].index} of"
                f" {', '.join(found[0].addresses)}, {other.source} process {other.index} of"
                f" {', '.join(other.addresses)}"
            )
            raise _wrong(what, f"{found[0].source}, {other.source}", "unset one of them")
    return _checked(found[0]) if found else None


def refuse_taken_port(cluster: Cluster) -> None:
    """Raises UserError 64 where another process listens on this one's port already."""
    bound(cluster).close()


def bound(cluster: Cluster) -> socket.socket:
    """A socket at this process's port; UserError 64 as of `refuse_taken_port`."""
    port = int(cluster.address.rpartition(":")[2])
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("", port))
    except OSError as error:
        probe.close()
        what = f"port {port} cannot be used: {error.strerror}"
        raise _wrong(what, cluster.source, "give another port") from error
    return probe


def _from_flags(workers: str, task: int) -> Cluster | None:
    if not workers and task < 0:
        return None
    if not workers:
        raise _wrong("--task is given without --workers", "--task", "give both")
    addresses = tuple(part.strip() for part in workers.split(","))
    if task < 0 and len(addresses) > 1:
        raise _wrong("which of the workers this is is not said", "--workers", "give --task")
    return _several(addresses, max(task, 0), "--workers and --task")


def _from_tf_config(text: str) -> Cluster | None:
    if not text.strip():
        return None
    try:
        told = json.loads(text)
        cluster, task = told.get("cluster", {}), told.get("task", {})
        kinds = {kind: _list(addresses) for kind, addresses in cluster.items()}
        kind, index = task.get("type", "worker"), _whole(task.get("index", 0))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        what = f"TF_CONFIG cannot be read: {errors.plain(error)}"
        raise _wrong(what, "TF_CONFIG", "see docs/kubernetes.md for its form") from error
    if not kinds:
        return None
    if strange := sorted(kinds.keys() - _KINDS):
        raise _wrong(f"{strange[0]!r} is no kind of task", "TF_CONFIG", "name workers")
    if not task and sum(map(len, kinds.values())) > 1:
        raise _wrong("it does not say which task this is", "TF_CONFIG", "give it a task")
    if kinds.get("ps") or kind == "ps":
        raise _wrong("parameter servers are not used", "TF_CONFIG", "name workers only")
    if kind == "evaluator":
        remedy = "evaluate with eval.py --watch, without TF_CONFIG"
        raise _wrong("an evaluator does not train", "TF_CONFIG", remedy)
    heads = kinds.get("chief") or kinds.get("master") or []
    if kind not in ("chief", "master", "worker") or (kind != "worker" and not heads):
        raise _wrong(f"task type {kind!r} is not in the cluster", "TF_CONFIG", "mend it")
    if len(heads) > 1:
        raise _wrong(f"it names {len(heads)} chiefs", "TF_CONFIG", "name one")
    own_kind = heads if kind != "worker" else kinds.get("worker", [])
    if not 0 <= index < len(own_kind):
        what = f"there is no {kind} number {index} of {len(own_kind)}"
        raise _wrong(what, "TF_CONFIG", "numbers start at 0")
    own = index if kind != "worker" else index + len(heads)
    return _several((*heads, *kinds.get("worker", [])), own, "TF_CONFIG")


def _whole(index: object) -> int:
    if isinstance(index, bool) or not isinstance(index, int | str):
        raise TypeError(f"index {index!r} is no whole number")
    return int(index)


def _list(addresses: object) -> list[str]:
    if isinstance(addresses, Mapping):  # as a sparse cluster is told
        addresses = [addresses[key] for key in sorted(addresses, key=int)]
    if not isinstance(addresses, list) or not all(isinstance(a, str) for a in addresses):
        raise ValueError("addresses must be a list of HOST:PORT")
    return addresses


def _from_slurm(environment: Mapping[str, str]) -> Cluster | None:
    """Of a step of srun. The batch script itself, which is one process, has no number of tasks."""
    count = environment.get("SLURM_STEP_NUM_TASKS", "1")
    if count == "1":
        return None
    names = ("SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE", "SLURM_PROCID", "SLURM_JOB_ID")
    try:
        nodes, tasks, own, job = (environment[name] for name in names)
        hosts, numbers = expand_nodes(nodes), expand_tasks(tasks)
        if len(hosts) != len(numbers) or sum(numbers) != int(count):
            raise ValueError(f"{nodes} and {tasks} are not {count} tasks")
        _refuse_other_node(numbers, int(own), environment.get("SLURM_NODEID", ""))
        # Jobs that share a node get ports of their own.
        first = _SLURM_PORT + int(job) * 16 % _SLURM_PORTS
        addresses = [
            f"{host}:{first + local}"
            for host, number in zip(hosts, numbers)
            for local in range(number)
        ]
        return _several(tuple(addresses), int(own), "Slurm")
    except KeyError as error:
        raise _wrong(f"{error.args[0]} is not set", "Slurm", "start it with srun") from error
    except ValueError as error:
        what = f"Slurm's variables cannot be read: {errors.plain(error)}"
        raise _wrong(what, "Slurm", "give --workers and --task") from error


def _refuse_other_node(tasks: list[int], own: int, node: str) -> None:
    """Tasks are counted node by node, unless somebody asked for another distribution."""
    expected = next((i for i in range(len(tasks)) if own < sum(tasks[: i + 1])), None)
    if node.isdecimal() and expected is not None and int(node) != expected:
        what = f"task {own} is on node {node}, and not on node {expected}, as in blocks"
        raise _wrong(what, "Slurm", "start srun with --distribution=block")


def _from_kubernetes(environment: Mapping[str, str]) -> Cluster | None:
    count = environment.get("RESNET_TF_WORKERS", "")
    if not count:
        return None
    if not count.isdecimal() or not 1 <= int(count) <= MOST:
        raise _wrong(f"RESNET_TF_WORKERS={count!r} is no number", "RESNET_TF_WORKERS", "mend it")
    names = ("JOB_COMPLETION_INDEX", "RESNET_TF_SERVICE", "HOSTNAME")
    missing = [name for name in names if not environment.get(name)]
    if missing:
        remedy = "see docs/kubernetes.md for the Job"
        raise _wrong(f"{missing[0]} is not set", "RESNET_TF_WORKERS", remedy)
    index, service, host = (environment[name] for name in names)
    if not index.isdecimal() or not host.endswith(f"-{index}"):
        what = f"the host {host!r} is not that of JOB_COMPLETION_INDEX={index}"
        raise _wrong(what, "JOB_COMPLETION_INDEX", "give the Job completionMode: Indexed")
    job = host[: -len(index) - 1]
    port = environment.get("RESNET_TF_PORT", str(_PORT))
    addresses = tuple(f"{job}-{number}.{service}:{port}" for number in range(int(count)))
    return _several(addresses, int(index), "Kubernetes")


def _several(addresses: tuple[str, ...], index: int, source: str) -> Cluster | None:
    """None for a process that is alone."""
    if len(addresses) == 1 and index == 0:
        return None
    return Cluster(addresses, index, source)


def _checked(cluster: Cluster) -> Cluster:
    seen = set()
    for address in cluster.addresses:
        host, _, port = address.rpartition(":")
        if ":" in host:
            remedy = "give a name, or an address of IPv4, which is all that TensorFlow listens at"
            raise _wrong(f"{address!r} is of IPv6", cluster.source, remedy)
        sound = _HOST.fullmatch(host) and port.isdecimal() and port.isascii()
        if not sound or not 0 < int(port) < 2**16:
            raise _wrong(f"{address!r} is not HOST:PORT", cluster.source, "mend it")
        if address in seen:
            raise _wrong(f"{address} stands there twice", cluster.source, "give each its own")
        seen.add(address)
    if not 0 <= cluster.index < len(cluster.addresses):
        what = f"there are {len(cluster.addresses)} processes, and this is number {cluster.index}"
        raise _wrong(what, cluster.source, "numbers start at 0")
    return cluster


def _wrong(what: str, where: str, remedy: str) -> UserError:
    return UserError(errors.BAD_FLAGS, what, where, remedy)
