"""How connected a segmentation is: pieces of each structure, and from slice to slice."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from monai_sfda.guard.overlap import Overlap, mean_of_shown

SPECK = 8
"""Pieces of fewer voxels than this, on the network's grid, are not counted."""


def pieces(mask: NDArray[np.bool_]) -> tuple[int, float]:
    """Connected pieces of a structure, and the share of its voxels in the largest one.

    Voxels are connected that share a face, an edge or a corner.

    Args:
        mask: (S, H, W), with at least one voxel.

    Returns:
        Number of pieces of at least `SPECK` voxels, at least 1; share in 0..1.
    """
    found, _ = ndimage.label(mask, structure=np.ones((3, 3, 3), dtype=bool))
    sizes = np.bincount(found.ravel())[1:]
    return max(1, int((sizes >= SPECK).sum())), float(sizes.max() / sizes.sum())


def connectivity_signals(
    segmentation: NDArray[np.uint8], structures: Mapping[str, int], classes: int
) -> dict[str, float]:
    """Means over the predicted structures of the number of `components`, of the share in the
    `largest_component`, and of the `continuity`: the Dice of the masks of neighbouring slices, summed over
    all of them.

    What is not predicted, and the continuity of a single slice, is absent.

    Args:
        segmentation: (S, H, W) classes, without padding.
        structures: names to classes, background left out.
        classes: K.
    """
    of_structures = [
        pieces(_cropped(segmentation == k)) for k in structures.values() if (segmentation == k).any()
    ]
    if not of_structures:
        return {}
    found = {
        "components": float(np.mean([number for number, _ in of_structures])),
        "largest_component": float(np.mean([share for _, share in of_structures])),
    }
    if len(segmentation) > 1:
        overlap = Overlap(classes)
        slices = torch.from_numpy(np.ascontiguousarray(segmentation))
        overlap.update(slices[:-1], slices[1:])
        mean = mean_of_shown(overlap.dice(list(structures.values())))
        if mean is not None:
            found["continuity"] = mean
    return found


def _cropped(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without the empty slices, rows and columns round it."""
    for axis in range(mask.ndim):
        shown = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        mask = mask.take(range(int(shown[0]), int(shown[-1]) + 1), axis=axis)
    return mask
