"""A segmentation network as features plus classifier, round any network of MONAI."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_sfda.errors import SettingError


class SegmentationNetwork(nn.Module):
    """Splits a network into an embedding of every pixel and a linear classifier on it.

    Alignment methods compare the domains in the embedding z = features(x) and leave the decision to the
    classifier, a 1x1 convolution, so that the class of an embedding can be told without its neighbours.

    Args:
        backbone: any network (B, C, *spatial) -> (B, D, *spatial) at the input's resolution, e.g. a MONAI
            network whose `out_channels` is D.
        embedding_channels: D.
        num_classes: K, background included.
        spatial_dims: 2 or 3.
        dropout: probability of dropping an embedding channel's value before the classifier, in training
            alone.

    Shapes:
        features: (B, C, *spatial) -> (B, D, *spatial).
        classify: (B, D, *spatial) -> (B, K, *spatial), logits.
        forward: classify(features(x)).

    Example:
        >>> from monai.networks.nets import UNet
        >>> unet = UNet(2, in_channels=3, out_channels=8, channels=(8, 16), strides=(2,), norm="batch")
        >>> SegmentationNetwork(unet, embedding_channels=8, num_classes=5)(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 5, 32, 32])
    """

    def __init__(
        self,
        backbone: nn.Module,
        embedding_channels: int,
        num_classes: int,
        spatial_dims: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise SettingError(f"spatial_dims {spatial_dims} is not possible", remedy="use 2 or 3")
        if num_classes < 2:
            raise SettingError(
                f"num_classes {num_classes} is not possible", remedy="count background too: 2 or more"
            )
        convolution = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
        self.embedding_channels = embedding_channels
        self.num_classes = num_classes
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.classifier = convolution(embedding_channels, num_classes, kernel_size=1)

    @torch.jit.export
    def features(self, x: Tensor) -> Tensor:
        """The embedding of every pixel, (B, C, *spatial) -> (B, D, *spatial)."""
        z: Tensor = self.backbone(x)
        return z

    @torch.jit.export
    def classify(self, z: Tensor) -> Tensor:
        """Logits of every embedding, (B, D, *spatial) -> (B, K, *spatial)."""
        logits: Tensor = self.classifier(self.dropout(z))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every pixel, (B, C, *spatial) -> (B, K, *spatial)."""
        return self.classify(self.features(x))


def classify_points(network: SegmentationNetwork, points: Tensor, *, dropout: bool = True) -> Tensor:
    """Logits of embedded points that have no place in an image.

    Args:
        network: whose classifier is asked.
        points: (N, D).
        dropout: whether the network's dropout acts, in training mode.

    Returns:
        (N, K) logits.
    """
    spatial = [1] * (network.classifier.weight.dim() - 2)
    z = points.reshape(*points.shape, *spatial)
    logits: Tensor = network.classify(z) if dropout else network.classifier(z)
    return logits.flatten(1)
