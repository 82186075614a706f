"""Fields known at equidistant nodes, brought to every voxel by linear interpolation, one axis at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_sfda.phantom.geometry import Float32


def linear_weights(count: int, nodes: int) -> Float32:
    """(count, nodes) weights of linear interpolation from equidistant nodes to voxels."""
    position = np.linspace(0.0, nodes - 1.0, count)
    first = np.minimum(position.astype(int), nodes - 2)
    weights = np.zeros((count, nodes), np.float32)
    rows = np.arange(count)
    weights[rows, first + 1] = position - first
    weights[rows, first] = 1.0 - (position - first)
    return weights


def interpolate_separably(values: Float32, weights: Sequence[Float32]) -> Float32:
    """Values at nodes (I, J, K) to voxels (X, Y, Z), one axis after the other."""
    out = np.tensordot(values, weights[2], (2, 1))
    out = np.tensordot(out, weights[1], (1, 1)).transpose(0, 2, 1)
    out = np.tensordot(weights[0], out, (1, 0))
    return np.ascontiguousarray(out, np.float32)
