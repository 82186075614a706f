"""Distances as papers print them, beside the ones in mm: in voxels, in pixels of slices.

Each takes two masks of a volume whose first axis runs across its slices, and is None where it is undefined.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import directed_hausdorff

from monai_sfda.evaluation.surface import directed_surface_distances, hausdorff_distance

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]


def assd_voxel(predicted: Mask, actual: Mask, voxels: Spacing = (1.0, 1.0, 1.0)) -> float | None:
    """Average symmetric surface distance in voxels, as medpy's `assd` computes it.

    (mean of d(p, R) over the surface of P + mean of d(r, P) over the surface of R) / 2: both directions weigh
    the same, where the one in mm takes the distances of both together.

    Args:
        predicted, actual: (S, H, W).
        voxels: size of a voxel along each axis, in the voxels to count in.
    """
    if not predicted.any() or not actual.any():
        return None
    forward, backward = directed_surface_distances(predicted, actual, voxels)
    return float((forward.mean() + backward.mean()) / 2)


def hd_slice_pixel(predicted: Mask, actual: Mask, voxels: Spacing = (1.0, 1.0, 1.0)) -> float | None:
    """Mean over slices of their Hausdorff distance in pixels; over slices that show the structure in both.

    Args:
        predicted, actual: (S, H, W).
        voxels: not used: a pixel is a pixel.
    """
    found = [
        hausdorff_distance(*directed_surface_distances(p, r, (1.0, 1.0)))
        for p, r in zip(predicted, actual, strict=True)
        if p.any() and r.any()
    ]
    return float(np.mean(found)) if found else None


def hd_row_pixel(predicted: Mask, actual: Mask, voxels: Spacing = (1.0, 1.0, 1.0)) -> float | None:
    """Mean over all slices of the Hausdorff distance between the masks' rows, each row one point.

    It is no distance in the image: it is what comes out when a mask instead of the positions of its pixels
    is given to `scipy.spatial.distance.directed_hausdorff`, as published code does. Its square is a number
    of pixels: by how many the most deviant row differs from the most similar row of the other mask. 0 for
    slices without the structure.

    Args:
        predicted, actual: (S, H, W); a row is a line along H, as in slices stored with H last.
        voxels: not used.
    """
    found = []
    for p, r in zip(predicted, actual, strict=True):
        rows = [np.unique(mask.T.astype(np.float64), axis=0) for mask in (p, r)]
        found.append(max(directed_hausdorff(*rows)[0], directed_hausdorff(*rows[::-1])[0]))
    return float(np.mean(found)) if found else None


PUBLISHED_DISTANCES: dict[str, Callable[[Mask, Mask, Spacing], float | None]] = {
    "assd_voxel": assd_voxel,
    "hd_slice_pixel": hd_slice_pixel,
    "hd_row_pixel": hd_row_pixel,
}
"""By the names that protocols of the catalog give, which end in their unit."""
