"""The grids on which scanners sample an abdomen: field of view, slices, orientation, obliquity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monai_sfda.errors import SettingError
from monai_sfda.phantom.draws import Seed, normal, uniform
from monai_sfda.phantom.geometry import Grid

# Heights (mm, body coordinates) between which both modalities sample: above the dome of the liver to below
# the kidneys.
_TOP_MM = 122.0
_BOTTOM_MM = -96.0

#: Orientations of CT volumes; that of the original comes first.
CT_ORIENTATIONS = ("LAS", "RAS", "LPS", "LPI", "RPS")


def check_matrix(matrix: int) -> int:
    """The matrix itself when it lies in 32..512.

    Raises:
        SettingError: otherwise.
    """
    if not 32 <= matrix <= 512:
        raise SettingError(
            f"matrix {matrix} is not possible", remedy="give a number of pixels from 32 to 512, e.g. 256"
        )
    return matrix


def mr_grid(seed: Seed, matrix: int) -> Grid:
    """Axial MR slices: columns run to the left, rows to the back, slices upwards; one in three is slightly
    oblique.

    24 to 32 slices of about 6.4 to 8 mm over a field of view of 380 to 430 mm.

    Returns:
        A right-handed grid of `matrix` x `matrix` pixels.
    """
    check_matrix(matrix)
    rng = np.random.default_rng(seed)
    field = uniform(rng, 380.0, 430.0)
    top, bottom = _TOP_MM + normal(rng, 0, 6), _BOTTOM_MM + normal(rng, 0, 6)
    slices = int(np.clip(round((top - bottom) / uniform(rng, 6.4, 8.0)), 24, 32))
    spacing = round((top - bottom) / slices, 2)
    tilt = np.deg2rad([normal(rng, 0, 4), normal(rng, 0, 2)]) if rng.random() < 1 / 3 else np.zeros(2)
    axes = _tilt(float(tilt[0]), float(tilt[1])) @ np.diag([-1.0, -1.0, 1.0])
    return _centred(
        axes, (matrix, matrix, slices), (field / matrix, field / matrix, spacing), _middle(rng, top, bottom)
    )


def ct_grid(seed: Seed, matrix: int, orientation: str | None = None) -> Grid:
    """Axial CT slices, 32 to 48 of about 4.5 to 5 mm, over a field of view of 380 to 450 mm.

    Args:
        seed: of all choices.
        matrix: pixels across a slice.
        orientation: where the index axes point, e.g. `LAS`; None draws one of `CT_ORIENTATIONS`.
    """
    check_matrix(matrix)
    rng = np.random.default_rng(seed)
    field = uniform(rng, 380.0, 450.0)
    top, bottom = _TOP_MM + normal(rng, 0, 8), _BOTTOM_MM + normal(rng, 0, 8)
    slices = int(np.clip(round((top - bottom) / uniform(rng, 4.5, 5.0)), 32, 48))
    spacing = round((top - bottom) / slices, 2)
    drawn = CT_ORIENTATIONS[0 if rng.random() < 0.5 else int(rng.integers(1, len(CT_ORIENTATIONS)))]
    axes = np.diag([1.0 if letter in "RAS" else -1.0 for letter in orientation or drawn])
    return _centred(
        axes, (matrix, matrix, slices), (field / matrix, field / matrix, spacing), _middle(rng, top, bottom)
    )


def _middle(rng: np.random.Generator, top: float, bottom: float) -> NDArray[np.float64]:
    """The centre of the field of view in patient coordinates: nobody lies exactly in its middle."""
    return np.array([normal(rng, 0, 6), normal(rng, 2, 5), 0.5 * (top + bottom)])


def _tilt(about_x: float, about_y: float) -> NDArray[np.float64]:
    cx, sx, cy, sy = np.cos(about_x), np.sin(about_x), np.cos(about_y), np.sin(about_y)
    rotation: NDArray[np.float64] = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]]) @ np.array(
        [[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]
    )
    return rotation


def _centred(
    axes: NDArray[np.float64],
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    centre: NDArray[np.float64],
) -> Grid:
    """A grid whose index axes are the columns of `axes` and whose middle lies at `centre` (mm)."""
    affine = np.eye(4)
    affine[:3, :3] = axes * np.asarray(spacing)
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return Grid(shape, affine)
