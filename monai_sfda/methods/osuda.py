"""OSUDA: source-free adaptation of an off-the-shelf segmenter through its batch norm alone.

Liu et al., "Adapting Off-the-Shelf Source Segmenter for Target Medical Image Segmentation" (MICCAI 2021;
paper 3). Of the source it needs the weights, with their batch-norm statistics. Per layer l, channel c and
iteration t = 0, 1, ...:

1. Low-order statistics pass over to the target (Eq. 3). A batch is normalised with

       mu_t = (1 - eta_t) mu_batch + eta_t mu_S,   the same for the variance,   eta_t = eta_0 exp(-t / T).

2. High-order statistics, scale gamma and shift beta, stay near the source's (Eqs. 4 and 5), the more so the
   more transferable a channel is:

       L_HBS = sum_lc (1 + a_lc) (|gamma_S - gamma_t| + |beta_S - beta_t|)
       d_lc  = |mu_S / sqrt(var_S + eps) - mu_t / sqrt(var_t + eps)|
       a_lc  = C_total (1 + d_lc)^-1 / sum (1 + d)^-1

3. The entropy of the predictions falls (Eq. 6), with a weight that goes linearly from 10 to 0:

       L = L_HBS + lambda L_SE,   L_SE = mean over pixels of -sum_k p_k log p_k.

All weights of the network are trained.

Where the paper is wrong or silent:

- Eq. 6 lacks the minus. The paper normalises a by layers times channels, which supposes equally wide layers;
  C_total is the number of channels of all layers, so that a has mean 1.
- The paper gives neither eta_0 nor a scale of t; with t in iterations the source would be forgotten within
  five steps. *Ours*: eta_0 = 1 (the first batch is normalised as in the source model) and a time constant T.
- *Ours*: d is taken from the blended statistics, and no gradient flows through a.
- *Ours*: evaluation uses running statistics that follow the blended ones, not those of a last batch. The
  weights go back into the plain network.
- L_HBS as a sum grows with the network. `reduction` `mean` is C_ref times the mean over channels, or, but for
  a factor, the plain mean beside lambda / C_ref: the same loss as the sum where C_total = C_ref
  (`reference_channels`), here that of a plain 2D U-Net of widths 64 to 1024 with batch norm. `sum` is the
  default.
- Adam's settings are *ours*; the paper names no optimiser. The steps are small: entropy falls fastest where
  small structures turn into background, and L_HBS holds scales and shifts alone, not the other weights.

Ablations: OSUDA-AC (`channel_weighting` off) has a = 1, its mean, so that L_HBS keeps its weight (*ours*).
OSUDA-SE (`entropy` off): L_HBS starts at its minimum 0 and nothing moves the weights, so that only the
statistics adapt. `eta_decay` off keeps eta at eta_0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from monai_sfda.losses import batchnorm_consistency, channel_distance, mean_entropy, transferability
from monai_sfda.methods.base import CERTAINTY, AdamSettings, Method, affine_batchnorms
from monai_sfda.networks import BlendedBatchNorm, SegmentationNetwork, blend_batchnorms
from monai_sfda.release import Release


class OSUDASettings(AdamSettings):
    """Settings of OSUDA, the paper's defaults where it has any.

    Attributes:
        eta_0: the source's share in the statistics of the first iteration.
        time_constant: T, iterations in which that share falls to 1/e.
        eta_decay: whether it falls at all.
        statistics_momentum: of the running statistics that evaluation uses.
        channel_weighting: weigh channels by their transferability; off is OSUDA-AC.
        reduction: of L_HBS over channels.
        reference_channels: C_ref, the number of channels at which `mean` and `sum` are the same.
        entropy: minimise the entropy; off is OSUDA-SE.
        entropy_weight_start, entropy_weight_end: lambda at the first and at the last iteration, linear
            between.
    """

    learning_rate: float = Field(1e-5, gt=0)
    eta_0: float = Field(1.0, ge=0, le=1)
    time_constant: float = Field(50.0, gt=0)
    eta_decay: bool = True
    statistics_momentum: float = Field(0.1, gt=0, le=1)
    channel_weighting: bool = True
    reduction: Literal["sum", "mean"] = "sum"
    reference_channels: int = Field(5888, ge=1)
    entropy: bool = True
    entropy_weight_start: float = Field(10.0, ge=0)
    entropy_weight_end: float = Field(0.0, ge=0)


class OSUDA(Method[OSUDASettings]):
    """See the module's text."""

    name = "osuda"
    title = "OSUDA"
    requires = frozenset({"batchnorm"})
    source = (
        "Liu et al., Adapting Off-the-Shelf Source Segmenter for Target Medical Image Segmentation (OSUDA)"
    )
    settings_class = OSUDASettings
    # Entropy is a loss; running statistics follow those that batches are normalised with, the target's.
    optimises = CERTAINTY | {"batchnorm"}

    def setup(self, network: SegmentationNetwork, release: Release) -> None:
        """Takes the network and keeps the source's statistics, scales and shifts, which are in it."""
        super().setup(network, release)
        affine_batchnorms(network, self.name)
        self._blended = blend_batchnorms(network, self.settings.statistics_momentum)
        self._layers = [layer for layer in self._blended if layer.affine]
        self._source_scale = torch.cat([layer.weight for layer in self._layers]).detach().clone()
        self._source_shift = torch.cat([layer.bias for layer in self._layers]).detach().clone()
        self.start_iteration(1, 1)

    def start_iteration(self, iteration: int, iterations: int) -> None:
        """Sets eta_t and lambda."""
        settings = self.settings
        falls = math.exp(-(iteration - 1) / settings.time_constant) if settings.eta_decay else 1.0
        for layer in self._blended:
            layer.eta = settings.eta_0 * falls
        done = (iteration - 1) / max(iterations - 1, 1)
        start, end = settings.entropy_weight_start, settings.entropy_weight_end
        self._entropy_weight = start + (end - start) * done

    def step(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Losses `consistency` (L_HBS) and `entropy` (lambda L_SE)."""
        logits = self.network(batch["image"])
        losses = {"consistency": self._consistency()}
        if self.settings.entropy:
            losses["entropy"] = self._entropy_weight * mean_entropy(logits)
        return losses

    def _consistency(self) -> Tensor:
        """L_HBS of the network as it is, with the statistics of the last batch."""
        settings = self.settings
        distance = self._distance()
        loss = batchnorm_consistency(
            self._source_scale,
            torch.cat([layer.weight for layer in self._layers]),
            self._source_shift,
            torch.cat([layer.bias for layer in self._layers]),
            transferability(distance) if settings.channel_weighting else torch.ones_like(distance),
            settings.reduction,
        )
        return settings.reference_channels * loss if settings.reduction == "mean" else loss

    def _distance(self) -> Tensor:
        """(C_total,) distances d of all channels."""
        return torch.cat([_layer_distance(layer) for layer in self._layers])

    def signals(self) -> dict[str, float]:
        """eta, lambda, and the mean over channels of d."""
        return {
            "eta": self._blended[0].eta,
            "lambda": self._entropy_weight if self.settings.entropy else 0.0,
            "distance": float(self._distance().mean()),
        }


def _layer_distance(layer: BlendedBatchNorm) -> Tensor:
    return channel_distance(layer.source_mean, layer.source_variance, layer.mean, layer.variance, layer.eps)
