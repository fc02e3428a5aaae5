"""From `--devices`, and who trains together, to a strategy of TensorFlow's."""

import dataclasses
import re
from typing import TYPE_CHECKING

from resnet_tf import errors
from resnet_tf.distribution.cluster import Cluster
from resnet_tf.distribution.rendezvous import joining
from resnet_tf.errors import UserError, bad_flag

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class DeviceRequest:
    """What `--devices` asks for, before TensorFlow is there to say what exists.

    Attributes:
      kind: "auto", "cpu" or "gpu".
      logical_cpus: number of CPU devices, 1 or more.
      gpus: numbers of the GPUs; None means all.
    """

    kind: str
    logical_cpus: int = 1
    gpus: tuple[int, ...] | None = None

    @classmethod
    def parse(cls, text: str) -> "DeviceRequest":
        """Reads `auto`, `cpu`, `cpu:N`, `gpu:all` or `gpu:0,1`.

        Raises:
          UserError: 64 for anything else.
        """
        if text == "auto":
            return cls("auto")
        if match := re.fullmatch(r"cpu(?::([1-9]\d*))?", text):
            return cls("cpu", logical_cpus=int(match.group(1) or 1))
        if text in ("gpu", "gpu:all"):
            return cls("gpu")
        if match := re.fullmatch(r"gpu:(\d+(?:,\d+)*)", text):
            numbers = tuple(int(number) for number in match.group(1).split(","))
            if len(set(numbers)) == len(numbers):
                return cls("gpu", gpus=numbers)
        raise bad_flag("devices", "must be auto, cpu, cpu:N, gpu:all or gpu:0,1", repr(text))


ALL_REDUCE = ("auto", "nccl", "ring", "hierarchical")


def make_strategy(
    request: DeviceRequest,
    cluster: Cluster | None = None,
    all_reduce: str = "auto",
    require_gpus: int = 0,
) -> "tf.distribute.Strategy":
    """One `MirroredStrategy` over the devices asked for, also where it is only one.

    Make one a process: collectives of several can mix.

    Args:
      request: devices of this process.
      cluster: the processes that train together, each on such devices; None for this one alone.
        Then it is a `MultiWorkerMirroredStrategy`, to be made before anything is computed.
      all_reduce: how gradients are summed, one of `ALL_REDUCE`: over processes by rings or NCCL;
        in one process by NCCL, or by copies in a hierarchy of devices. "auto": NCCL for GPUs.
      require_gpus: that this process must train on, at least.

    Raises:
      UserError: 64 where a GPU is asked for that is not there, nothing falls back silently; for
        devices that processes of a cluster cannot have, and a way to sum that there is not.
    """
    import tensorflow as tf

    if cluster:
        return _make_multi_worker(request, cluster, all_reduce, require_gpus)
    present = [device.name for device in tf.config.list_logical_devices("GPU")]
    if request.kind == "auto":
        devices = present or ["/cpu:0"]
    elif request.kind == "cpu":
        devices = [f"/cpu:{i}" for i in range(request.logical_cpus)]
    else:
        wanted = range(len(present)) if request.gpus is None else request.gpus
        if not wanted or max(wanted) >= len(present):
            raise _too_few_gpus(len(present))
        devices = [present[i] for i in wanted]
    _refuse_fewer(require_gpus, sum(device in present for device in devices))
    return tf.distribute.MirroredStrategy(devices, _across_devices(all_reduce, devices))


def _across_devices(all_reduce: str, devices: list[str]) -> "tf.distribute.CrossDeviceOps | None":
    """Sums over the devices of one process; None where TensorFlow chooses."""
    import tensorflow as tf

    if all_reduce == "ring":
        raise bad_flag("all_reduce", "ring is for several processes")
    if all_reduce == "nccl":
        if "GPU" not in devices[0].upper():
            raise bad_flag("all_reduce", "nccl is for GPUs")
        return tf.distribute.NcclAllReduce()
    return tf.distribute.HierarchicalCopyAllReduce() if all_reduce == "hierarchical" else None


def refuse_alone_only(request: DeviceRequest, all_reduce: str) -> None:
    """Raises UserError 64 for what a process of a cluster cannot have."""
    if request.logical_cpus > 1:
        raise bad_flag("devices", "cpu:N is for one process; start more processes instead")
    if all_reduce == "hierarchical":
        raise bad_flag("all_reduce", "hierarchical is for one process")


def _make_multi_worker(
    request: DeviceRequest, cluster: Cluster, all_reduce: str, require_gpus: int
) -> "tf.distribute.Strategy":
    import tensorflow as tf

    refuse_alone_only(request, all_reduce)
    gpus = tf.config.list_physical_devices("GPU")
    if request.kind == "gpu" and not gpus:
        raise _too_few_gpus(len(gpus))
    if request.kind == "cpu" and gpus:
        tf.config.set_visible_devices([], "GPU")
    if request.gpus is not None:
        if max(request.gpus) >= len(gpus):
            raise _too_few_gpus(len(gpus))
        tf.config.set_visible_devices([gpus[number] for number in request.gpus], "GPU")
    _refuse_fewer(require_gpus, len(tf.config.get_visible_devices("GPU")))
    ways = tf.distribute.experimental.CommunicationImplementation
    way = {"auto": ways.AUTO, "nccl": ways.NCCL, "ring": ways.RING}[all_reduce]
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.index,
        rpc_layer="grpc",
    )
    options = tf.distribute.experimental.CommunicationOptions(implementation=way)
    with joining(cluster.start_timeout):
        return tf.distribute.MultiWorkerMirroredStrategy(resolver, options)


def _refuse_fewer(required: int, used: int) -> None:
    if used < required:
        raise _too_few_gpus(used, "--require_gpus")


def _too_few_gpus(number: int, flag: str = "--devices") -> UserError:
    return UserError(
        errors.BAD_FLAGS,
        f"TensorFlow sees {number} GPUs, fewer than are asked for",
        flag,
        "use --devices=cpu, or install tensorflow[and-cuda] and a driver",
    )


def processes(strategy: "tf.distribute.Strategy") -> int:
    """Number of the processes that a strategy spans."""
    resolver = strategy.cluster_resolver
    return resolver.cluster_spec().num_tasks("worker") if resolver else 1


def describe_devices(strategy: "tf.distribute.Strategy") -> str:
    """Number and kind of a strategy's devices, such as "2 x CPU" or "8 x NVIDIA H100"."""
    import tensorflow as tf

    kind = strategy.extended.worker_devices[0].split(":")[-2]
    if kind == "GPU":
        details = tf.config.experimental.get_device_details(
            tf.config.list_physical_devices(kind)[0]
        )
        kind = details.get("device_name", kind)
    return f"{strategy.num_replicas_in_sync} x {kind}"
