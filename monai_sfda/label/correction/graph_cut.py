"""The cheapest cut between a structure and its surroundings, through MONAI Label's graph cut."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EDGE = 3.0
"""sigma of the edge term, in units of noise: smaller steps between neighbours are no edge."""
_CONNECTIVITY = 6
_SURE = 1e-6


def graph_cut(
    images: NDArray[np.float32], probability: NDArray[np.float32], smoothness: float
) -> NDArray[np.bool_]:
    """Minimises sum_v -log P_v(x_v) + lambda sum exp(-|I_v - I_u|^2 / 2 sigma^2) [x_v != x_u].

    Args:
        images: (C, A, B, C') float32 in units of their noise.
        probability: (A, B, C') of x_v = 1; 0 and 1 are hard.
        smoothness: lambda.

    Returns:
        (A, B, C') x.
    """
    import numpymaxflow

    p = probability.clip(_SURE, 1 - _SURE).astype(np.float32)
    if min(p.shape) < 1:
        return p > 0.5
    both = np.ascontiguousarray(np.stack([1 - p, p]))
    cut = numpymaxflow.maxflow(
        np.ascontiguousarray(images), both, float(smoothness), EDGE, connectivity=_CONNECTIVITY
    )
    found = np.asarray(cut[0] > 0.5, np.bool_)
    found[probability >= 1], found[probability <= 0] = True, False
    return found
