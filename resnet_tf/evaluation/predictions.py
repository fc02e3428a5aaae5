"""What a network said of each record of a split."""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Predictions:
    """A row for each record, in the order of the disk.

    Attributes:
      labels: true classes, int64 `[N]`.
      ranks: number of classes that come before the true one, int32 `[N]`. Equal logits rank by
        class number, the lower first; where a logit is not finite it is the largest int32.
      losses: cross-entropy, float32 `[N]`.
      top: the classes that come first, int32 `[N, k]` with k = 5 or the number of classes.
      scores: their probabilities, float32 `[N, k]`.
      logits: float32 `[N, classes]`, where they were asked for.
    """

    labels: np.ndarray
    ranks: np.ndarray
    losses: np.ndarray
    top: np.ndarray
    scores: np.ndarray
    logits: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def correct(self) -> np.ndarray:
        """Whether the true class comes first, bool `[N]`."""
        return self.ranks < 1

    def counts(self) -> dict:
        """examples, correct_top1, correct_top5, loss, and the shares top1 and top5.

        With fewer than 5 classes all of them are in the top 5. The loss is a float64 mean, None
        where it is not finite.
        """
        number, loss = len(self), float(np.mean(self.losses, dtype=np.float64))
        top1, top5 = (int(np.count_nonzero(self.ranks < k)) for k in (1, 5))
        return {
            "examples": number,
            "correct_top1": top1,
            "correct_top5": top5,
            "loss": loss if math.isfinite(loss) else None,  # JSON has no NaN
            "top1": round(top1 / number, 6),
            "top5": round(top5 / number, 6),
        }
