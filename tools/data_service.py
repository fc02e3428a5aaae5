"""Reads, decodes and augments for training on other machines, until it is stopped.

  python tools/data_service.py --port=5050                     on each machine that shall help
  python train.py --data_service=grpc://host1:5050,grpc://host2:5050 …

The machines must see the data under the same path as those that train. stdout has one line with
the address to give. Whoever reaches the ports can use them: see SECURITY.md.
"""

import os
import pathlib
import socket
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import flags

from resnet_tf import errors, runtime, scripts
from resnet_tf.errors import UserError, bad_flag

_PORT = flags.DEFINE_integer("port", 5050, "of the dispatcher; 0: any that is free")
_WORKER_PORT = flags.DEFINE_integer("worker_port", 0, "of its worker; 0: any that is free")
_HOST = flags.DEFINE_string("host", None, "name of this machine for others; default: its own")


def main(_):
    for flag in (_PORT, _WORKER_PORT):
        if not 0 <= flag.value < 2**16:
            raise bad_flag(flag.name, "must be from 0 to 65535", flag.value)
    host = _HOST.value or socket.gethostname()
    runtime.configure()
    from resnet_tf.input import service
    from resnet_tf.reporting import journal, say

    try:
        running = service.serve(host, _PORT.value, _WORKER_PORT.value)
    except OSError as error:
        raise UserError(errors.BAD_FLAGS, str(error), "--port", "give another") from error
    say("listening to every machine that reaches this one, see SECURITY.md; Ctrl-C ends it")
    journal.emit({"event": "data_service", "address": running.address, "pid": os.getpid()})
    threading.Event().wait()


if __name__ == "__main__":
    scripts.run(main)
