"""Parts of the cross-domain variational autoencoder of prior matching, laid out as in UNIT.

Liu, Breuel and Kautz 2017, "Unsupervised Image-to-Image Translation Networks" (arXiv 1703.00848), appendix:
an encoder is a 7x7 convolution, two 3x3 convolutions of stride 2, each of twice the channels, and three
residual blocks; what the domains share are further residual blocks; a decoder is the encoder's mirror image;
leaky ReLU throughout. Paper 5 takes its layouts from such a network and prints none.

*Ours*, where both are silent:

- Residual blocks have instance norm, the other convolutions no norm.
- A decoder enlarges by nearest neighbours and a 3x3 convolution, which leaves no checkerboard, and ends
  linearly: our images have zero mean and unit variance, not the range of a tanh.
- The discriminator has no norm and gives a logit for each patch of the image.
"""

from __future__ import annotations

from torch import Tensor, nn

SLOPE = 0.2


class ResidualBlock(nn.Module):
    """x + f(x), f two 3x3 convolutions with instance norm.

    Shapes:
        (B, channels, H, W) -> the same shape.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The block's result."""
        out: Tensor = x + self.body(x)
        return out


def residual_blocks(channels: int, count: int) -> nn.Sequential:
    """So many residual blocks, one after the other."""
    return nn.Sequential(*[ResidualBlock(channels) for _ in range(count)])


class DomainEncoder(nn.Module):
    """E_S or E_T: image to features, which the shared encoder reads.

    Args:
        in_channels: of the image.
        width: channels of the first convolution.
        halvings: convolutions of stride 2.
        blocks: residual blocks.

    Shapes:
        (B, in_channels, H, W) -> (B, width * 2^halvings, H / 2^halvings, W / 2^halvings).
    """

    def __init__(self, in_channels: int = 3, width: int = 64, halvings: int = 2, blocks: int = 3) -> None:
        super().__init__()
        self.in_channels, self.width, self.halvings, self.blocks = in_channels, width, halvings, blocks
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 7, padding=3), nn.LeakyReLU(SLOPE)]
        for _ in range(halvings):
            layers += [nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
            width *= 2
        self.out_channels = width
        self.layers = nn.Sequential(*layers, residual_blocks(width, blocks))

    def forward(self, x: Tensor) -> Tensor:
        """The features."""
        out: Tensor = self.layers(x)
        return out


class DomainDecoder(nn.Module):
    """D_S or D_T: what the shared decoder gives, to an image; the mirror image of `DomainEncoder`.

    Shapes:
        (B, encoder.out_channels, h, w) -> (B, encoder.in_channels, h 2^halvings, w 2^halvings).
    """

    def __init__(self, encoder: DomainEncoder) -> None:
        super().__init__()
        channels = encoder.out_channels
        layers: list[nn.Module] = [residual_blocks(channels, encoder.blocks)]
        for _ in range(encoder.halvings):
            layers += [
                nn.Upsample(scale_factor=2.0, mode="nearest"),
                nn.Conv2d(channels, channels // 2, 3, padding=1),
                nn.LeakyReLU(SLOPE),
            ]
            channels //= 2
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, encoder.in_channels, 1))

    def forward(self, h: Tensor) -> Tensor:
        """The image."""
        out: Tensor = self.layers(h)
        return out


class PatchDiscriminator(nn.Module):
    """Disc: whether each patch of an image is of a real source image; logits.

    Args:
        in_channels: of the image.
        width: channels of the first convolution; each further one has twice as many.
        halvings: convolutions of stride 2.

    Shapes:
        (B, in_channels, H, W) -> (B, 1, H / 2^halvings, W / 2^halvings).
    """

    def __init__(self, in_channels: int = 3, width: int = 64, halvings: int = 4) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(halvings):
            layers += [nn.Conv2d(in_channels, width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
            in_channels, width = width, 2 * width
        self.layers = nn.Sequential(*layers, nn.Conv2d(in_channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        out: Tensor = self.layers(x)
        return out
