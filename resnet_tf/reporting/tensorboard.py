"""Event files for TensorBoard, from the events of a run's journal.

    <model_dir>/tensorboard/train/         means between two log lines; pictures; the network
    <model_dir>/tensorboard/evaluation/    what evaluations found

They are written where the package `tensorboard` is installed, by its own record writer. What
fails here is said once and costs these files only.
"""

import importlib.util
import os
import pathlib
import socket
import time
from collections.abc import Iterator, Mapping, Sequence

from resnet_tf import errors
from resnet_tf.reporting.console import say

FOLDER = "tensorboard"
_TRAINING = "train"
_PLACES = {"train": _TRAINING, "eval": "evaluation"}


def installed() -> bool:
    """Whether the package is there."""
    return importlib.util.find_spec("tensorboard") is not None


class TensorBoard:
    """The event files of a run.

    Args:
      directory: of the run.
      resumed_step: step that the run starts from; of what was written for later ones, TensorBoard
        is told to forget it.
    """

    def __init__(self, directory: pathlib.Path, resumed_step: int):
        self._folder = directory / FOLDER
        self._resumed_step = resumed_step
        self._files = {}
        self._failed = False

    def write(self, event: str, fields: Mapping) -> None:
        """Adds the numbers of a "train" or "eval" event; others have none to draw."""
        if event in _PLACES:
            values = [_scalar(tag, number) for tag, number in _numbers(fields) if tag != "step"]
            self._add(_PLACES[event], fields["step"], values)

    def show(self, step: int, tag: str, pictures: Sequence) -> None:
        """Adds pictures, `reporting.page.Picture`s of one size, with what stands below them."""
        if pictures:
            self._add(_TRAINING, step, [_images(tag, pictures)])

    def draw(self, graph: bytes) -> None:
        """Adds the network, a serialized `GraphDef`."""
        self._append(_TRAINING, self._resumed_step, graph_def=graph)

    def rewind(self, step: int) -> None:
        """Makes TensorBoard forget later steps, which will be done again."""
        self.close()
        self._resumed_step = step

    def close(self) -> None:
        """Closes the files."""
        for file in self._files.values():
            file.close()
        self._files = {}

    def _add(self, place: str, step: int, values: list) -> None:
        from tensorboard.compat.proto import summary_pb2

        self._append(place, step, summary=summary_pb2.Summary(value=values))

    def _append(self, place: str, step: int, **content) -> None:
        if self._failed:
            return
        try:
            if place not in self._files:
                self._files[place] = self._begin(place)
            _write(self._files[place], step, **content)
        except OSError as error:
            self._failed = True
            say(f"no more event files for TensorBoard: {errors.plain(error)}")

    def _begin(self, place: str):
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder = self._folder / place
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names.
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        file = RecordWriter(open(folder / name, "xb"))  # noqa: SIM115  closed by close()
        _write(file, 0, file_version="brain.Event:2")
        started = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        _write(file, self._resumed_step + 1, session_log=started)
        return file


def _write(file, step: int, **content) -> None:
    from tensorboard.compat.proto import event_pb2

    event = event_pb2.Event(wall_time=time.time(), step=step, **content)
    file.write(event.SerializeToString())
    file.flush()


def _numbers(fields: Mapping, before: str = "") -> Iterator[tuple[str, float]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{before}{name}/")
        elif isinstance(value, int | float):
            yield f"{before}{name}", value


def _scalar(tag: str, number: float):
    import numpy as np
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.scalar import metadata
    from tensorboard.util import tensor_util

    return summary_pb2.Summary.Value(
        tag=tag,
        tensor=tensor_util.make_tensor_proto(np.float32(number)),
        metadata=metadata.create_summary_metadata(display_name="", description=""),
    )


def _images(tag: str, pictures: Sequence):
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.image import metadata
    from tensorboard.util import tensor_util

    # The first two strings are width and height, which no plugin needs any more.
    encoded = [b"0", b"0", *(picture.encoded for picture in pictures)]
    below = "; ".join(f"{n}: {', '.join(p.lines)}" for n, p in enumerate(pictures, start=1))
    return summary_pb2.Summary.Value(
        tag=tag,
        tensor=tensor_util.make_tensor_proto(encoded),
        metadata=metadata.create_summary_metadata(
            display_name="", description=below, converted_to_tensor=True
        ),
    )
