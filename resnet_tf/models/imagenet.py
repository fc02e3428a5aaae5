"""What the residual networks for ImageNet share: depths, options, and how stages are laid out."""

import dataclasses

from resnet_tf.models.classifier import Classifier
from resnet_tf.models.residual import Block, ResidualOptions, set_drop_rates

# depth -> blocks in stage1 to stage4; below 50 basic ones, from 50 on bottlenecks
BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageNetOptions(ResidualOptions):
    """Options of all networks for ImageNet.

    Attributes:
      depth: a key of `BLOCKS`.
      output_stride: 32, 16 or 8: input size over that of the last feature map; stages that
        no longer stride dilate instead (Chen et al. 2017, arXiv 1706.05587), the first
        block of each with the dilation before it.
    """

    depth: int
    num_classes: int = 1000
    output_stride: int = 32

    def __post_init__(self):
        super().__post_init__()
        if self.depth not in BLOCKS:
            raise ValueError(
                f"depth must be one of {', '.join(map(str, BLOCKS))}, got {self.depth}"
            )
        if self.output_stride not in (8, 16, 32):
            raise ValueError(f"output_stride must be 8, 16 or 32, got {self.output_stride}")

    def stages(self) -> list[list[tuple[int, tuple[int, int]]]]:
        """For each stage, for each block: stride, and dilations before and behind it."""
        reached, dilation, stages = 4, 1, []
        for blocks, stride in zip(BLOCKS[self.depth], (1, 2, 2, 2)):
            before = dilation
            if reached * stride > self.output_stride:
                dilation, stride = dilation * stride, 1
            reached *= stride
            first, others = (stride, (before, dilation)), (1, (dilation, dilation))
            stages.append([first] + [others] * (blocks - 1))
        return stages


def make_stages(model: Classifier, block: type[Block], **makers) -> int:
    """Sets `stage1` to `stage4` of a network for ImageNet; returns their last channels."""
    options = model.options
    channels_in = options.width(64)
    for number, plan in enumerate(options.stages()):
        channels, stage = options.width(64 * 2**number), []
        for stride, dilations in plan:
            stage.append(
                block(channels_in, channels, stride, dilations=dilations, options=options, **makers)
            )
            channels_in = block.expansion * channels
        setattr(model, f"stage{number + 1}", stage)
    set_drop_rates(model, options.stochastic_depth)
    return channels_in
