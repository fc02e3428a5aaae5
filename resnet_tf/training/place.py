"""Where a run works, and where its commits are: which is not always the same."""

import dataclasses
import pathlib

from resnet_tf.checkpoint import Lock, Mirror
from resnet_tf.config import Config
from resnet_tf.distribution import Cluster


@dataclasses.dataclass(frozen=True)
class Place:
    """Of one process of a run.

    Attributes:
      config: of the run, with the directory in which this process works as its `model_dir`.
      home: the model directory that has the commits: the same, but in processes beside the chief.
      mirror: in a store, where the run is there.
      cluster: all processes that train together, where there are several.
      lock: of the directory; None until it is taken.
    """

    config: Config
    home: pathlib.Path
    mirror: Mirror | None = None
    cluster: Cluster | None = None
    lock: Lock | None = None

    @property
    def commits(self) -> pathlib.Path:
        """The directory of the commits."""
        return self.home / "checkpoints"

    @property
    def is_writers(self) -> bool:
        """Whether this is the process that commits; nothing that others write is kept."""
        return self.cluster is None or self.cluster.is_chief

    def name_of(self, path: pathlib.Path) -> str:
        """What a user knows something in the model directory by: its path, or its address."""
        return self.mirror.name_of(path) if self.mirror else str(path)
