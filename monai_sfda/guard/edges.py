"""Do the outlines of a segmentation follow edges of the image?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class EdgeContrast:
    """Mean gradient on the outlines of each structure over the mean gradient of the field of view.

    With g the length of the in-plane gradient by central differences (mean over channels) and B_k the pixels
    of class k beside a pixel, in its row or column, of another class:

        c_k = mean of g over B_k  /  mean of g over all pixels.

    1 for outlines that know nothing of the image; memory independent of the number of slices.

    Args:
        classes: K.
        device: of the slices.
    """

    def __init__(self, classes: int, device: torch.device | str = "cpu") -> None:
        self._sum = torch.zeros(classes, dtype=torch.float64, device=device)
        self._count = torch.zeros(classes, dtype=torch.float64, device=device)
        self._all = torch.zeros(2, dtype=torch.float64, device=device)

    def update(self, image: Tensor, classes: Tensor) -> None:
        """Adds slices.

        Args:
            image: (B, C, H, W), at least 2 x 2.
            classes: (B, H, W) predicted.
        """
        rows, columns = torch.gradient(image.float(), dim=(-2, -1))
        gradient = (rows.square() + columns.square()).sqrt().mean(1).double()
        outline = torch.zeros_like(classes, dtype=torch.bool)
        for axis in (1, 2):
            first, second = (
                classes.narrow(axis, 0, classes.shape[axis] - 1),
                classes.narrow(axis, 1, classes.shape[axis] - 1),
            )
            differs = first != second
            outline.narrow(axis, 0, classes.shape[axis] - 1).logical_or_(differs)
            outline.narrow(axis, 1, classes.shape[axis] - 1).logical_or_(differs)
        member = torch.nn.functional.one_hot(classes[outline].long(), len(self._sum)).double()
        self._sum += gradient[outline] @ member
        self._count += member.sum(0)
        self._all += torch.stack([gradient.sum(), torch.full_like(gradient.sum(), gradient.numel())])

    def mean(self, structures: Sequence[int]) -> float | None:
        """Mean of c_k over the structures that have an outline; None where none has, or nothing has an
        edge.
        """
        overall = float(self._all[0] / self._all[1].clamp_min(1))
        count = self._count.cpu()[list(structures)]
        shown = count > 0
        if not bool(shown.any()) or overall == 0:
            return None
        return float((self._sum.cpu()[list(structures)][shown] / count[shown]).mean()) / overall
