"""How well one segmented volume agrees with its reference: overlap, surface distances in mm, volumes in ml.

Every structure of a case gets one `StructureScore`. What is undefined is None, and `state` says why:

| state | Dice, IoU | distances |
|---|---|---|
| `defined` | measured | measured |
| `one_empty` (the structure is in one of the two alone) | 0 | None |
| `both_empty` (it is in neither) | None | None |

Distances are computed on the voxel edges that `monai.metrics` uses, and follow its conventions (Maier-Hein et
al. 2024, "Metrics reloaded", doi 10.1038/s41592-023-02151-z, names the choices).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_sfda.catalog import IGNORED, Region, without_background
from monai_sfda.errors import DataError
from monai_sfda.evaluation.regions import bounding_box, centre_blob, check_spacing, largest_component
from monai_sfda.evaluation.surface import (
    average_symmetric_surface_distance,
    directed_surface_distances,
    hausdorff_distance,
)

__all__ = [
    "BOTH_EMPTY",
    "DEFINED",
    "METRICS",
    "ONE_EMPTY",
    "StructureScore",
    "centre_blob",
    "largest_component",
    "score_case",
]

DEFINED = "defined"
BOTH_EMPTY = "both_empty"
ONE_EMPTY = "one_empty"

METRICS: tuple[str, ...] = ("dice", "iou", "assd_mm", "hd95_mm", "hd_mm")
"""The measured attributes of a `StructureScore`, in the order of files and tables."""


@dataclass(frozen=True)
class StructureScore:
    """One structure of one case.

    Attributes:
        case: the case's number; which file it was is written in the run's `cases.csv` alone.
        structure: name of the structure or region.
        dice: 2 |P and R| / (|P| + |R|), in voxels; 1 is perfect.
        iou: |P and R| / |P or R|; 1 is perfect.
        assd_mm: average symmetric surface distance; 0 is perfect.
        hd95_mm: larger one of the two directed 95th percentiles of surface distance.
        hd_mm: Hausdorff distance, the largest surface distance either way.
        state: `defined`, `both_empty` or `one_empty`.
        predicted_ml, reference_ml: volumes; None for pictures, which have no size.
        predicted_voxels, reference_voxels, common_voxels: |P|, |R| and |P and R|.
    """

    case: int
    structure: str
    dice: float | None
    iou: float | None
    assd_mm: float | None
    hd95_mm: float | None
    hd_mm: float | None
    state: str
    predicted_ml: float | None
    reference_ml: float | None
    predicted_voxels: int
    reference_voxels: int
    common_voxels: int


def score_case(
    case: int,
    prediction: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    spacing_mm: tuple[float, float, float] | None,
    labels: Mapping[str, int],
    regions: Sequence[Region] = (),
) -> list[StructureScore]:
    """Score one case: a `StructureScore` for every structure that `labels` names, then for every region.

    Args:
        case: the case's number.
        prediction: (X, Y, Z) class indices.
        reference: (X, Y, Z) class indices by the expert, on the same grid. Voxels that are `IGNORED` count
            in neither.
        spacing_mm: distance between neighbouring voxels along each axis, mm; None for pictures, which then
            have no distances and volumes.
        labels: class names to indices; the background is not scored. Voxels of an index that is not named
            count as background.
        regions: unions of structures; a voxel mistaken for another structure of a region is right in it.

    Raises:
        DataError: when the arrays are not whole numbers on one 3D grid, or the spacing is impossible.
    """
    spacing = None if spacing_mm is None else check_spacing(spacing_mm)
    _check_volumes(case, prediction, reference)
    known = reference != IGNORED
    named: dict[str, tuple[int, ...]] = {n: (index,) for n, index in without_background(labels).items()}
    named |= {region.name: region.indices for region in regions}
    return [
        _score_structure(
            case, name, np.isin(prediction, indices) & known, np.isin(reference, indices), spacing
        )
        for name, indices in named.items()
    ]


def _score_structure(
    case: int,
    structure: str,
    predicted: NDArray[np.bool_],
    actual: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float] | None,
) -> StructureScore:
    predicted_count, actual_count = int(np.count_nonzero(predicted)), int(np.count_nonzero(actual))
    common = int(np.count_nonzero(predicted & actual))
    dice: float | None = None
    iou: float | None = None
    assd: float | None = None
    hd95: float | None = None
    hd: float | None = None
    if predicted_count == 0 and actual_count == 0:
        state = BOTH_EMPTY
    elif predicted_count == 0 or actual_count == 0:
        state, dice, iou = ONE_EMPTY, 0.0, 0.0
    else:
        state = DEFINED
        dice = 2.0 * common / (predicted_count + actual_count)
        iou = common / (predicted_count + actual_count - common)
    if state == DEFINED and spacing_mm is not None:
        box = bounding_box(predicted | actual)
        predicted, actual = predicted[box], actual[box]
        forward, backward = directed_surface_distances(predicted, actual, spacing_mm)
        assd = average_symmetric_surface_distance(forward, backward)
        hd95 = hausdorff_distance(forward, backward, percentile=95.0)
        hd = hausdorff_distance(forward, backward)
    voxel_ml = None if spacing_mm is None else float(np.prod(spacing_mm)) / 1000.0
    return StructureScore(
        case=case,
        structure=structure,
        dice=dice,
        iou=iou,
        assd_mm=assd,
        hd95_mm=hd95,
        hd_mm=hd,
        state=state,
        predicted_ml=None if voxel_ml is None else predicted_count * voxel_ml,
        reference_ml=None if voxel_ml is None else actual_count * voxel_ml,
        predicted_voxels=predicted_count,
        reference_voxels=actual_count,
        common_voxels=common,
    )


def _check_volumes(case: int, prediction: NDArray[np.uint8], reference: NDArray[np.uint8]) -> None:
    for name, array in (("prediction", prediction), ("reference", reference)):
        if array.ndim != 3:
            raise DataError(
                f"the {name} of case {case} has {array.ndim} dimensions, of shape {array.shape}",
                remedy="give one (X, Y, Z) volume of class indices, without channels",
            )
        if not (np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_):
            raise DataError(
                f"the {name} of case {case} holds {array.dtype} values",
                remedy="give whole class indices: take the argmax of probabilities first",
            )
    if prediction.shape != reference.shape:
        raise DataError(
            f"prediction and reference of case {case} have shapes {prediction.shape} and {reference.shape}",
            remedy="bring the prediction back to the grid of the reference before scoring",
        )
