"""How far a network's segmentation of a scan agrees with those of the scan slightly changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from monai_sfda.guard.overlap import Overlap, mean_of_shown


class Agreement:
    """Gathers a scan's agreements; memory independent of the number of slices.

    Args:
        signals: names of the changes' signals.
        classes: K.
        device: of the predictions.
    """

    def __init__(self, signals: Iterable[str], classes: int, device: torch.device | str = "cpu") -> None:
        self._hard, self._soft = (
            {name: Overlap(classes, device) for name in names} for names in [tuple(signals)] * 2
        )

    def update(self, signal: str, p: Tensor, q: Tensor, where: Tensor | None) -> None:
        """Adds slices of one change.

        Args:
            signal: of the change.
            p: (B, K, H, W) probabilities of the slices.
            q: the same of the changed slices, changed back.
            where: (B, H, W), where q is known; None for everywhere.
        """
        self._hard[signal].update(p.max(1).indices, q.max(1).indices, where)
        self._soft[signal].update_soft(p, q, where)

    def values(self, structures: Mapping[str, int]) -> dict[str, float]:
        """Each change's mean Dice over structures, and `agreement` (their mean), `agreement_soft` and
        `agreement_worst`; empty where no structure is predicted.

        Args:
            structures: names to classes, background left out.
        """
        classes = list(structures.values())
        hard = torch.stack([overlap.dice(classes) for overlap in self._hard.values()])
        # A structure that is nowhere predicted has tiny probabilities, whose agreement means nothing.
        soft = torch.stack([overlap.dice(classes) for overlap in self._soft.values()])
        soft = soft.masked_fill(hard.isnan(), torch.nan)
        found = {
            name: mean
            for name, dice in zip(self._hard, hard, strict=True)
            if (mean := mean_of_shown(dice)) is not None
        }
        if not found:
            return {}
        found["agreement"] = sum(found.values()) / len(found)
        found["agreement_soft"] = float(soft.nanmean(1).nanmean())
        by_structure = hard.nanmean(0)
        found["agreement_worst"] = float(by_structure[~by_structure.isnan()].min())
        return found
