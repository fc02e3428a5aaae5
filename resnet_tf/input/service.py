"""Batches that other machines read, decode and augment: TensorFlow's `tf.data service`.

Each address is a dispatcher with one worker (`tools/data_service.py`). Of k of them, each makes one
batch in k, and they are taken in turn: so the batches come in the order of the formula, whatever
the number of machines, and the run is bit for bit what it is without them. TensorFlow's own ways to
share work among the workers of one dispatcher keep no order.

A worker that is started anew would begin again from the run's first batch. So each batch has its
number with it, and another one than the next is an error.
"""

import dataclasses
import re
import socket
from collections.abc import Callable, Sequence

import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError, bad_flag

_ANSWERS = 10.0  # seconds in which a machine must take a connection
_LOST = "a data service began anew, and no longer gives the batch that is due"


def addresses_from(text: str) -> tuple[str, ...]:
    """Reads `grpc://HOST:PORT,grpc://HOST:PORT`; nothing gives nothing.

    Raises:
      UserError: 64 for anything else, and for one that stands there twice.
    """
    addresses = tuple(part.strip() for part in text.split(",")) if text else ()
    for address in addresses:
        match = re.fullmatch(r"grpc://[^\s/:]+:(\d+)", address)
        if not match or not 0 < int(match[1]) < 2**16:
            raise bad_flag("data_service", "must be grpc://HOST:PORT,…", repr(text))
    if len(set(addresses)) < len(addresses):
        raise bad_flag("data_service", "must name each machine once", repr(text))
    return addresses


def refuse_absent(addresses: Sequence[str]) -> None:
    """Raises UserError 66 for an address that nobody answers at; TensorFlow would wait for it."""
    for address in addresses:
        host, _, port = address.removeprefix("grpc://").rpartition(":")
        try:
            socket.create_connection((host, int(port)), _ANSWERS).close()
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or errors.plain(error)
            raise UserError(
                errors.MISSING_INPUT,
                f"no data service answers: {reason}",
                address,
                "start tools/data_service.py there, or leave out --data_service",
            ) from error


@dataclasses.dataclass(frozen=True)
class Serving:
    """A dispatcher with its worker, in this process, as long as this object is kept.

    Attributes:
      address: to give as --data_service.
    """

    address: str
    dispatcher: tf.data.experimental.service.DispatchServer
    worker: tf.data.experimental.service.WorkerServer


def serve(host: str, port: int = 0, worker_port: int = 0) -> Serving:
    """Starts both.

    Args:
      host: name of this machine, by which others reach it.
      port, worker_port: of dispatcher and worker; 0 for any that is free.

    Raises:
      OSError: where a port is taken, which TensorFlow would share.
    """
    for number in filter(None, (port, worker_port)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", number))
    services = tf.data.experimental.service
    dispatcher = services.DispatchServer(services.DispatcherConfig(port=port))
    number = dispatcher.target.rpartition(":")[2]
    config = services.WorkerConfig(
        dispatcher_address=f"localhost:{number}",
        worker_address=f"{host}:{worker_port or '%port%'}",
        port=worker_port,
    )
    return Serving(f"grpc://{host}:{number}", dispatcher, services.WorkerServer(config))


def made_elsewhere(
    addresses: Sequence[str], make: Callable[[int, int], tf.data.Dataset]
) -> tf.data.Dataset:
    """The batches that `make(0, 1)` would give, made at the addresses.

    Args:
      addresses: of data services, that see the same files under the same paths.
      make: called with k and n, gives every n-th batch from the k-th on, without end.

    Raises:
      tf.errors.InvalidArgumentError: in the dataset, where a service has lost its place; see
        `explained`.
    """
    count = len(addresses)
    parts = [
        tf.data.Dataset.zip(tf.data.Dataset.counter(part, count), make(part, count)).apply(
            tf.data.experimental.service.distribute(
                tf.data.experimental.service.ShardingPolicy.OFF,
                address,
                compression=None,  # pictures of bytes hardly get smaller
            )
        )
        for part, address in enumerate(addresses)
    ]
    in_turn = tf.data.Dataset.range(count).repeat()
    merged = tf.data.Dataset.choose_from_datasets(parts, in_turn)
    return tf.data.Dataset.zip(tf.data.Dataset.counter(), merged).map(_checked)


def _checked(expected: tf.Tensor, element: tuple) -> tuple:
    number, batch = element
    with tf.control_dependencies([tf.debugging.assert_equal(number, expected, _LOST)]):
        return tf.nest.map_structure(tf.identity, batch)


def explained(error: tf.errors.OpError) -> Exception:
    """A UserError 74 for that of a service that lost its place, any other as it is."""
    if _LOST not in error.message:
        return error
    return UserError(errors.IO_ERROR, _LOST, "--data_service", "the same command goes on")
