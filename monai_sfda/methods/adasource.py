"""AdaSource: what the class-ratio prior of AdaEnt does where the source's labelled scans may be read too.

The baseline with source data of Bateson et al., "Source-Relaxed Domain Adaptation for Image Segmentation"
(paper 4, section 3.1), where it stands for the method of Zhang et al., "Curriculum Domain Adaptation for
Semantic Segmentation of Urban Scenes". Each step minimises, over a batch of labelled source slices and one of
unlabelled target slices, drawn independently of each other,

    mean over source pixels of -log p_y  +  lambda KL(tau_e, tau^ of the target's slices).

It is AdaEnt with the source's cross-entropy (Eq. 1) in the place of the target's entropy, from the same
source-trained model, with the same prior tau_e; see `class_ratio_matching`. It is **not source-free**:
`adapt.json` refuses it and `uda.json` runs it.

*Ours*: the two batches pass through the network one after the other, each normalised by its own batch-norm
statistics, and the running statistics, by which the adapted model is used on the target, follow the target's
batches alone. The paper does not say; its network would come to statistics between those of both domains,
which are neither's: `statistics_of` `both`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor

from monai_sfda.losses import segmentation_cross_entropy
from monai_sfda.methods.base import RATIOS
from monai_sfda.methods.class_ratio_matching import ClassRatioMethod, ClassRatioSettings
from monai_sfda.networks import running_statistics_kept


class AdaSourceSettings(ClassRatioSettings):
    """Settings of AdaSource.

    Attributes:
        weighted: cross-entropy with per-image class weights (`image_class_weights`); plain in the paper.
        statistics_of: which batches the running batch-norm statistics follow: the `target`'s, or those of
            `both` in turn. Without effect where `batchnorm_statistics` is `frozen`.
    """

    weighted: bool = False
    statistics_of: Literal["target", "both"] = "target"


class AdaSource(ClassRatioMethod[AdaSourceSettings]):
    """Cross-entropy of the source's slices and the class ratio of the target's; see the module's text."""

    name = "adasource"
    title = "AdaSource"
    requires = frozenset({"class_ratio", "source_data"})
    source = "Bateson et al., Source-Relaxed Domain Adaptation for Image Segmentation (its baseline)"
    settings_class = AdaSourceSettings
    # The divergence of class ratios is a loss; running statistics follow the target, too.
    optimises = RATIOS | {"batchnorm"}

    def step(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Losses `cross_entropy` of the source and `class_ratio` (lambda KL) of the target.

        Args:
            batch: `image` (B, C, H, W) and `label` (B, 1, H, W) of the source, `target_image` (B', C, H, W),
                and `target_label` (B', 1, H, W) with the prior `tags` alone.
            generator: not used.
        """
        of_target = self.settings.statistics_of == "target"
        with running_statistics_kept(self.network) if of_target else nullcontext():
            source_logits = self.network(batch["image"])
        target = {name: batch[f"target_{name}"] for name in ("image", "label") if f"target_{name}" in batch}
        return {
            "cross_entropy": segmentation_cross_entropy(
                source_logits, batch["label"], weighted=self.settings.weighted
            ),
            "class_ratio": self.class_ratio_loss(self.network(target["image"]), target),
        }
