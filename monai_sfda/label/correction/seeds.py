"""What a radiologist marked: voxels that belong to a structure, and voxels that do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Seeds:
    """Marked voxels of one structure.

    Attributes:
        foreground: (N, 3) voxel indices that belong to the structure.
        background: (M, 3) voxel indices that do not.
    """

    foreground: NDArray[np.int64]
    background: NDArray[np.int64]

    @staticmethod
    def of_masks(foreground: NDArray[np.bool_], background: NDArray[np.bool_]) -> Seeds:
        """From two masks (X, Y, Z)."""
        return Seeds(np.argwhere(foreground), np.argwhere(background))

    @staticmethod
    def of_points(foreground: list[tuple[int, int, int]], background: list[tuple[int, int, int]]) -> Seeds:
        """From lists of voxel indices."""
        return Seeds(
            np.array(foreground, np.int64).reshape(-1, 3), np.array(background, np.int64).reshape(-1, 3)
        )

    @property
    def all(self) -> NDArray[np.int64]:
        """Both together, (N + M, 3)."""
        return np.concatenate([self.foreground, self.background])

    def __len__(self) -> int:
        return len(self.foreground) + len(self.background)
