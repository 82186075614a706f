"""All networks of prior matching: two encoders, two decoders, what they share, and a discriminator."""

from __future__ import annotations

import copy
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from monai_sfda.errors import SettingError
from monai_sfda.networks.latent_segmentation import BRANCH_BLOCKS, LatentSegmentation
from monai_sfda.networks.segmentation import SegmentationNetwork
from monai_sfda.networks.vae import DomainDecoder, PatchDiscriminator, residual_blocks

# Bounds of the log-variance, so that no exponential overflows in half precision.
LOG_VARIANCE = 10.0


class Posterior(NamedTuple):
    """q(Z | x), a Gaussian with diagonal covariance.

    Attributes:
        mean, log_variance: (B, C, h, w).
    """

    mean: Tensor
    log_variance: Tensor

    def sample(self) -> Tensor:
        """One draw by the re-parameterisation trick, from torch's own generator."""
        return self.mean + torch.exp(0.5 * self.log_variance) * torch.randn_like(self.mean)


def fixed(module: nn.Module, x: Tensor) -> Tensor:
    """The module's result, through which gradients reach x but none of the module's parameters.

    For an equation that updates some networks and passes others: parts that keep running statistics must not
    be called so, since they would still update them.
    """
    parameters = {name: p.detach() for name, p in module.named_parameters()}
    out: Tensor = functional_call(module, parameters, (x,))
    return out


class CrossDomainAutoencoder(nn.Module):
    """The networks of paper 5, Figure 1, round a segmentation network.

    Args:
        network: the source's path to segmentations, Seg o E_Z o E_S, with a `LatentSegmentation` as backbone.
            E_T starts as a copy of E_S and D_T of D_S when `start_target` is called.
        discriminator_width: channels of its first convolution.

    Raises:
        SettingError: when the network's backbone is another.
    """

    def __init__(self, network: SegmentationNetwork, discriminator_width: int = 64) -> None:
        super().__init__()
        path = network.backbone
        if not isinstance(path, LatentSegmentation):
            raise SettingError(
                f"prior matching segments a latent map, and the network is a {type(path).__name__}",
                remedy="use LatentSegmentation as backbone of uda_network_def",
            )
        encoder = path.encoder
        self.source_path = network
        self.target_encoder = copy.deepcopy(encoder)
        self.log_variance = residual_blocks(encoder.out_channels, BRANCH_BLOCKS)
        self.shared_decoder = residual_blocks(encoder.out_channels, len(path.shared))
        self.source_decoder = DomainDecoder(encoder)
        self.target_decoder = copy.deepcopy(self.source_decoder)
        self.discriminator = PatchDiscriminator(encoder.in_channels, discriminator_width)

    @property
    def path(self) -> LatentSegmentation:
        """Backbone of the source's path: E_S, E_Z but for its variance, and Seg."""
        return cast(LatentSegmentation, self.source_path.backbone)

    def start_target(self) -> None:
        """Lets the target's encoder and decoder start as copies of the source's."""
        self.target_encoder.load_state_dict(self.path.encoder.state_dict())
        self.target_decoder.load_state_dict(self.source_decoder.state_dict())

    def posterior(self, h: Tensor) -> Posterior:
        """E_Z: features of a domain's encoder to q(Z | x)."""
        shared = self.path.shared(h)
        return Posterior(self.path.mean(shared), self.log_variance(shared).clamp(-LOG_VARIANCE, LOG_VARIANCE))

    def fixed_posterior(self, h: Tensor) -> Posterior:
        """E_Z, whose parameters get no gradient."""
        shared = fixed(self.path.shared, h)
        return Posterior(
            fixed(self.path.mean, shared),
            fixed(self.log_variance, shared).clamp(-LOG_VARIANCE, LOG_VARIANCE),
        )

    def segment(self, z: Tensor) -> Tensor:
        """Seg: a latent map to logits of every pixel of the image."""
        return self.source_path.classify(self.path.segmenter(z))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a source image by the posterior's mean, as the unadapted model gives them."""
        logits: Tensor = self.source_path(x)
        return logits

    def target_path(self) -> SegmentationNetwork:
        """A copy of the target's path to segmentations, Seg o E_Z o E_T: the adapted model."""
        path = copy.deepcopy(self.source_path)
        cast(LatentSegmentation, path.backbone).encoder.load_state_dict(self.target_encoder.state_dict())
        return path
