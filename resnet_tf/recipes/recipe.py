"""What a recipe is."""

import dataclasses

from resnet_tf.config import Config


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A configuration and where it comes from.

    Attributes:
      config: what the run is told.
      paper: source of network and training.
      expected: the published result, or what the recipe was made for.
      measured: what it gave here, with the machine; "not measured" where nobody ran it.
      departures: what the source did and this does not; empty where there is nothing.
      flags: what has to be given beside the data; empty where there is nothing.
    """

    config: Config
    paper: str
    expected: str
    measured: str = "not measured"
    departures: str = ""
    flags: str = ""

    @property
    def command(self) -> str:
        """What to type."""
        told = f"--recipe={self.config.recipe} --data_dir={self.config.data_dir} {self.flags}"
        return f"python train.py {told}".rstrip()
