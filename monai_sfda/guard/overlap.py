"""Dice of two segmentations of a stream of slices, class by class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Overlap:
    """Sums over pixels for a Dice of each class; memory independent of the number of pixels.

    Of two hard segmentations A and B (`update`), with pixels a_k and b_k of class k,

        Dice_k = 2 |a_k and b_k| / (|a_k| + |b_k|),

    and of two soft ones (`update_soft`), with probabilities p and q, 2 sum p q / sum (p + q), which is 1 only
    where the two are the same and certain. One instance takes either kind.

    Args:
        classes: K.
        device: of what is compared.
    """

    def __init__(self, classes: int, device: torch.device | str = "cpu") -> None:
        self.both = torch.zeros(classes, dtype=torch.float64, device=device)
        self.total = torch.zeros(classes, dtype=torch.float64, device=device)

    def update(self, first: Tensor, second: Tensor, where: Tensor | None = None) -> None:
        """Adds pixels of two hard segmentations.

        Args:
            first, second: integer classes of any shape, the same.
            where: of the same shape, which pixels count; None for all.
        """
        if where is not None:
            first, second = first[where], second[where]
        a, b = first.flatten().long(), second.flatten().long()
        self.both += self._count(a[a == b])
        self.total += self._count(a) + self._count(b)

    def update_soft(self, first: Tensor, second: Tensor, where: Tensor | None = None) -> None:
        """Adds pixels of two soft segmentations.

        Args:
            first, second: (B, K, *spatial) probabilities.
            where: (B, *spatial), which pixels count; None for all.
        """
        axes = [d for d in range(first.dim()) if d != 1]
        inside = torch.ones_like(first[:, :1]) if where is None else where[:, None].to(first)
        self.both += (first * second * inside).sum(axes).double()
        self.total += ((first + second) * inside).sum(axes).double()

    def dice(self, classes: Sequence[int]) -> Tensor:
        """(len(classes),) float64 on the CPU; NaN for a class that neither segmentation shows."""
        both, total = (t.cpu()[list(classes)] for t in (self.both, self.total))
        return torch.where(total > 0, 2 * both / total.clamp_min(1e-12), torch.nan)

    def _count(self, classes: Tensor) -> Tensor:
        return torch.bincount(classes, minlength=len(self.both)).double()


def mean_of_shown(dice: Tensor) -> float | None:
    """Mean over the classes that are shown, i.e. not NaN; None where none is."""
    shown = dice[~dice.isnan()]
    return float(shown.mean()) if len(shown) else None
