"""Distances between the surfaces of two segmented structures, in mm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree


def surface_voxels(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The voxels of a structure that have a face neighbour outside it.

    What lies beyond the image counts as outside, so a structure cut by the border has a surface there. This
    is the edge of `monai.metrics.utils.get_mask_edges` (mask XOR its erosion by the face-connected element).

    Args:
        mask: boolean, of a volume (X, Y, Z) or a slice (H, W).

    Returns:
        Boolean of the same shape, a subset of `mask`.
    """
    interior = ndimage.binary_erosion(mask, border_value=0)
    return np.asarray(mask & ~interior, dtype=np.bool_)


def directed_surface_distances(
    first: NDArray[np.bool_], second: NDArray[np.bool_], spacing_mm: tuple[float, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure from every surface voxel of one structure to the nearest of the other, and the other way.

    A search tree over the two surfaces gives the exact distances at a cost that depends on the surfaces
    alone, where a distance map costs time and memory for every voxel between two structures that lie far
    apart.

    Args:
        first: (X, Y, Z) or (H, W) boolean with at least one voxel.
        second: the other structure, on the same grid, with at least one voxel.
        spacing_mm: distance between neighbouring voxels along each axis, in mm or in any unit asked for.

    Returns:
        (n_first,) and (n_second,) distances in that unit: from `first` to `second`, and from `second` to
        `first`.
    """
    scale = np.asarray(spacing_mm, dtype=np.float64)
    first_points = np.argwhere(surface_voxels(first)) * scale
    second_points = np.argwhere(surface_voxels(second)) * scale
    to_second, _ = KDTree(second_points, leafsize=32).query(first_points)
    to_first, _ = KDTree(first_points, leafsize=32).query(second_points)
    return np.asarray(to_second, dtype=np.float64), np.asarray(to_first, dtype=np.float64)


def average_symmetric_surface_distance(forward: NDArray[np.float64], backward: NDArray[np.float64]) -> float:
    """Mean of the directed distances of both surfaces together, mm: `monai.metrics`, `symmetric=True`."""
    return float(np.concatenate((forward, backward)).mean())


def hausdorff_distance(
    forward: NDArray[np.float64], backward: NDArray[np.float64], percentile: float = 100.0
) -> float:
    """The larger of the two directed percentiles, mm: `monai.metrics` with `percentile=`; 100 is the maximum.

    Percentiles interpolate linearly between the two nearest ranks.
    """
    return float(max(np.percentile(forward, percentile), np.percentile(backward, percentile)))
