"""The grids on which scanners sample a heart: field of view, orientation of the slices, obliquity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monai_sfda.phantom.draws import Seed, normal, uniform
from monai_sfda.phantom.geometry import Grid
from monai_sfda.phantom.sampling import check_matrix

#: Where the index axes of MR volumes point: slices axial (three), sagittal and coronal.
HEART_MR_ORIENTATIONS = ("LPS", "RAS", "LAI", "PSR", "AIL", "LSA", "RIP")
#: Where those of CT volumes point; slices are always axial.
HEART_CT_ORIENTATIONS = ("LPS", "RAS", "LAS", "PLI")

# Middle of the heart with the ascending aorta, body coordinates, mm.
_MIDDLE_MM = (-6.0, 14.0, 163.0)
_AXIS = {"R": (0, 1.0), "L": (0, -1.0), "A": (1, 1.0), "P": (1, -1.0), "S": (2, 1.0), "I": (2, -1.0)}
# Fields of view within a slice and across the slices, by body axis, mm: lowest and highest.
_MR_PLANE_MM = ((290.0, 340.0), (230.0, 270.0), (220.0, 260.0))
_MR_SLAB_MM = ((170.0, 195.0), (150.0, 170.0), (150.0, 175.0))


def heart_mr_grid(seed: Seed, matrix: int, orientation: str | None = None) -> Grid:
    """A whole-heart slab, axial, sagittal or coronal, turned by some degrees about all axes.

    Args:
        seed: of all choices.
        matrix: pixels along the longer side of a slice.
        orientation: where the index axes point, e.g. `LPS`; None draws one of `HEART_MR_ORIENTATIONS`.
    """
    check_matrix(matrix)
    rng = np.random.default_rng(seed)
    drawn = HEART_MR_ORIENTATIONS[int(rng.integers(len(HEART_MR_ORIENTATIONS)))]
    letters = orientation or drawn
    ranges = [(_MR_SLAB_MM if place == 2 else _MR_PLANE_MM)[_AXIS[a][0]] for place, a in enumerate(letters)]
    field = [uniform(rng, *limits) for limits in ranges]
    pixel = max(field[:2]) / matrix
    turn = _rotation(*(float(np.deg2rad(normal(rng, 0.0, 6.0))) for _ in range(3)))
    return _grid(turn @ _directions(letters), field, (pixel, pixel, round(1.2 * pixel, 2)), _middle(rng))


def heart_ct_grid(seed: Seed, matrix: int, orientation: str | None = None) -> Grid:
    """Axial slices over the heart alone: the field of view of a CT angiography cuts the chest wall off.

    Args:
        seed: of all choices.
        matrix: pixels across a slice.
        orientation: where the index axes point, e.g. `LPS`; None draws one of `HEART_CT_ORIENTATIONS`.
    """
    check_matrix(matrix)
    rng = np.random.default_rng(seed)
    drawn = HEART_CT_ORIENTATIONS[int(rng.integers(len(HEART_CT_ORIENTATIONS)))]
    across = uniform(rng, 200.0, 250.0)
    pixel = across / matrix
    field = [across, across, uniform(rng, 145.0, 180.0)]
    return _grid(
        _directions(orientation or drawn), field, (pixel, pixel, round(1.3 * pixel, 2)), _middle(rng)
    )


def _directions(letters: str) -> NDArray[np.float64]:
    """The unit vectors along which index axes point, as columns."""
    columns = np.zeros((3, 3))
    for place, letter in enumerate(letters):
        axis, sign = _AXIS[letter]
        columns[axis, place] = sign
    return columns


def _rotation(about_x: float, about_y: float, about_z: float) -> NDArray[np.float64]:
    turn = np.eye(3)
    for axis, angle in enumerate((about_x, about_y, about_z)):
        first, second = (a for a in range(3) if a != axis)
        one = np.eye(3)
        one[first, first] = one[second, second] = np.cos(angle)
        one[first, second], one[second, first] = -np.sin(angle), np.sin(angle)
        turn = one @ turn
    return turn


def _middle(rng: np.random.Generator) -> NDArray[np.float64]:
    """The centre of the field of view in patient coordinates: nobody's heart lies exactly in its middle."""
    return np.array([centre + normal(rng, 0.0, 6.0) for centre in _MIDDLE_MM])


def _grid(
    axes: NDArray[np.float64],
    field: list[float],
    spacing: tuple[float, float, float],
    centre: NDArray[np.float64],
) -> Grid:
    """A grid over `field` mm whose index axes are the columns of `axes` and whose middle lies at `centre`."""
    counts = [max(2, round(extent / step)) for extent, step in zip(field, spacing, strict=True)]
    affine = np.eye(4)
    affine[:3, :3] = axes * np.asarray(spacing)
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.asarray(counts) - 1) / 2)
    return Grid((counts[0], counts[1], counts[2]), affine)
