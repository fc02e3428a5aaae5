"""What is trained in each comparison, the same for every contender. Needs nothing but Python."""

import argparse
import dataclasses

PEERS = ("torch", "keras")
MEAN, STD = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)


@dataclasses.dataclass(frozen=True)
class Case:
    """A network's batch, and its numbers of steps.

    Attributes:
      batch, size, classes: random pictures `[batch, size, size, 3]`, labels in 0..classes-1.
      macs: multiply-adds of convolutions and head, forward, a picture, by peer.
      rate: learning rate; so small that the rounding of two right programs stays small.
      compared: first steps, whose losses are reported.
      warm_up: further steps at most, before the speed is settled.
      timed: steps that are timed after them, without a look at any but the last.
    """

    batch: int
    size: int
    classes: int
    macs: dict[str, int]
    rate: float
    compared: int = 20
    warm_up: int = 20
    timed: int = 40

    def quick(self) -> "Case":
        """The same in as few steps as show that everything runs."""
        return dataclasses.replace(self, compared=2, warm_up=0, timed=2)


def _same(macs: int) -> dict[str, int]:
    return dict.fromkeys(PEERS, macs)


CASES = {
    "cifar_resnet20": Case(128, 32, 10, _same(40_551_040), rate=0.01),
    "cifar_resnet32": Case(128, 32, 10, _same(68_862_592), rate=0.01),
    # keras.applications has v1, whose strides come one convolution earlier.
    "resnet50": Case(
        16, 224, 1000, {"torch": 4_089_184_256, "keras": 3_857_973_248}, rate=0.0005,
        compared=10, warm_up=6, timed=6,
    ),
}  # fmt: skip


def ours(network: str, peer: str) -> tuple[str, dict, float]:
    """Our network that computes what the peer's does: name, options, weight decay.

    Beside Keras nothing decays: as an L2 penalty, the only form of Keras that has the same
    gradient, decay would cost Keras passes over the kernels that no other contender makes.
    """
    if peer == "torch":
        return network, {}, 1e-4
    if network == "resnet50":
        return "resnet50_v1", {"use_bias": True, "norm_epsilon": 1.001e-5}, 0.0
    return network, {}, 0.0


def arguments(description: str) -> argparse.ArgumentParser:
    """The flags that all contenders share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--network", choices=CASES, default="cifar_resnet20")
    parser.add_argument("--peer", choices=PEERS, default="torch", help="whose mathematics")
    parser.add_argument("--start", required=True, help="weights, images and labels, .npz")
    parser.add_argument("--quick", action="store_true", help="two steps of everything")
    return parser


def case_of(flags: argparse.Namespace) -> Case:
    """The case that the flags name."""
    case = CASES[flags.network]
    return case.quick() if flags.quick else case
