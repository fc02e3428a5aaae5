"""All that looks on while a run trains."""

import dataclasses
from collections.abc import Callable

from resnet_tf.reporting import Console, Journal
from resnet_tf.reporting.goodput import Goodput
from resnet_tf.stopping import STOPS, Stop
from resnet_tf.training.meter import Meter
from resnet_tf.training.profile import Profiler
from resnet_tf.training.saving import Saver
from resnet_tf.training.spikes import Spikes
from resnet_tf.watchdog import Watchdog


@dataclasses.dataclass
class Observers:
    """Each by its name.

    Attributes:
      asked_of_any: where other processes train the run, too: gives the most that any of them was
        asked, a number of `STOPS`, once all have called it.
      agreed_to_stop: whether all processes have seen that one was asked to stop.
    """

    journal: Journal
    console: Console
    meter: Meter
    goodput: Goodput
    profiler: Profiler | None
    stop: Stop
    watchdog: Watchdog
    saver: Saver
    asked_of_any: Callable[[], int] | None = None
    spikes: Spikes = dataclasses.field(default_factory=Spikes)
    agreed_to_stop: bool = False

    def progressed(self, to: str) -> None:
        """To be called all the time: tells the watchdog, and asks whether to stop.

        Several processes stop after a step in which all of them saw that one was asked.
        """
        self.watchdog.beat(to)
        self.saver.poll()
        if self.asked_of_any is None or self.agreed_to_stop:
            self.stop.check()

    def progressed_together(self, to: str) -> None:
        """The same, at a place that all processes come to."""
        if self.asked_of_any:
            self.stops(self.asked_of_any())
        self.progressed(to)

    def stops(self, asked: int) -> None:
        """In a step `asked`, a number of `STOPS`, was the most that any process was asked."""
        if asked:
            self.stop.agree(STOPS[asked])
            self.agreed_to_stop = True
