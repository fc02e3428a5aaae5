"""From `--devices` to a `MirroredStrategy`."""

import dataclasses
import re
from typing import TYPE_CHECKING

from resnet_tf import errors
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


def make_strategy(request: DeviceRequest) -> "tf.distribute.Strategy":
    """One `MirroredStrategy` over the devices asked for, also where it is only one.

    Make one a process: collectives of several can mix.

    Raises:
      UserError: 64 where a GPU is asked for that is not there; nothing falls back silently.
    """
    import tensorflow as tf

    present = [device.name for device in tf.config.list_logical_devices("GPU")]
    if request.kind == "auto":
        devices = present or ["/cpu:0"]
    elif request.kind == "cpu":
        devices = [f"/cpu:{i}" for i in range(request.logical_cpus)]
    else:
        wanted = range(len(present)) if request.gpus is None else request.gpus
        if not wanted or max(wanted) >= len(present):
            raise UserError(
                errors.BAD_FLAGS,
                f"TensorFlow sees {len(present)} GPUs, fewer than are asked for",
                "--devices",
                "use --devices=cpu, or install tensorflow[and-cuda] and a driver",
            )
        devices = [present[i] for i in wanted]
    return tf.distribute.MirroredStrategy(devices)


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
