"""ENet, the network of AdaEnt: a small encoder and a smaller decoder, made of bottlenecks.

Paszke et al. 2016, "ENet: A Deep Neural Network Architecture for Real-Time Semantic Segmentation" (arXiv
1606.02147), Table 1 and Figure 2, whose numbers of stages and bottlenecks stand in the comments.

Where the paper is silent, or we differ (*ours*):

- Convolutions before a batch norm have no bias, which it would take away again.
- Upsampling convolutions are transposed ones, 3x3 of stride 2, the last one too.
- Sides that are no multiple of 8 are padded by their border, and the result is cut.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# The encoder divides each side by this.
STRIDE = 8
INITIAL_CHANNELS, FIRST_CHANNELS, SECTION_CHANNELS = 16, 64, 128
# A bottleneck is this many times narrower inside than its result.
REDUCTION = 4
# The eight bottlenecks of stages 2 and 3: a dilation, or 0 for the asymmetric convolution.
SECTION = (1, 2, 0, 4, 1, 8, 0, 16)
ASYMMETRIC_SIZE = 5


def _norm(channels: int) -> nn.Sequential:
    """Batch norm, then PReLU with a slope a channel."""
    return nn.Sequential(nn.BatchNorm2d(channels), nn.PReLU(channels))


def _inner_convolution(channels: int, dilation: int) -> nn.Module:
    """3x3, dilated, or for dilation 0 asymmetric: 5x1 and 1x5."""
    if dilation > 0:
        return nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
    size, half = ASYMMETRIC_SIZE, ASYMMETRIC_SIZE // 2
    return nn.Sequential(
        nn.Conv2d(channels, channels, (size, 1), padding=(half, 0), bias=False),
        nn.Conv2d(channels, channels, (1, size), padding=(0, half), bias=False),
    )


def _doubling_convolution(inputs: int, outputs: int, *, bias: bool = False) -> nn.ConvTranspose2d:
    """Transposed 3x3 convolution to twice the side."""
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1, bias=bias)


class InitialBlock(nn.Module):
    """A 3x3 convolution of stride 2 beside max pooling (Figure 2a).

    Shapes:
        (B, in_channels, H, W) -> (B, max(16, in_channels + 1), H / 2, W / 2): with 3 channels, 13 of the 16
        are the convolution's.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.out_channels = max(INITIAL_CHANNELS, in_channels + 1)
        self.conv = nn.Conv2d(
            in_channels, self.out_channels - in_channels, 3, stride=2, padding=1, bias=False
        )
        self.pool = nn.MaxPool2d(2)
        self.norm = _norm(self.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Both, concatenated."""
        out: Tensor = self.norm(torch.cat([self.conv(x), self.pool(x)], dim=1))
        return out


class Bottleneck(nn.Module):
    """PReLU(x + extension(x)): projection, convolution, expansion, spatial dropout (Figure 2b).

    Args:
        channels: of input and result.
        dilation: of the convolution; 0 for the asymmetric one.
        dropout: probability of dropping a channel of the extension.
    """

    def __init__(self, channels: int, dilation: int = 1, dropout: float = 0.1) -> None:
        super().__init__()
        inner = channels // REDUCTION
        self.extension = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False),
            _norm(inner),
            _inner_convolution(inner, dilation),
            _norm(inner),
            nn.Conv2d(inner, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.Dropout2d(dropout),
        )
        self.activation = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> the same shape."""
        out: Tensor = self.activation(x + self.extension(x))
        return out


class DownsamplingBottleneck(nn.Module):
    """Max pooling, widened by zero channels, plus an extension that starts with a 2x2 convolution, stride 2.

    Shapes:
        (B, inputs, H, W) -> (B, outputs, H / 2, W / 2), and the pooling's indices (B, inputs, H / 2, W / 2).
    """

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        inner = outputs // REDUCTION
        self.further_channels = outputs - inputs
        self.extension = nn.Sequential(
            nn.Conv2d(inputs, inner, 2, stride=2, bias=False),
            _norm(inner),
            _inner_convolution(inner, 1),
            _norm(inner),
            nn.Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.Dropout2d(dropout),
        )
        self.activation = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Result and indices."""
        pooled, indices = functional.max_pool2d(x, 2, return_indices=True)
        widened = functional.pad(pooled, [0, 0, 0, 0, 0, self.further_channels])
        return self.activation(widened + self.extension(x)), indices


def unpool(x: Tensor, indices: Tensor) -> Tensor:
    """Puts each value back to where its maximum was, zeros elsewhere.

    Args:
        x: (B, C, H, W) values.
        indices: (B, C, H, W) of `max_pool2d(..., 2, return_indices=True)`: pixels counted along the rows of
            (2 H, 2 W).

    Returns:
        (B, C, 2 H, 2 W).
    """
    # TorchScript cannot read what follows, and would read a comment behind the ignore as a type.
    if torch.jit.is_scripting():  # type: ignore[attr-defined]
        return functional.max_unpool2d(x, indices, [2, 2])
    if torch.onnx.is_in_onnx_export():
        return unpool_by_comparison(x, indices)
    return functional.max_unpool2d(x, indices, [2, 2])


def unpool_by_comparison(x: Tensor, indices: Tensor) -> Tensor:
    """The same as `unpool`, slower, of operations that export to ONNX: each value is repeated over its 2x2
    pixels and kept where the pixel's number is the maximum's.
    """
    height, width = 2 * x.shape[2], 2 * x.shape[3]
    pixel = torch.arange(height * width, device=x.device).reshape(height, width)
    return torch.where(_doubled(indices) == pixel, _doubled(x), 0.0)


def _doubled(x: Tensor) -> Tensor:
    """Every pixel as 2x2 pixels, (B, C, H, W) -> (B, C, 2 H, 2 W)."""
    b, c, h, w = x.shape[0], x.shape[1], x.shape[2], x.shape[3]
    return x[:, :, :, None, :, None].expand(b, c, h, 2, w, 2).reshape(b, c, 2 * h, 2 * w)


class UpsamplingBottleneck(nn.Module):
    """Max unpooling after a 1x1 convolution, plus an extension with a transposed convolution.

    Shapes:
        (B, inputs, H, W) and indices (B, outputs, H, W) -> (B, outputs, 2 H, 2 W).
    """

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        inner = outputs // REDUCTION
        self.project = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.extension = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, bias=False),
            _norm(inner),
            _doubling_convolution(inner, inner),
            _norm(inner),
            nn.Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.Dropout2d(dropout),
        )
        self.activation = nn.PReLU(outputs)

    def forward(self, x: Tensor, indices: Tensor) -> Tensor:
        """Each value goes back to where its maximum was."""
        unpooled = unpool(self.project(x), indices)
        out: Tensor = self.activation(unpooled + self.extension(x))
        return out


class ENet(nn.Module):
    """Embedding network of AdaEnt; wrap it in `SegmentationNetwork` with a 1x1 classifier.

    Args:
        in_channels: of the image: 3 for three-slice stacks.
        out_channels: D of the embedding; the number of classes in the paper.
        dropout: spatial dropout in the bottlenecks of stage 1, and of the later ones.

    Shapes:
        (B, in_channels, H, W) -> (B, out_channels, H, W).

    Example:
        >>> ENet(out_channels=5).eval()(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 5, 32, 32])

    Source: Paszke et al. 2016, Table 1.
    """

    def __init__(
        self, in_channels: int = 3, out_channels: int = 5, *, dropout: tuple[float, float] = (0.01, 0.1)
    ) -> None:
        super().__init__()
        early, late = dropout
        self.stride = STRIDE
        self.initial = InitialBlock(in_channels)
        initial = self.initial.out_channels
        self.down1 = DownsamplingBottleneck(initial, FIRST_CHANNELS, early)  # bottleneck 1.0
        self.stage1 = nn.Sequential(*[Bottleneck(FIRST_CHANNELS, 1, early) for _ in range(4)])
        self.down2 = DownsamplingBottleneck(FIRST_CHANNELS, SECTION_CHANNELS, late)  # bottleneck 2.0
        self.stage2 = nn.Sequential(*[Bottleneck(SECTION_CHANNELS, d, late) for d in SECTION])
        self.stage3 = nn.Sequential(*[Bottleneck(SECTION_CHANNELS, d, late) for d in SECTION])
        self.up4 = UpsamplingBottleneck(SECTION_CHANNELS, FIRST_CHANNELS, late)  # bottleneck 4.0
        self.stage4 = nn.Sequential(*[Bottleneck(FIRST_CHANNELS, 1, late) for _ in range(2)])
        self.up5 = UpsamplingBottleneck(FIRST_CHANNELS, initial, late)  # bottleneck 5.0
        self.stage5 = Bottleneck(initial, 1, late)
        self.full = _doubling_convolution(initial, out_channels, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """The embedding of every pixel."""
        height, width = x.shape[2], x.shape[3]
        x = functional.pad(x, [0, -width % self.stride, 0, -height % self.stride], mode="replicate")
        x, where1 = self.down1(self.initial(x))
        x, where2 = self.down2(self.stage1(x))
        x = self.stage3(self.stage2(x))
        x = self.stage4(self.up4(x, where2))
        x = self.full(self.stage5(self.up5(x, where1)))
        return x[:, :, :height, :width]
