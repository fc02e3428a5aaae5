"""One writer a run in a store, as far as a store lets that be known.

A store has neither locks nor a way to make a file only where there is none. So the holder writes a
number that rises into a file, again and again; who finds the file waits whether it rises, and who
writes it looks again a little later whether another one did at the same moment.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable

import tensorflow as tf

from resnet_tf import errors
from resnet_tf.checkpoint.store import write
from resnet_tf.errors import UserError

FILE_NAME = "lock"
# Seconds from one number to the next, after which a holder that writes none is gone, and after
# which two that took it at once know of each other.
_BEAT, _GONE, _SETTLED = 30.0, 120.0, 2.0


class StoreLock:
    """The file, from `take` to `release`.

    Args:
      path: its address.
      lost: called, in another thread, when another process has taken it.
      say: is told in a sentence what is waited for.
      sleep: waits so many seconds.
    """

    def __init__(self, path: str, lost: Callable, say: Callable, sleep: Callable):
        self._path, self._lost, self._say, self._sleep = path, lost, say, sleep
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._holder = {
            "id": uuid.uuid4().hex,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
            "beat": 0,
        }

    def take(self) -> None:
        """Raises UserError 77 where another process has it."""
        if there := self._read():
            self._say(f"{self._who(there)} has this run, or had: seeing for {_GONE:.0f} s which")
            self._sleep(_GONE)
            if (now := self._read()) and now != there:
                raise self._held(now)
        tf.io.gfile.makedirs(self._path.rpartition("/")[0])
        try:
            write(self._path, json.dumps(self._holder))
            self._sleep(_SETTLED)
            self.refuse_lost()
        except BaseException:
            self.release()
            raise
        self._thread.start()

    def refuse_lost(self) -> None:
        """Raises UserError 77 where another process has taken it since."""
        if (now := self._read()).get("id") not in (None, self._holder["id"]):
            raise self._held(now)

    def release(self) -> None:
        """Lets others in, unless it was lost to one."""
        self._ended.set()
        if self._thread.ident:
            self._thread.join()
        try:
            if self._read().get("id") == self._holder["id"]:
                tf.io.gfile.remove(self._path)
        except tf.errors.OpError:
            pass  # the next one will see that it is stale

    def _beat(self) -> None:
        while not self._ended.wait(_BEAT):
            try:
                self.refuse_lost()
                self._holder["beat"] += 1
                write(self._path, json.dumps(self._holder))
            except UserError:
                self._lost()
                return
            except tf.errors.OpError:
                continue  # a store that fails for a while

    def _read(self) -> dict:
        try:
            with tf.io.gfile.GFile(self._path) as file:
                holder = json.loads(file.read())
        except (tf.errors.NotFoundError, ValueError):
            return {}
        return holder if isinstance(holder, dict) else {}

    def _who(self, holder: dict) -> str:
        host, pid, since = (errors.plain(holder.get(key)) for key in ("host", "pid", "since"))
        return f"host {host}, pid {pid}, since {since}"

    def _held(self, holder: dict) -> UserError:
        what = f"the model directory is locked by {self._who(holder)}"
        remedy = "wait for it, or give another --model_dir"
        return UserError(errors.NOT_WRITABLE, what, self._path, remedy)
