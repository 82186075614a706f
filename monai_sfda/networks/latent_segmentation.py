"""Segmentation on the latent map of a variational autoencoder: what prior matching trains and hands over."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from monai_sfda.networks.drn import DRN26
from monai_sfda.networks.vae import DomainEncoder, residual_blocks

BRANCH_BLOCKS = 2
"""Residual blocks of E_Z that predict the posterior's mean; as many others predict its variance."""


class LatentSegmentation(nn.Module):
    """E_Z o E, the posterior's mean alone, then Seg; wrap it in `SegmentationNetwork`.

    With the target's encoder this is the adapted model, with the source's the unadapted one. The other parts
    of the autoencoder are `CrossDomainAutoencoder`'s and are not needed for inference.

    Args:
        in_channels: of the image: 3 for three-slice stacks.
        out_channels: D of the embedding.
        width, halvings, blocks: of the domain's encoder.
        shared_blocks: residual blocks of E_Z before mean and variance part.
        segmenter_width, segmenter_most_channels, segmenter_strides: of DRN-26.

    Shapes:
        (B, in_channels, H, W) -> (B, out_channels, H, W); H and W must be multiples of 2^halvings times the
        segmenter's strides.

    Example:
        >>> import torch
        >>> LatentSegmentation(3, 4, width=4, segmenter_width=2).eval()(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 4, 32, 32])
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 32,
        *,
        width: int = 64,
        halvings: int = 2,
        blocks: int = 3,
        shared_blocks: int = 1,
        segmenter_width: int = 16,
        segmenter_most_channels: int = 512,
        segmenter_strides: Sequence[int] = (1, 1, 2),
    ) -> None:
        super().__init__()
        self.encoder = DomainEncoder(in_channels, width, halvings, blocks)
        channels = self.encoder.out_channels
        self.shared = residual_blocks(channels, shared_blocks)
        self.mean = residual_blocks(channels, BRANCH_BLOCKS)
        self.segmenter = DRN26(
            channels,
            out_channels,
            width=segmenter_width,
            most_channels=segmenter_most_channels,
            strides=segmenter_strides,
            enlargement=2**halvings,
        )

    def forward(self, x: Tensor) -> Tensor:
        """The embedding of every pixel."""
        out: Tensor = self.segmenter(self.mean(self.shared(self.encoder(x))))
        return out
