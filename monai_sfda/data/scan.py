"""A scan in memory: its values and where each voxel lies in the body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scan:
    """A volume on its own grid.

    Attributes:
        array: (C, X, Y, Z) float32, in the scanner's unit after rescaling (Hounsfield for CT, arbitrary for
            MR).
        affine: (4, 4) float64, voxel index to patient coordinates in mm, RAS+ (x to the right, y to anterior,
            z up).
    """

    array: NDArray[np.float32]
    affine: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each axis."""
        x, y, z = self.array.shape[1:]
        return x, y, z

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxels along each axis, mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)
