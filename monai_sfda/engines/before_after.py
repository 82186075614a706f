"""The source model beside the adapted one on the target's scans, without labels: numbers for the record,
pictures for the report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.signals import TargetSurvey, survey_target
from monai_sfda.evaluation.embedding import ClassGaussians
from monai_sfda.evaluation.embedding_figure import EMBEDDING_CAPTION, EMBEDDING_FIGURE, embedding_figure
from monai_sfda.evaluation.figures import choose_slices, overlay_grid
from monai_sfda.evaluation.picture_figure import colours_of, picture_grid
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.prototypes import Prototypes

PICTURED_CASES = 3
SLICES_A_CASE = 2


@dataclass(frozen=True)
class Picture:
    """A picture for the report."""

    name: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class BeforeAfter:
    """What both networks say of the target.

    Attributes:
        record: `signals`, and for scans `volumes_ml` and `volumes_cut_cases`, as in `adaptation.json`.
        pictures: slices of a few scans, and the embeddings where there are prototypes.
    """

    record: dict[str, Any]
    pictures: list[Picture]


def compare_on_target(
    before: SegmentationNetwork,
    after: SegmentationNetwork,
    dataset: StackDataset,
    prototypes: Prototypes | None,
    *,
    device: torch.device,
    batch_size: int,
    seed: int,
) -> BeforeAfter:
    """Walks both networks over all target slices, once each.

    Args:
        before: the source model, on `device`.
        after: the adapted model, on `device`.
        dataset: target stacks.
        prototypes: of the release; None where there is none, and then no picture of the embeddings.
        device: where to compute.
        batch_size: slices at once.
        seed: of the sample of embeddings.
    """
    pictured = evenly_spaced(len(dataset.volumes), PICTURED_CASES)
    first, second = (
        survey_target(network, dataset, device, batch_size, keep=pictured, seed=seed)
        for network in (before, after)
    )
    record: dict[str, Any] = {"signals": {"before": first.signals(), "after": second.signals()}}
    if not dataset.task.pictures:
        record["volumes_ml"] = {"before": _rounded(first), "after": _rounded(second)}
        record["volumes_cut_cases"] = [volume.case.number for volume in dataset.volumes if volume.is_cut]
    pictures = [_slices_of(place, dataset, first, second) for place in pictured]
    if prototypes is not None:
        pictures.append(_embeddings(prototypes, dataset, first, second))
    return BeforeAfter(record, pictures)


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """At most `wanted` of the numbers 0 .. count - 1, evenly spaced, the first and the last among them."""
    spread = np.linspace(0, count - 1, min(count, wanted)).round().astype(int)
    return [int(number) for number in np.unique(spread)]


def _rounded(survey: TargetSurvey) -> dict[str, dict[str, float]]:
    """Volumes to the cubic millimetre, with the case numbers as JSON's keys."""
    return {
        str(case): {name: round(ml, 3) for name, ml in volumes.items()}
        for case, volumes in survey.volumes_ml.items()
    }


def _slices_of(place: int, dataset: StackDataset, before: TargetSurvey, after: TargetSurvey) -> Picture:
    """Slices of one scan, chosen by the predicted areas."""
    volume, axis = dataset.volumes[place], dataset.preprocessing.slice_axis
    first, second = before.segmentations[place], after.segmentations[place]
    case = volume.case.number
    caption = f"Adaptation scan A{case}: the scan, the source model (before), the adapted model (after)"
    if dataset.task.pictures:
        fixed = dataset.preprocessing.intensity.fixed or (0.0, 1.0)
        shown = (volume.image[:, 0].numpy() * fixed[1] + fixed[0]).clip(0, 255).transpose(1, 2, 0)
        structures = dataset.task.structures
        png = picture_grid(
            [
                ("picture", [shown.astype(np.uint8)]),
                ("before", [colours_of(first[0], structures)]),
                ("after", [colours_of(second[0], structures)]),
            ],
            structures,
        )
        return Picture(f"case_{case:03d}", caption.replace("scan", "picture"), png)
    in_volume = np.moveaxis(np.where(second > 0, second, first), 0, axis)
    slices = choose_slices(in_volume, SLICES_A_CASE, axis=axis)
    reach = dataset.preprocessing.stack_slices // 2
    images = [volume.image[0, s + reach].numpy() for s in slices]
    columns = [
        ("scan", [(image, None) for image in images]),
        ("before", [(image, first[s]) for image, s in zip(images, slices, strict=True)]),
        ("after", [(image, second[s]) for image, s in zip(images, slices, strict=True)]),
    ]
    pixel = dataset.preprocessing.pixel_size_mm or 1.0
    png = overlay_grid(
        columns,
        dataset.task.structures,
        pixel_size_mm=(pixel, pixel),
        axis=axis,
        row_titles=[f"slice {s + 1}" for s in slices],
    )
    return Picture(f"case_{case:03d}", caption, png)


def _embeddings(
    prototypes: Prototypes, dataset: StackDataset, before: TargetSurvey, after: TargetSurvey
) -> Picture:
    known = [int(k) for k in torch.nonzero(prototypes.available).flatten()]
    gaussians = ClassGaussians(
        tuple(known),
        prototypes.mean[known].double().numpy(),
        prototypes.covariance[known].double().numpy(),
    )
    panels = {
        "before adaptation": (before.embeddings, before.classes),
        "after adaptation": (after.embeddings, after.classes),
    }
    png = embedding_figure(gaussians, panels, dataset.task.structures)
    return Picture(EMBEDDING_FIGURE, EMBEDDING_CAPTION, png)
