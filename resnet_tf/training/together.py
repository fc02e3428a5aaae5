"""A run in several processes, as far as that is not the run's own: see `distribution.cluster`."""

import contextlib
import dataclasses
import hashlib
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator

import tensorflow as tf

import resnet_tf
from resnet_tf import checkpoint, errors
from resnet_tf.checkpoint import Commit, Lock
from resnet_tf.config import Config
from resnet_tf.distribution import Cluster, DeviceRequest, strategy
from resnet_tf.errors import UserError, bad_flag
from resnet_tf.reporting import journal
from resnet_tf.training.run import Run

_SCRATCH, _HOUR = "resnet_tf-worker-", 3600


def refuse_alone_only(config: Config) -> None:
    """Raises UserError 64 for flags that several processes cannot have."""
    alone = {
        "on_nonfinite": config.on_nonfinite == "rollback",
        "bad_records": config.bad_records == "skip",
        "model_dir": checkpoint.is_address(config.model_dir),
    }
    for name, asked in alone.items():
        if asked:
            raise bad_flag(name, "is for one process", getattr(config, name))
    strategy.refuse_alone_only(DeviceRequest.parse(config.devices), config.all_reduce)


def warn_of_strangers(cluster: Cluster, say: Callable[[str], None]) -> None:
    """Says that TensorFlow's ports are open to all, where that is not this machine alone."""
    hosts = {address.rpartition(":")[0] for address in cluster.addresses}
    if not hosts <= {"localhost", "127.0.0.1", "[::1]"}:
        port = cluster.address.rpartition(":")[2]
        say(f"whoever reaches port {port} can give it commands, see SECURITY.md")


def to_agree_on(run: Run, resumed: Commit | None) -> dict:
    """What must be the same in all processes."""
    its_own = ("model_dir", "data_dir", "devices", "intra_op_threads", "inter_op_threads")
    config = {f"--{k}": v for k, v in run.config.to_json().items() if k not in its_own}
    environment = run.describe["environment"]
    return config | {
        "data": run.describe["data"]["fingerprint"],
        "evaluation data": run.manifest.fingerprint(run.config.eval_split),
        "classes": run.describe["classes"],
        "preprocessing": run.describe["preprocessing"],
        "resumed step": resumed.step if resumed else 0,
        "state": checkpoint.digest_of(run.tensors()),
        "code": _code_of(pathlib.Path(resnet_tf.__file__).parent),
        "versions": [environment["resnet_tf"], environment.get("tensorflow")],
    }


def _code_of(package: pathlib.Path) -> str:
    """sha256 of all its files of Python: a version may be that of a checkout that was changed."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def own_directory(config: Config, cluster: Cluster) -> Iterator[Config]:
    """The same run in the directory in which this process writes.

    That is the run's for the chief; for others one that goes with them, and begins with the run's
    journal, by which a loop decides things.
    """
    if cluster.is_chief:
        yield config
        return
    _clear_scratch()
    with tempfile.TemporaryDirectory(prefix=_SCRATCH) as scratch:
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(pathlib.Path(config.model_dir) / journal.FILE_NAME, scratch)
        yield dataclasses.replace(config, model_dir=scratch)


def _clear_scratch() -> None:
    """Removes what processes that were killed have left: the lock in it is nobody's any more."""
    for path in pathlib.Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*/"):
        with contextlib.suppress(UserError, OSError):
            if time.time() - path.stat().st_mtime > _HOUR:  # else it may be before its lock
                Lock(path).release()
                shutil.rmtree(path)


@contextlib.contextmanager
def naming_the_lost(cluster: Cluster) -> Iterator[None]:
    """Raises UserError 70 for what TensorFlow says when another process does not answer."""
    try:
        yield
    except tf.errors.OpError as error:
        raise UserError(
            errors.INTERNAL,
            f"another process is gone, or cannot be reached: {_reason(error)}",
            cluster.address,
            "see what the one that ended first says; the same command goes on",
        ) from error


def _reason(error: tf.errors.OpError) -> str:
    """The one line of TensorFlow's many that says it."""
    lines = error.message.splitlines()
    aborted = [line for line in lines if line.startswith("Collective ops is aborted by")]
    return errors.plain((aborted or lines or [""])[0])
