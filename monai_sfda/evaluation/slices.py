"""Which slices of a volume a reader is shown, and which way up."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from monai_sfda.errors import DataError, SettingError

Voxel = TypeVar("Voxel", bound=np.generic)

SIDES: dict[int, tuple[str, str, str, str]] = {
    0: ("A", "P", "S", "I"),
    1: ("R", "L", "S", "I"),
    2: ("R", "L", "A", "P"),
}
"""Letters at the left, right, top and bottom of a displayed slice, by the RAS axis that it cuts."""


def choose_slices(segmentation: NDArray[np.uint8], count: int, axis: int = 2) -> list[int]:
    """Choose the slices that show most of every predicted structure. No label is involved.

    The structures take turns, in the order of their indices. Each takes the slice with its largest predicted
    area, counted less the nearer the slice lies to one already chosen, so that a long structure is seen at
    several levels. Turns that find nothing left (an empty prediction, a structure in few slices) are filled
    from slices evenly spread
    over the volume: that nothing was predicted there is worth seeing too.

    Args:
        segmentation: (X, Y, Z) predicted class indices; 0 is the background.
        count: slices wanted; a volume with fewer slices gives all it has.
        axis: axis across which to cut; 2 is axial in RAS orientation.

    Returns:
        Slice numbers in ascending order, each once: min(count, slices in the volume) of them.

    Raises:
        DataError: when the segmentation is not a volume.
        SettingError: when `count` is below 1 or `axis` is not 0, 1 or 2.
    """
    if segmentation.ndim != 3 or 0 in segmentation.shape:
        raise DataError(
            f"a segmentation of shape {segmentation.shape} has no slices", remedy="give one (X, Y, Z) volume"
        )
    if axis not in (0, 1, 2):
        raise SettingError(f"axis {axis} does not exist", remedy="use 0, 1 or 2")
    if count < 1:
        raise SettingError(f"{count} slices were asked for", remedy="ask for at least 1")
    depth = segmentation.shape[axis]
    in_plane = tuple(a for a in range(3) if a != axis)
    areas = [
        np.asarray(np.count_nonzero(segmentation == index, axis=in_plane), dtype=np.float64)
        for index in np.unique(segmentation)
        if index != 0
    ]
    chosen: list[int] = []
    while areas and len(chosen) < count:
        before = len(chosen)
        for area in areas:
            worth = area * _distance_to_chosen(depth, chosen)
            if len(chosen) < count and worth.max() > 0:
                chosen.append(int(worth.argmax()))
        if len(chosen) == before:
            break
    evenly_spread = np.linspace(0, depth - 1, num=min(count, depth) + 2)[1:-1].round().astype(int)
    spare = [*evenly_spread.tolist(), *range(depth)]
    for index in dict.fromkeys(spare):
        if len(chosen) >= min(count, depth):
            break
        if index not in chosen:
            chosen.append(index)
    return sorted(chosen)


def _distance_to_chosen(depth: int, chosen: list[int]) -> NDArray[np.float64]:
    """Every slice's distance to the nearest chosen one, as a share of the depth; 1 while none is chosen."""
    if not chosen:
        return np.ones(depth, dtype=np.float64)
    distances = np.abs(np.arange(depth)[:, None] - np.asarray(chosen)[None, :]).min(axis=1)
    return np.asarray(distances / depth, dtype=np.float64)


def as_ras(
    array: NDArray[Voxel], affine: NDArray[np.float64]
) -> tuple[NDArray[Voxel], tuple[float, float, float]]:
    """Turn a volume so that its axes run to the patient's right, to anterior and up, without resampling.

    An oblique grid is turned to the orientation nearest to RAS.

    Args:
        array: (X, Y, Z) on its own grid.
        affine: (4, 4), voxel index to patient coordinates in mm, RAS+.

    Returns:
        The turned volume (a view), and its spacing along the new axes in mm.

    Raises:
        DataError: when the array is not a volume or the affine maps two axes onto one.
    """
    columns = np.asarray(affine, dtype=np.float64)[:3, :3]
    spacing = np.linalg.norm(columns, axis=0)
    if array.ndim != 3 or not np.isfinite(columns).all() or abs(np.linalg.det(columns)) < 1e-12:
        raise DataError(
            f"an array of shape {array.shape} has no orientation under this affine",
            remedy="give an (X, Y, Z) volume and an affine that can be inverted",
        )
    cosines = columns / spacing
    patient_axes, voxel_axes = linear_sum_assignment(-np.abs(cosines))
    order = [int(v) for _, v in sorted(zip(patient_axes, voxel_axes, strict=True))]
    turned = np.transpose(array, order)
    flips = [slice(None, None, -1 if cosines[p, v] < 0 else 1) for p, v in enumerate(order)]
    x, y, z = spacing[order]
    return turned[tuple(flips)], (float(x), float(y), float(z))


def radiological(plane: NDArray[Voxel]) -> NDArray[Voxel]:
    """Turn an in-plane array into rows and columns as radiologists read them.

    The patient's right is on the left of an axial or coronal image, anterior or superior at its top; in a
    sagittal image anterior is on the left.

    Args:
        plane: the two remaining axes of a RAS volume, in their order: (X, Y) axial, (X, Z) coronal, (Y, Z)
            sagittal.

    Returns:
        (rows, columns), a view.
    """
    return plane[::-1, ::-1].T
