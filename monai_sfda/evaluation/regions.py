"""Label-free changes to a segmentation before scoring, and the label-free baseline it is compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from monai_sfda.errors import DataError

_TOUCHING = np.ones((3, 3, 3), dtype=bool)
_SMALLEST_HALF_AXIS = 2.0


def check_spacing(spacing_mm: Sequence[float]) -> tuple[float, float, float]:
    """The spacing as three positive finite floats, mm.

    Raises:
        DataError: when it is anything else.
    """
    values = tuple(float(s) for s in spacing_mm)
    if len(values) != 3 or not all(math.isfinite(s) and s > 0 for s in values):
        raise DataError(
            f"a voxel spacing of {tuple(spacing_mm)} mm is impossible",
            remedy="give three positive numbers; an image that stores none must be repaired first",
        )
    return values[0], values[1], values[2]


def largest_component(segmentation: NDArray[np.uint8], labels: Mapping[str, int]) -> NDArray[np.uint8]:
    """Keep, of every class, the connected region with the most voxels; the rest becomes background.

    Voxels that share a face, an edge or a corner are connected (26-connectivity). Of equally large regions
    the one that comes first in array order stays. Values that `labels` does not name are left as they are.

    Args:
        segmentation: (X, Y, Z) class indices.
        labels: class names to indices; index 0 is the background.

    Returns:
        A new (X, Y, Z) array of the same type.
    """
    kept = segmentation.copy()
    for index in sorted(set(labels.values()) - {0}):
        mask = segmentation == index
        box = bounding_box(mask)
        if box is None:
            continue
        regions, count = ndimage.label(mask[box], structure=_TOUCHING)
        if count > 1:
            sizes = np.bincount(regions.ravel())
            sizes[0] = 0
            window = kept[box]
            window[(regions != 0) & (regions != sizes.argmax())] = 0
    return kept


def bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, slice, slice] | None:
    """The smallest box that holds every true voxel of an (X, Y, Z) mask; None for an empty mask."""
    in_plane = mask.any(axis=2)
    ranges = []
    for profile in (in_plane.any(axis=1), in_plane.any(axis=0), mask.any(axis=(0, 1))):
        indices = np.flatnonzero(profile)
        if indices.size == 0:
            return None
        ranges.append(slice(int(indices[0]), int(indices[-1]) + 1))
    return ranges[0], ranges[1], ranges[2]


def centre_blob(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], margin_mm: float = 50.0
) -> NDArray[np.uint8]:
    """What a segmentation scores that knows nothing but how the scans were cropped.

    Scans that were cut to a fixed margin round a lesion tell where the lesion is. This baseline uses that
    alone: the ellipsoid inscribed in the box that remains when the margin is taken off every side. A model is
    worth something only where it beats this. A margin larger than that of the crop leaves a blob that is too
    small and too easily beaten, so state the margin beside the score.

    Args:
        shape: voxels along each axis.
        spacing_mm: distance between neighbouring voxels along each axis, mm.
        margin_mm: the margin that the scans were cropped with, mm. Where less than 2 voxels would remain as a
            half-axis, the half-axis is 2 voxels.

    Returns:
        (X, Y, Z) uint8: 1 inside the ellipsoid, 0 elsewhere.

    Raises:
        DataError: on an empty shape, an impossible spacing or a negative margin.
    """
    spacing = check_spacing(spacing_mm)
    if len(shape) != 3 or min(shape) < 1:
        raise DataError(
            f"a volume of shape {tuple(shape)} has no voxels", remedy="give three numbers of at least 1"
        )
    if not (math.isfinite(margin_mm) and margin_mm >= 0):
        raise DataError(
            f"a margin of {margin_mm} mm is impossible", remedy="give the margin of the crop, 0 or more"
        )
    squared_radius = np.zeros(shape, dtype=np.float64)
    for axis, (size, step) in enumerate(zip(shape, spacing, strict=True)):
        half_axis = max(size * step / 2 - margin_mm, _SMALLEST_HALF_AXIS * step)
        offset = (np.arange(size) - (size - 1) / 2) * step / half_axis
        squared_radius += np.square(offset).reshape([-1 if a == axis else 1 for a in range(3)])
    return (squared_radius <= 1.0).astype(np.uint8)
