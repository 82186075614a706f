"""DRN-26, the segmenter of prior matching: a dilated residual network that reads a latent map.

Yu, Koltun and Funkhouser 2017, "Dilated Residual Networks" (arXiv 1705.09914), DRN-C-26: no max pooling
(levels 1 and 2 are residual blocks in its place), dilations 2 and 4 in levels 5 and 6 instead of strides,
and two levels of dilation 2 and 1 without skips that take the gridding away (degridding).

Levels, blocks and dilations are the paper's; a block is two 3x3 convolutions, so that there are 26 layers
with the first convolution and the classifier. Paper 5 changed "the front and the end" and says no more.
*Ours*:

- Front: the first convolution reads the latent map, 4 times smaller than the image already, so that of the
  strides of levels 2 to 4 the last alone is left and the result is 8 times smaller, as in the paper.
- End: for each halving of the image, bilinear enlargement, a 3x3 convolution, batch norm and ReLU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from monai_sfda.errors import SettingError

BLOCKS = (1, 1, 2, 2, 2, 2, 1, 1)
DILATIONS = (1, 1, 1, 1, 2, 4, 2, 1)
# Channels of a level are the first level's times this.
WIDENING = (1, 2, 4, 8, 16, 32, 32, 32)
SKIPS = (True, True, True, True, True, True, False, False)
# Levels that have a stride, counted from 0.
STRIDED = (1, 2, 3)


class DilatedBlock(nn.Module):
    """Two 3x3 convolutions with batch norm; ReLU(x + f(x)), or without skip ReLU(f(x)).

    Shapes:
        (B, inputs, H, W) -> (B, outputs, H / stride, W / stride).
    """

    def __init__(self, inputs: int, outputs: int, stride: int, dilation: int, skip: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, dilation, dilation, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skips = skip
        self.shortcut: nn.Module = nn.Identity()
        if skip and (stride != 1 or inputs != outputs):
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """The block's result."""
        out: Tensor = self.body(x)
        if self.skips:
            out = out + self.shortcut(x)
        return functional.relu(out)


class DRN26(nn.Module):
    """DRN-C-26 from a latent map to an embedding of every pixel of the image.

    Args:
        in_channels: of the latent map.
        out_channels: D of the embedding.
        width: channels of the first level; the widest has 32 times as many, or `most_channels`.
        most_channels: no level is wider.
        strides: of levels 2, 3 and 4.
        enlargement: sides of the image over those of the latent map, a power of 2.

    Shapes:
        (B, in_channels, h, w) -> (B, out_channels, enlargement h, enlargement w); h and w must be multiples
        of the strides' product.

    Raises:
        SettingError: for an enlargement or strides that are no powers of 2.

    Example:
        >>> import torch
        >>> DRN26(8, out_channels=4, width=2).eval()(torch.zeros(1, 8, 16, 16)).shape
        torch.Size([1, 4, 64, 64])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        width: int = 16,
        most_channels: int = 512,
        strides: Sequence[int] = (1, 1, 2),
        enlargement: int = 4,
    ) -> None:
        super().__init__()
        halvings = math.log2(enlargement * math.prod(strides))
        if len(strides) != len(STRIDED) or not halvings.is_integer():
            raise SettingError(
                f"strides {list(strides)} with an enlargement of {enlargement} are not possible",
                remedy="give three strides, each 1 or 2, and an enlargement that is a power of 2",
            )
        channels = [min(width * factor, most_channels) for factor in WIDENING]
        self.front = nn.Sequential(
            nn.Conv2d(in_channels, channels[0], 7, padding=3, bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(inplace=True),
        )
        blocks: list[nn.Module] = []
        inputs = channels[0]
        for level, (count, outputs) in enumerate(zip(BLOCKS, channels, strict=True)):
            for block in range(count):
                first = level in STRIDED and block == 0
                stride = strides[STRIDED.index(level)] if first else 1
                blocks.append(DilatedBlock(inputs, outputs, stride, DILATIONS[level], SKIPS[level]))
                inputs = outputs
        self.levels = nn.Sequential(*blocks)
        end: list[nn.Module] = [nn.Conv2d(inputs, out_channels, 1)]
        for _ in range(int(halvings)):
            end += [
                nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False),
                nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
            ]
        self.end = nn.Sequential(*end)

    def forward(self, z: Tensor) -> Tensor:
        """The embedding of every pixel of the image."""
        out: Tensor = self.end(self.levels(self.front(z)))
        return out
