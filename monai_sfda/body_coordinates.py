"""Coordinates in the body that scans of another size, field of view or modality share, found without labels.

The body box holds, along each axis, the middle 96% of the foreground: of the voxels above the dark end of the
scan's intensities. Along left to right and back to front a place is a share of that box, so that large and
small bodies are alike. Along foot to head it is in mm from the box's middle: that axis is the one along which
fields of view end, and a share of what happens to be seen would mean nothing. In a picture places are shares
of its height and width.

Limits: arms, a table or a coil that shines widen the box, dark fat narrows it; a field of view that cuts the
body from left to right or back to front stretches it; where along foot to head the middle lies depends on the
field of view (see `Atlas`, which looks for it).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_sfda.transforms import SliceGrid

DARK, BRIGHT, FOREGROUND = 0.01, 0.99, 0.15
"""Foreground is above quantile `DARK` by `FOREGROUND` of the way to quantile `BRIGHT`."""
OUTSIDE = 0.02
"""Share of the foreground that lies beyond each side of the box."""
_LOOKED_AT = 200_000
"""Voxels, about, that the quantiles are taken from."""


@dataclass(frozen=True)
class BodyCoordinates:
    """Where the voxels of a scan's slices lie.

    Attributes:
        places: of the voxel centres along R, A and S, three vectors: shares of the body box, twice, and mm
            from its middle. Of a picture along its rows and columns, and 0.
        dims: which dimension of (S, H, W) slices each of the three axes is.
        box_mm: size of the box along S; 0 for a picture.
    """

    places: tuple[Tensor, Tensor, Tensor]
    dims: tuple[int, int, int]
    box_mm: float

    def from_slices(self, slices: Tensor) -> Tensor:
        """Slices (S, H, W) as a volume whose dimensions are R, A and S."""
        return slices.permute(self.dims)


def body_coordinates(image: Tensor, grid: SliceGrid, *, pictures: bool = False) -> BodyCoordinates:
    """The body coordinates of a scan.

    Args:
        image: (C, S, H, W) intensities, without padding.
        grid: of these slices.
        pictures: whether nothing has a size in mm.
    """
    dims = [0, 0, 0]
    rows, columns = (axis for axis in range(3) if axis != grid.slice_axis)
    for axis, dim in ((rows, 1), (columns, 2), (grid.slice_axis, 0)):
        dims[axis] = dim
    order = (dims[0], dims[1], dims[2])
    if pictures:
        shares = [(torch.arange(n).double() + 0.5) / n for n in image.shape[2:]]
        return BodyCoordinates((shares[0], shares[1], torch.zeros(1).double()), order, 0.0)
    foreground = _foreground(image.mean(0)).permute(order)
    steps = [0.0, 0.0, 0.0]
    for axis, step in (
        (rows, grid.pixel_mm[0]),
        (columns, grid.pixel_mm[1]),
        (grid.slice_axis, grid.slice_mm),
    ):
        steps[axis] = step
    places = []
    for axis in range(3):
        mass = foreground.sum([a for a in range(3) if a != axis]).double().cpu().numpy()
        low, high = _middle(mass)
        centres = torch.arange(len(mass)).double() + 0.5
        if axis < 2:
            places.append((centres - low) / (high - low))
        else:
            places.append((centres - (low + high) / 2) * steps[2])
            box_mm = (high - low) * steps[2]
    return BodyCoordinates((places[0], places[1], places[2]), order, box_mm)


def _foreground(scan: Tensor) -> Tensor:
    some = scan.flatten()[:: max(1, scan.numel() // _LOOKED_AT)].float()
    dark, bright = torch.quantile(some, torch.tensor([DARK, BRIGHT], device=scan.device))
    return torch.gt(scan, dark + FOREGROUND * (bright - dark))


def _middle(mass: NDArray[np.float64]) -> tuple[float, float]:
    """The range, in voxel edges, that leaves `OUTSIDE` of the mass on each side; all where there is none."""
    total = mass.sum()
    if total == 0:
        return 0.0, float(len(mass))
    cumulated = np.concatenate([[0.0], mass.cumsum() / total])
    low, high = np.interp([OUTSIDE, 1 - OUTSIDE], cumulated, np.arange(len(cumulated)))
    return float(low), float(max(high, low + 1e-3))
