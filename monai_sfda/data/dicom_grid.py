"""DICOM slices on a regular grid: sorted, checked for gaps and repeats, with the RAS affine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_sfda.data.checks import describe_mm, describe_shape
from monai_sfda.data.dicom_slices import TELLING, Slice
from monai_sfda.errors import DataError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM and ITK count x to the left and y to posterior; NIfTI and this package right and anterior."""
POSITION_TOLERANCE_MM = 0.01
"""Slices closer than this lie at one position."""
VOXEL_TOLERANCE = 0.1
"""How far a slice may lie off the regular grid, as a fraction of a voxel's size (headers round)."""
ORIENTATION_TOLERANCE = 1e-3
"""Largest difference of direction cosines and relative difference of pixel spacings within a series."""


@dataclass(frozen=True, eq=False)
class SliceGrid:
    """A series' slices in order, on a regular grid.

    Attributes:
        slices: by increasing position along the normal.
        affine: (4, 4), voxel index (column, row, slice) to RAS+ mm. It follows the slices' positions, so a
            tilted gantry gives a sheared grid.
    """

    slices: tuple[Slice, ...]
    affine: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Columns, rows, slices."""
        rows, columns = self.slices[0].shape
        return columns, rows, len(self.slices)


def regular_grid(slices: Sequence[Slice]) -> SliceGrid:
    """The slices of one series, sorted and checked.

    Raises:
        DataError: when size, orientation or pixel spacing differ, when positions repeat, when slices
            are missing or unevenly spaced, or when a single slice has no thickness.
    """
    check_alike(slices)
    ordered = sorted(slices, key=lambda s: float(s.position @ slices[0].normal))
    folder = ordered[0].file.parent if len({s.file for s in ordered}) > 1 else ordered[0].file
    first = ordered[0]
    if len(ordered) == 1:
        if not first.thickness or first.thickness <= 0:
            raise DataError(
                "a single slice without SliceThickness",
                remedy="export the series with its geometry",
                path=first.file,
            )
        step = first.normal * first.thickness
    else:
        _check_once(ordered, folder)
        step = _check_even(ordered, folder)
    affine = np.eye(4)
    affine[:3, 0] = first.row_direction * first.column_spacing
    affine[:3, 1] = first.column_direction * first.row_spacing
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return SliceGrid(tuple(ordered), LPS_TO_RAS @ affine)


def volumes_of(slices: Sequence[Slice]) -> tuple[str | None, list[list[Slice]]]:
    """The volumes that a series holds: time points of a cine, echoes, b-values.

    Where every slice position holds the same number of images, and one header element tells them apart at
    every position, the first image of each position (by that element) makes the first volume, and so on.

    Returns:
        The telling element and the volumes; None and the slices as they are when each position is there once
        or nothing tells the images apart.
    """
    groups = _positions(slices)
    count = len(groups[0])
    if count < 2 or any(len(g) != count for g in groups):
        return None, [list(slices)]
    for index, keyword in enumerate(TELLING):
        if all(len({s.telling[index] for s in group}) == count for group in groups):
            ranked = [sorted(group, key=lambda s: _sort_key(s.telling[index])) for group in groups]
            return keyword, [[group[rank] for group in ranked] for rank in range(count)]
    return None, [list(slices)]


def check_alike(slices: Sequence[Slice]) -> None:
    """The frames of a series have one size, orientation and pixel spacing.

    Raises:
        DataError: when not.
    """
    first = slices[0]
    for other in slices[1:]:
        if other.shape != first.shape:
            difference = f"{describe_shape(first.shape)} and {describe_shape(other.shape)} pixels"
        elif (
            max(
                np.abs(other.row_direction - first.row_direction).max(),
                np.abs(other.column_direction - first.column_direction).max(),
            )
            > ORIENTATION_TOLERANCE
        ):
            difference = "several orientations"
        elif (
            max(
                abs(other.row_spacing / first.row_spacing - 1),
                abs(other.column_spacing / first.column_spacing - 1),
            )
            > ORIENTATION_TOLERANCE
        ):
            spacings = (describe_mm((s.row_spacing, s.column_spacing)) for s in (first, other))
            difference = " and ".join(spacings) + " mm pixels"
        else:
            continue
        raise DataError(
            f"a mixed series: frames of {difference}",
            remedy="export each part as a series of its own",
            path=other.file,
        )


def _positions(slices: Sequence[Slice]) -> list[list[Slice]]:
    """The slices grouped by position along the normal, in order."""
    normal = slices[0].normal
    ordered = sorted(slices, key=lambda s: float(s.position @ normal))
    groups = [[ordered[0]]]
    for item in ordered[1:]:
        if float((item.position - groups[-1][0].position) @ normal) > POSITION_TOLERANCE_MM:
            groups.append([])
        groups[-1].append(item)
    return groups


def _check_once(ordered: Sequence[Slice], folder: Path) -> None:
    groups = _positions(ordered)
    repeated = [g for g in groups if len(g) > 1]
    if not repeated:
        return
    what = (
        f"{len(repeated)} of {len(groups)} slice positions are there more than once ({len(ordered)} images)"
    )
    telling, volumes = volumes_of(ordered)
    if all(len({s.instance_uid for s in g}) == 1 for g in repeated) and len({s.file for s in ordered}) == len(
        ordered
    ):
        remedy = "remove the copies of the same images"
    elif telling is not None:
        what += f": {len(volumes)} volumes that differ in {telling}"
        remedy = "export one volume (time point, echo, b-value) as a series of its own"
    else:
        remedy = "remove the duplicates, or export each volume as a series of its own"
    raise DataError(what, remedy=remedy, path=folder)


def _check_even(ordered: Sequence[Slice], folder: Path) -> NDArray[np.float64]:
    """The step from slice to slice, LPS mm; an error where slices are missing or off the regular grid."""
    points = np.stack([s.position for s in ordered])
    along = (points - points[0]) @ ordered[0].normal
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    missing = int(np.sum(np.maximum(np.rint(gaps / usual) - 1, 0)))
    if missing:
        raise DataError(
            f"{missing} slice{'s are' if missing > 1 else ' is'} missing ({len(ordered)} are there, mostly "
            f"{usual:.4g} mm apart, up to {gaps.max():.4g} mm)",
            remedy="transfer the whole series again",
            path=folder,
        )
    step = (points[-1] - points[0]) / (len(points) - 1)
    off = points - (points[0] + np.arange(len(points))[:, None] * step)
    across = np.abs(off @ ordered[0].normal)
    sideways = np.linalg.norm(off - (off @ ordered[0].normal)[:, None] * ordered[0].normal, axis=1)
    pixel = min(ordered[0].row_spacing, ordered[0].column_spacing)
    if across.max() > VOXEL_TOLERANCE * usual or np.abs(gaps - usual).max() > VOXEL_TOLERANCE * usual:
        raise DataError(
            f"unevenly spaced slices ({gaps.min():.4g} to {gaps.max():.4g} mm apart)",
            remedy="export a series with even spacing, or resample it",
            path=folder,
        )
    if sideways.max() > VOXEL_TOLERANCE * pixel:
        raise DataError(
            f"slices are shifted sideways by up to {sideways.max():.3g} mm",
            remedy="export each part as a series of its own",
            path=folder,
        )
    return np.asarray(step, dtype=np.float64)


def _sort_key(text: str) -> tuple[int, float, str]:
    """Numbers by value, before other texts."""
    try:
        return 0, float(text), ""
    except ValueError:
        return 1, 0.0, text
