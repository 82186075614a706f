"""DeepLabV3 on VGG16, the network of SFS: VGG16 with dilated last blocks, atrous pyramid, head.

SFS (paper 1, appendix): pools 4 and 5 are removed and blocks 4 and 5 dilated by 2 and 4, so that features
keep an eighth of the input's resolution; the pyramid has a 1x1 and three 3x3 convolutions at rates 12, 24, 36
and image pooling, 256 channels each; its output is projected, convolved once more, mapped to the embedding
and resized to the input.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from monai_sfda.checkpoints import load_weights
from monai_sfda.errors import CheckpointError

# Channels of VGG16's convolutions, block by block (Simonyan and Zisserman 2015, configuration D).
VGG16_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
# SFS: blocks 4 and 5 are dilated in place of the pools after them.
DILATIONS = (1, 1, 1, 2, 4)
POOLED_BLOCKS = 3
PYRAMID_RATES = (12, 24, 36)
PYRAMID_CHANNELS = 256


def vgg16_features(in_channels: int = 3, *, batch_norm: bool = False) -> nn.Sequential:
    """The convolutional part of VGG16 at stride 8.

    Modules stand at the same indices as in torchvision's `vgg16().features` (`vgg16_bn` with batch norm):
    where that has pools 4 and 5, an identity stands, so that its ImageNet weights fit by name.

    Args:
        in_channels: of the image.
        batch_norm: after every convolution, as `vgg16_bn`, for methods that adapt batch-norm statistics.

    Shapes:
        (B, in_channels, H, W) -> (B, 512, H / 8, W / 8).
    """
    layers: list[nn.Module] = []
    channels = in_channels
    for block, (widths, dilation) in enumerate(zip(VGG16_BLOCKS, DILATIONS, strict=True)):
        for width in widths:
            layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=dilation, dilation=dilation))
            if batch_norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU(inplace=True))
            channels = width
        layers.append(nn.MaxPool2d(2) if block < POOLED_BLOCKS else nn.Identity())
    return nn.Sequential(*layers)


def _convolution(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False),
            norm=nn.BatchNorm2d(outputs),
            relu=nn.ReLU(inplace=True),
        )
    )


class AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling (Chen et al. 2017, DeepLabV3) with projection and dropout.

    Args:
        in_channels: of the features.
        channels: of each branch and of the result.
        rates: dilations of the 3x3 branches.
        dropout: after the projection.

    Shapes:
        (B, in_channels, H, W) -> (B, channels, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = PYRAMID_CHANNELS,
        rates: tuple[int, ...] = PYRAMID_RATES,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.point = _convolution(in_channels, channels, 1)
        self.atrous = nn.ModuleList([_convolution(in_channels, channels, 3, rate) for rate in rates])
        self.pooling = _convolution(in_channels, channels, 1)
        self.project = _convolution(channels * (len(rates) + 2), channels, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """The concatenated branches, projected."""
        branches = [self.point(x)]
        for branch in self.atrous:
            branches.append(branch(x))
        pooled = self.pooling(x.mean(dim=(2, 3), keepdim=True))
        branches.append(pooled.expand(-1, -1, x.shape[2], x.shape[3]))
        out: Tensor = self.dropout(self.project(torch.cat(branches, dim=1)))
        return out


class DeepLabV3VGG16(nn.Module):
    """Embedding network of SFS at full size; wrap it in `SegmentationNetwork` with a 1x1 classifier.

    In training mode the image-pooling branch has one value a channel and image, so that its batch norm needs
    batches of at least 2.

    Args:
        in_channels: of the image: 3 for three-slice stacks.
        out_channels: D of the embedding; the paper's D is the number of classes.
        batch_norm: VGG16 with batch norm.
        dropout: of the pyramid.

    Shapes:
        (B, in_channels, H, W) -> (B, out_channels, H, W); H and W at least 8.

    Example:
        >>> DeepLabV3VGG16(out_channels=5).eval()(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 5, 32, 32])

    Source: Stan and Rostami (SFS), appendix; Chen et al. 2017, arXiv 1706.05587.
    """

    def __init__(
        self, in_channels: int = 3, out_channels: int = 5, *, batch_norm: bool = False, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.encoder = vgg16_features(in_channels, batch_norm=batch_norm)
        self.pyramid = AtrousPyramid(VGG16_BLOCKS[-1][-1], dropout=dropout)
        self.head = _convolution(PYRAMID_CHANNELS, PYRAMID_CHANNELS, 3)
        self.embedding = nn.Conv2d(PYRAMID_CHANNELS, out_channels, kernel_size=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The embedding of every pixel."""
        z: Tensor = self.embedding(self.head(self.pyramid(self.encoder(x))))
        return functional.interpolate(z, size=[x.shape[2], x.shape[3]], mode="bilinear", align_corners=False)


def load_imagenet_weights(network: DeepLabV3VGG16, path: Path) -> None:
    """Puts torchvision's ImageNet weights of `vgg16` or `vgg16_bn` into the encoder.

    Args:
        network: with three input channels; with batch norm for the weights of `vgg16_bn`.
        path: a state dict as torchvision distributes it (`vgg16-397923af.pth`), or its `features` alone.

    Raises:
        CheckpointError: when the file cannot be read or is of another network.
    """
    load_features(network, load_weights(path), path)


def load_features(network: DeepLabV3VGG16, weights: Mapping[str, Tensor], path: Path | None = None) -> None:
    """The same from a state dict in memory."""
    prefix = "features."
    features = {
        n.removeprefix(prefix): t for n, t in weights.items() if n.startswith(prefix) or n[0].isdigit()
    }
    own = network.encoder.state_dict()
    optional = {name for name in own if name.endswith("num_batches_tracked")}
    wrong = [n for n in own if n not in optional and (n not in features or features[n].shape != own[n].shape)]
    if wrong or features.keys() - own.keys():
        raise CheckpointError(
            f"no ImageNet weights of this VGG16 ({len(wrong)} parameters missing or of another shape)",
            path=path,
            remedy="give torchvision's state dict of vgg16, or of vgg16_bn for a network with batch norm",
        )
    network.encoder.load_state_dict(features, strict=False)
