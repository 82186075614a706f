"""Prior matching: a shared latent space of source and target, in which source labels teach to segment.

Ouyang et al., "Data Efficient Unsupervised Domain Adaptation for Cross-Modality Image Segmentation" (paper
5). It needs the source's labelled scans beside the target's unlabelled ones, of which a single one may do:
it is not source-free, `adapt.json` refuses it and `uda.json` runs it. Subscripts: x_ST is a source image
decoded as a target image, z_S a draw from q(Z | x_S).

The source model comes first: Eqs. 1 to 3, which train E_S, E_Z, D_Z, D_S, Seg and the discriminator. In the
adaptation the same losses go on, and are joined by Eqs. 4 to 7:

    Eq. 1  L_vae^S   rec L1(x_SS, x_S) + kl KL(q(Z | x_S) || N(0, I))          E_S, E_Z, D_Z, D_S
    Eq. 2  L_seg     -Dice(Seg(z_S), y_S) + CE(Seg(z_S), y_S)                  Seg, E_Z
    Eq. 3  L_adv^S   real x_S against x_SS                                     E_S, E_Z, D_Z, D_S | Disc
    Eq. 4  L_vae^T   as Eq. 1 with x_T                                         E_T, D_T
    Eq. 5  L_adv^T   real x_S against x_TS                                     E_T | Disc
    Eq. 6  L_cyc     L1(D_T(D_Z(E_Z(E_S(x_TS)))), x_T)                         E_T, D_T
    Eq. 7  L_task    as Eq. 2 with z_ST of E_T(x_ST)                           Seg, E_Z

Right of each stands what it updates; everything else in its path lets gradients through and is not moved by
them. One optimiser takes one step on the sum (Eq. 8): the discriminator's loss sees fakes without gradient,
the makers' loss a discriminator without.

Where paper and equations leave a choice (*ours*):

- Reconstruction is L1, the log-likelihood of a Laplace distribution; the divergence is a mean over latent
  values.
- Eq. 5 lists D_T among what it updates, which x_TS does not pass.
- In Eqs. 5 and 6 D_T and E_T get gradients through z_T, Eq. 7 none through x_ST.
- The adaptation starts E_T and D_T as copies of E_S and D_S.
- Adam with UNIT's learning rate and first moment; the paper names neither.
- Segmentation of a scan uses the posterior's mean, no draw.
- Seg's batch norm. In training each batch is normalised by its own statistics, and those that run along are
  of z_S and z_ST alone: no z_T enters Seg. The adapted model gets the statistics of z_T, in one walk over the
  target's slices after the last step (`segmenter_statistics`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from monai_sfda.errors import SettingError
from monai_sfda.losses import (
    discriminator_loss,
    generator_loss,
    segmentation_cross_entropy,
    soft_dice_loss,
    standard_normal_divergence,
)
from monai_sfda.methods.base import AdamSettings, Method
from monai_sfda.networks import CrossDomainAutoencoder, Posterior, SegmentationNetwork, fixed
from monai_sfda.release import Release


class PriorMatchingSettings(AdamSettings):
    """Settings of prior matching, the paper's weights first.

    Attributes:
        adam_beta1: Adam's decay of the first moment, lower for adversarial training.
        reconstruction_weight, kl_weight, segmentation_weight, adversarial_weight, cycle_weight: the lambdas
            of Eq. 8; 0 leaves the terms out (the paper's ablations: `kl_weight` 0, `adversarial_weight` 0).
        segmenter_statistics: of the adapted model's batch norm: `target` (of z_T) or `training` (as they ran
            along).
    """

    adam_beta1: float = Field(0.5, ge=0, lt=1)
    reconstruction_weight: float = Field(1.0, ge=0)
    kl_weight: float = Field(0.1, ge=0)
    segmentation_weight: float = Field(1.0, ge=0)
    adversarial_weight: float = Field(1.0, ge=0)
    cycle_weight: float = Field(10.0, ge=0)
    segmenter_statistics: Literal["target", "training"] = "target"


class PriorMatching(Method[PriorMatchingSettings]):
    """Eqs. 1 to 8 of the paper; see the module's text."""

    name = "prior_matching"
    title = "Prior matching"
    requires = frozenset({"source_data"})
    source = (
        "Ouyang et al., Data Efficient Unsupervised Domain Adaptation for Cross-Modality Image Segmentation"
    )
    settings_class = PriorMatchingSettings
    # Its losses are of images and latent maps, not of the target's segmentation.
    optimises = frozenset({"batchnorm"})

    networks: CrossDomainAutoencoder

    def setup(self, network: SegmentationNetwork, release: Release) -> None:
        """Refuses: a release is not enough.

        Raises:
            SettingError: always.
        """
        raise SettingError(
            f"method '{self.name}' needs the source's labelled scans, and adapt.json opens none",
            remedy="run uda.json at a site that has both data sets, or use a source-free method",
        )

    def set_networks(self, networks: CrossDomainAutoencoder) -> None:
        """Takes the networks to train, on their device."""
        self.networks = networks

    def source_step(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Eqs. 1 to 3, the source model's; the named losses are weighted, their sum is minimised.

        Args:
            batch: `image` (B, C, H, W) and `label` (B, 1, H, W) of the source.
        """
        n, s, x_s = self.networks, self.settings, batch["image"]
        h_s = n.path.encoder(x_s)
        posterior = n.posterior(h_s)
        x_ss = n.source_decoder(n.shared_decoder(posterior.sample()))
        losses = self._autoencoder("source", x_ss, x_s, posterior)  # Eq. 1
        if s.segmentation_weight:  # Eq. 2: not through E_S
            z_s = n.posterior(h_s.detach()).sample()
            losses["segmentation"] = s.segmentation_weight * _segmentation(n.segment(z_s), batch["label"])
        if s.adversarial_weight:  # Eq. 3
            losses |= self._adversarial("source", x_s, x_ss)
        return losses

    def step(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Eq. 8, the adaptation's.

        Args:
            batch: as for `source_step`, and `target_image` (B', C, H, W).
            generator: not used: all draws are from torch's own, which the trainer seeds.
        """
        n, s, x_s, x_t = self.networks, self.settings, batch["image"], batch["target_image"]
        losses = self.source_step(batch)
        posterior = n.fixed_posterior(n.target_encoder(x_t))
        d_t = fixed(n.shared_decoder, posterior.sample())
        losses |= self._autoencoder("target", n.target_decoder(d_t), x_t, posterior)  # Eq. 4
        x_ts = fixed(n.source_decoder, d_t)
        if s.adversarial_weight:  # Eq. 5
            losses |= self._adversarial("target", x_s, x_ts)
        if s.cycle_weight:  # Eq. 6
            z_ts = n.fixed_posterior(fixed(n.path.encoder, x_ts)).sample()
            x_tst = n.target_decoder(fixed(n.shared_decoder, z_ts))
            losses["cycle"] = s.cycle_weight * functional.l1_loss(x_tst, x_t)
        if s.segmentation_weight:  # Eq. 7
            with torch.no_grad():
                h_st = n.target_encoder(self.to_target(x_s))
            logits = n.segment(n.posterior(h_st).sample())
            losses["task_consistency"] = s.segmentation_weight * _segmentation(logits, batch["label"])
        return losses

    def to_target(self, x_s: Tensor) -> Tensor:
        """x_ST: source images as the target's scanner would show them."""
        n = self.networks
        x_st: Tensor = n.target_decoder(n.shared_decoder(n.posterior(n.path.encoder(x_s)).sample()))
        return x_st

    @torch.no_grad()
    def observe_target(self, batches: Iterable[Tensor]) -> None:
        """Gives Seg's batch norm the statistics of z_T ~ q(Z | x_T): the mean over batches of theirs.

        Args:
            batches: target images (B, C, H, W), without augmentation.
        """
        n = self.networks.eval()
        layers = [m for m in n.source_path.modules() if isinstance(m, nn.BatchNorm2d)]
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None
            layer.train()
        for x_t in batches:
            n.segment(n.posterior(n.target_encoder(x_t)).sample())
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        n.eval()

    def _autoencoder(
        self, domain: str, decoded: Tensor, image: Tensor, posterior: Posterior
    ) -> dict[str, Tensor]:
        """Reconstruction and prior of Eqs. 1 and 4."""
        s, losses = self.settings, {}
        if s.reconstruction_weight:
            losses[f"{domain}_reconstruction"] = s.reconstruction_weight * functional.l1_loss(decoded, image)
        if s.kl_weight:
            losses[f"{domain}_kl"] = s.kl_weight * standard_normal_divergence(*posterior)
        return losses

    def _adversarial(self, domain: str, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Both sides of Eqs. 3 and 5."""
        weight, discriminator = self.settings.adversarial_weight, self.networks.discriminator
        return {
            f"{domain}_adversarial": weight * generator_loss(fixed(discriminator, fake)),
            f"{domain}_discriminator": weight
            * discriminator_loss(discriminator(real), discriminator(fake.detach())),
        }


def _segmentation(logits: Tensor, label: Tensor) -> Tensor:
    """1 - Dice + weighted cross-entropy of Eqs. 2 and 7."""
    logits = logits.float()
    return soft_dice_loss(logits, label) + segmentation_cross_entropy(logits, label, weighted=True)
