"""SFS: source-free alignment of target embeddings to the source's class prototypes.

Stan and Rostami, "Privacy Preserving Domain Adaptation for Semantic Segmentation of Medical Images" (paper
1), Algorithm 1. Each step minimises Eq. 3,

    CE(h(z_p), y_p) + lambda SWD(z_t, z_p),

with pseudo-samples z_p of class y_p drawn from the prototypes, z_t the embeddings of a target batch, h the
classifier. What is shared with MAS3, and where ours differs from paper and code, is in `alignment`.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from monai_sfda.methods.alignment import Alignment, AlignmentSettings


class SFSSettings(AlignmentSettings):
    """Settings of SFS, the paper's defaults first.

    Attributes:
        start: from the `release`'s weights; from `random` ones is an ablation of the paper, no way to adapt.
    """

    learning_rate: float = Field(5e-5, gt=0)
    start: Literal["release", "random"] = "release"


class SFS(Alignment[SFSSettings]):
    """Algorithm 1 of the paper; see the module's text."""

    name = "sfs"
    title = "SFS"
    source = (
        "Stan and Rostami, Privacy Preserving Domain Adaptation for Semantic Segmentation of Medical Images"
    )
    settings_class = SFSSettings

    @property
    def starts_from_release(self) -> bool:
        """False in the ablation with random weights."""
        return self.settings.start == "release"

    def draw(
        self, count: int, proportions: Tensor, generator: torch.Generator, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Samples of the prototypes, labelled by the prototype that they are drawn from."""
        return self.release.prototypes.sample(count, proportions, generator=generator, device=device)
