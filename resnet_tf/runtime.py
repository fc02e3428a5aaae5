"""Process set-up: what must happen before TensorFlow loads, and just after.

Two kinds of settings, both made by `prepare` when the package is imported:

* oneDNN. On CPUs without VNNI the official wheels leave it off; on, a training step
  is 2 to 2.5 times as fast. `TF_ENABLE_ONEDNN_OPTS` is set to 1 unless the user has
  set it. Say no with `TF_ENABLE_ONEDNN_OPTS=0`. Its primitives are kept from step to step
  (a few per cent less CPU time at best); `TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE=1` says no to that.
* The allocator. glibc hands large freed blocks back to the kernel, which must zero
  them again a step later. `mallopt` tells it to keep them (up to 1.3 times as fast on an older CPU,
  at the same peak memory). Say no with `RESNET_TF_MALLOPT=0`. On macOS and musl,
  which have no such `mallopt`, nothing happens.

`configure` then applies what the flags ask for, once TensorFlow is there but has not
yet made its devices: threads, logical devices, determinism.
"""

import contextlib
import ctypes
import logging
import os
import sys
import tempfile
from collections.abc import Iterator

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_INT_MAX = 2**31 - 1


def prepare() -> None:
    """Sets oneDNN, the allocator and the log level for a TensorFlow not yet loaded.

    Safe to call anywhere and more than once. Where TensorFlow was imported first,
    oneDNN and the log level can no longer be changed, which is said once on stderr.
    """
    keep_freed_memory()
    if "tensorflow" in sys.modules:
        _warn_late_import()
        return
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # Keep oneDNN's primitives from step to step instead of making them again.
    os.environ.setdefault("TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE", "0")
    # 0 everything, 1 no information, 2 no warnings either, of which there is one at the
    # normal end of every data set.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def keep_freed_memory() -> bool:
    """Keeps glibc from returning freed memory to the kernel; True when it took effect."""
    if os.environ.get("RESNET_TF_MALLOPT") == "0" or not sys.platform.startswith("linux"):
        return False
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018  absent in musl, whose mallopt is no such thing
        mallopt = libc.mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    kept_in_heap = mallopt(_M_MMAP_MAX, 0)
    never_trimmed = mallopt(_M_TRIM_THRESHOLD, _INT_MAX)
    return bool(kept_in_heap and never_trimmed)


_late_import_said = False


def _warn_late_import() -> None:
    global _late_import_said
    if _late_import_said or os.environ.get("TF_ENABLE_ONEDNN_OPTS") is not None:
        return
    _late_import_said = True
    print(
        "resnet_tf: TensorFlow was imported before resnet_tf, so oneDNN stays as the wheel has"
        " it; import resnet_tf first, or set TF_ENABLE_ONEDNN_OPTS=1",
        file=sys.stderr,
    )


@contextlib.contextmanager
def _quiet_start() -> Iterator[None]:
    """Holds back what TensorFlow prints while it loads, and lets through what matters.

    The wheel logs a dozen lines of information, whatever `TF_CPP_MIN_LOG_LEVEL` says, and on
    a machine without NVIDIA's driver an error that it has none. `TF_CPP_MIN_LOG_LEVEL=0`
    shows everything.
    """
    if "tensorflow" in sys.modules or os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        yield
        return
    sys.stderr.flush()
    real = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)
            held_back.seek(0)
            lines = held_back.read().decode(errors="replace").splitlines(keepends=True)
            sys.stderr.write("".join(line for line in lines if not _is_noise(line)))


def _is_noise(line: str) -> bool:
    no_driver = "cuInit" in line and not os.path.exists("/dev/nvidiactl")
    return no_driver or line.startswith(("I0000", "WARNING: All log messages before absl"))


def configure(
    logical_cpus: int = 1,
    intra_op_threads: int = 0,
    inter_op_threads: int = 0,
    deterministic: bool = True,
) -> None:
    """Applies thread counts, logical CPU devices and determinism.

    Must run before TensorFlow makes its devices (before the first op).

    Args:
      logical_cpus: number of CPU devices that TensorFlow shows; more than one lets a
        strategy run several replicas on one machine.
      intra_op_threads: threads inside one op; 0 means the cores of one device: on two cores
        two, and with two logical CPUs one, whose replicas then run beside each other.
      inter_op_threads: ops that run at a time; 0 means one a core.
      deterministic: ask TensorFlow for ops that give equal bits from run to run. CPU
        kernels already do; on a GPU this costs some speed.

    Raises:
      RuntimeError: when TensorFlow has already made its devices.
    """
    with _quiet_start():
        import tensorflow as tf

        tf.config.list_physical_devices()
    tf.get_logger().setLevel("WARNING")
    logging.getLogger("absl").setLevel("WARNING")  # which parts of TensorFlow use
    if logical_cpus > 1 and not intra_op_threads:
        intra_op_threads = max(1, available_cores() // logical_cpus)
    tf.config.threading.set_intra_op_parallelism_threads(intra_op_threads)
    tf.config.threading.set_inter_op_parallelism_threads(inter_op_threads)
    if logical_cpus > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(logical_cpus)]
        )
    if deterministic and tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()


def describe() -> dict:
    """What decides the bits of a run besides its configuration: versions, threads, CPU."""
    import platform

    import numpy as np
    import tensorflow as tf

    from resnet_tf.version import __version__

    return {
        "resnet_tf": __version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        "cpu": _cpu_model(),
        "cores": available_cores(),
        "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
    }


def process_age() -> float:
    """Seconds since this process began; 0 where the system does not say."""
    try:
        with open("/proc/self/stat") as stat, open("/proc/uptime") as uptime:
            # The name before it, in brackets, may hold blanks.
            began = int(stat.read().rpartition(")")[2].split()[19])
            return max(0.0, float(uptime.read().split()[0]) - began / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return 0.0


def available_cores() -> int:
    """Cores that this process may use (a container may allow fewer than there are)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    import platform

    return platform.processor() or platform.machine()
