"""Where the voxels of a grid lie in the undeformed reference body."""

from __future__ import annotations

import numpy as np

from monai_sfda.phantom.draws import Point
from monai_sfda.phantom.geometry import BodyCoordinates, Grid
from monai_sfda.phantom.interpolation import interpolate_separably, linear_weights
from monai_sfda.phantom.warp import Warp

_NODE_MM = 8.0  # distance of the nodes between which body coordinates are interpolated


def deformed_coordinates(grid: Grid, scale: Point, warp: Warp) -> BodyCoordinates:
    """The reference body's coordinates at the voxels of a grid.

    The mapping is evaluated at nodes some 8 mm apart and interpolated linearly between them (error below 0.2
    mm).

    Args:
        grid: voxels of a subject.
        scale: size of the subject relative to the reference body, per axis.
        warp: deformation of the reference body.
    """
    counts = [
        max(2, int(np.ceil((n - 1) * s / _NODE_MM)) + 1)
        for n, s in zip(grid.shape, grid.spacing_mm, strict=True)
    ]
    axes = [np.linspace(0.0, n - 1.0, c) for n, c in zip(grid.shape, counts, strict=True)]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    points = grid.world(nodes) / np.asarray(scale)
    displacement = warp.displacement(points)
    coordinates = (points + displacement).astype(np.float32)
    weights = [linear_weights(n, c) for n, c in zip(grid.shape, counts, strict=True)]
    x, y, z = (interpolate_separably(coordinates[..., axis], weights) for axis in range(3))
    reach = float(np.abs(displacement * np.asarray(scale)).max())
    return BodyCoordinates(grid, x, y, z, scale, reach)
