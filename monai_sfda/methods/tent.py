"""Tent: entropy minimisation by the scales and shifts of batch norm.

Wang et al., "Tent: Fully Test-Time Adaptation by Entropy Minimization" (ICLR 2021). Each step normalises a
target batch with its own statistics and minimises the mean entropy of the predictions,

    L = mean -sum_k p_k log p_k,

over gamma and beta of all batch norms. Every other weight stays the source's.

*Ours*, where the paper adapts to the very batch that it predicts:

- Many steps on the unlabelled scans of the target, after which the model is one for all: it is evaluated with
  running statistics, which follow those of the batches and forget the source's.
- Dropout is off, so that the entropy is that of the predictions that the model will make.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from monai_sfda.losses import mean_entropy
from monai_sfda.methods.base import CERTAINTY, AdamSettings, Method, affine_batchnorms
from monai_sfda.networks import SegmentationNetwork, keeps_statistics
from monai_sfda.release import Release


class TentSettings(AdamSettings):
    """Settings of Tent: Adam at 1e-3, the paper's for all but ImageNet."""

    learning_rate: float = Field(1e-3, gt=0)


class Tent(Method[TentSettings]):
    """See the module's text."""

    name = "tent"
    title = "Tent"
    requires = frozenset({"batchnorm"})
    source = "Wang et al., Tent: Fully Test-Time Adaptation by Entropy Minimization"
    settings_class = TentSettings
    # The loss is the entropy, and running statistics follow the target.
    optimises = CERTAINTY | {"batchnorm"}

    def setup(self, network: SegmentationNetwork, release: Release) -> None:
        """Takes the network; gradients are computed for scales and shifts alone."""
        super().setup(network, release)
        layers = affine_batchnorms(network, self.name)
        network.requires_grad_(False)
        for layer in layers:
            layer.weight.requires_grad_(True)
            layer.bias.requires_grad_(True)

    def set_mode(self) -> None:
        """Batch norm takes the batch's statistics; the rest is as in evaluation."""
        self.network.eval()
        for module in self.network.modules():
            if keeps_statistics(module):
                module.train()

    def step(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Loss `entropy`."""
        return {"entropy": mean_entropy(self.network(batch["image"]))}
