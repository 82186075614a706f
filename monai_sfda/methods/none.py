"""No adaptation: the source model as it is, the baseline that every method must beat."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from monai_sfda.methods.base import Method, MethodSettings


class NoAdaptation(Method[MethodSettings]):
    """Takes no step; adapted weights are the release's."""

    name = "none"
    title = "no adaptation"
    source = "baseline"
    settings_class = MethodSettings
    takes_steps = False

    def step(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """No loss."""
        return {}
