"""How a picture becomes the input of a network, as plain numbers."""

import dataclasses


def refuse_fractions(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """Raises ValueError where numbers that a user gave are for pixels of 0 to 1."""
    for name, values in (("mean", mean), ("std", std)):
        if values and 0 < max(values) < 1:
            raise ValueError(f"{name} must be in pixel units, 255 times {values}")


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Size, cut and normalisation of pictures.

    A picture is cut and resized, bilinearly, to `height` by `width`, in one of three ways:

    - `shorter_side`: the shorter side is resized to this many pixels, antialiased, and the
      middle is cut out;
    - `central_fraction`: the middle, this share of each side, is resized;
    - neither: the whole picture is resized, antialiased unless `antialias` is False, whatever
      its shape; one that fits is left as it is.

    Attributes:
      height, width, channels: of the input.
      mean, std: a channel, in pixel units (0 to 255): (pixel - mean) / std is the input.
      shorter_side: pixels, at least height and width.
      central_fraction: above 0, up to 1.
      antialias: of whole pictures.

    Raises:
      ValueError: for numbers that no picture could be prepared by.
    """

    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shorter_side: int | None = None
    central_fraction: float | None = None
    antialias: bool = True

    def __post_init__(self):
        if self.height < 1 or self.width < 1:
            raise ValueError(f"height and width must be 1 or more, got {self.height}x{self.width}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise ValueError(f"{name} must have {self.channels} values, got {len(values)}")
        if not all(0 <= mean <= 255 for mean in self.mean):
            raise ValueError(f"mean must be in pixel units, 0 to 255, got {self.mean}")
        if not all(0 < std <= 255 for std in self.std):
            raise ValueError(f"std must be in pixel units, above 0 to 255, got {self.std}")
        if self.shorter_side is not None and self.central_fraction is not None:
            raise ValueError("give shorter_side or central_fraction, not both")
        if self.shorter_side is not None and self.shorter_side < max(self.height, self.width):
            raise ValueError(
                f"shorter_side must be {max(self.height, self.width)} or more, got"
                f" {self.shorter_side}"
            )
        if self.central_fraction is not None and not 0 < self.central_fraction <= 1:
            raise ValueError(
                f"central_fraction must be above 0 and up to 1, got {self.central_fraction}"
            )

    def at_size(self, height: int, width: int) -> "Preprocessing":
        """The same at another input size; the shorter side keeps its ratio to it."""
        side = self.shorter_side
        if side is not None:
            side = round(side * max(height, width) / max(self.height, self.width))
        return dataclasses.replace(self, height=height, width=width, shorter_side=side)

    def to_json(self) -> dict:
        """A dictionary of JSON's own types."""
        return dataclasses.asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, fields: dict) -> "Preprocessing":
        """The inverse of `to_json`; fields that are missing have their defaults."""
        return cls(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})
