"""How deep a voxel lies in the trunk: noise, beam hardening and coil sensitivity depend on it."""

from __future__ import annotations

import numpy as np

from monai_sfda.phantom.geometry import Float32, Grid


def axial_mm(grid: Grid) -> tuple[Float32, Float32]:
    """Patient x and y (mm) of the voxels, broadcastable to (X, Y, Z); one slice where all share them."""
    slices = 1 if np.abs(grid.affine[:2, 2]).max() < 1e-9 else grid.shape[2]
    axes = [np.arange(n, dtype=np.float32) for n in (*grid.shape[:2], slices)]
    i, j, k = np.meshgrid(*axes, indexing="ij", sparse=True)
    rows = grid.affine[:2].astype(np.float32)
    x, y = (row[0] * i + row[1] * j + row[2] * k + row[3] for row in rows)
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def depth(grid: Grid) -> Float32:
    """One in the middle of the trunk, about zero at the skin and outside, broadcastable to (X, Y, Z)."""
    x, y = axial_mm(grid)
    return np.exp(-((x / 120.0) ** 2) - (y / 90.0) ** 2)
