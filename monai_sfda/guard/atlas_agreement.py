"""Does a segmentation have its structures where the release's atlas has them?"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from monai_sfda.atlas import MARGIN, STEP_MM, Atlas, count_in_cells
from monai_sfda.body_coordinates import BodyCoordinates

LEAST = 1e-3
"""A probability below this counts as this: no single pixel decides."""
_CELLS = 32
_STEP_MM = STEP_MM / 2


def atlas_signals(
    segmentation: Tensor, coordinates: BodyCoordinates, atlas: Atlas, structures: Mapping[str, int]
) -> dict[str, float]:
    """The signals `atlas` and `atlas_dice` of a segmentation.

    With y_i the class and x_i the place of pixel i, a the atlas's probabilities, and P the predicted
    structures that the atlas knows,

        L(t) = 1/|P| sum_(k in P) mean_(i: y_i = k) log max(a_k(x_i + t), 0.001),

    where t shifts the scan from foot to head. `atlas` is the largest L(t) over the shifts, in steps of 10 mm,
    that bring scan and atlas together; only t = 0 where the atlas is not anchored, and in pictures. At that t
    `atlas_dice` is the mean over all structures k that the atlas knows and the scan could show of

        2 sum_(i: y_i = k) a_k / (|{i: y_i = k}| + sum_i a_k),

    which falls for structures that are missing or too large, too. An atlas is blurred: even a true
    segmentation is far from 0 and from 1.

    Args:
        segmentation: (S, H, W) classes, without padding.
        coordinates: of these slices.
        atlas: of the release.
        structures: names to classes, background left out.

    Returns:
        By name; empty where no structure that the atlas knows is predicted.
    """
    known = [k for k in structures.values() if int(atlas.subjects[k]) > 0]
    head = coordinates.places[2]
    cell = ((head - head.min()) / _STEP_MM).floor()
    count = int(cell.max()) + 1
    counts = count_in_cells(segmentation, coordinates, len(atlas.subjects), _CELLS, cell, count)
    of_structures, everything = counts[known], counts.sum(0)
    sizes = of_structures.sum((1, 2, 3))
    shown = sizes > 0
    if not bool(shown.any()):
        return {}
    heads = float(head.min()) + (torch.arange(count).double() + 0.5) * _STEP_MM
    first, shifts = 0, 1
    if atlas.anchored:
        # From the scan's upper end at the atlas's lower edge to its lower end at the upper edge.
        low = -atlas.reach_mm - float(heads[-1])
        first, shifts = round(low / _STEP_MM), round((atlas.reach_mm - float(heads[0]) - low) / _STEP_MM) + 1
    plane = ((torch.arange(_CELLS).double() + 0.5) / _CELLS) * (1 + 2 * MARGIN) - MARGIN
    reached = float(heads[0]) + (first + torch.arange(count + shifts - 1).double()) * _STEP_MM
    p = atlas.at(plane, plane, reached)[known]
    log_p = p[shown].clamp_min(LEAST).log()
    rows = of_structures[shown]
    fits = torch.stack(
        [((rows * log_p[..., i : i + count]).sum((1, 2, 3)) / sizes[shown]).mean() for i in range(shifts)]
    )
    best = int(fits.argmax())
    here = p[..., best : best + count]
    expected = (here * everything).sum((1, 2, 3))
    dice = 2 * (here * of_structures).sum((1, 2, 3)) / (sizes + expected).clamp_min(1e-12)
    possible = shown | (expected >= 1)
    return {"atlas": float(fits[best]), "atlas_dice": float(dice[possible].mean())}
