"""The source model beside the adapted one on the target's scans, without labels: numbers for the record,
pictures for the report.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.signals import TargetSurvey, survey_target
from monai_sfda.evaluation.embedding import ClassGaussians
from monai_sfda.evaluation.embedding_figure import EMBEDDING_CAPTION, EMBEDDING_FIGURE, embedding_figure
from monai_sfda.evaluation.figures import choose_slices, overlay_grid
from monai_sfda.evaluation.moments import AFTER, BEFORE, PUBLISHED, moment_titles
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
    """What the networks say of the target.

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
    chosen: str | None = None,
    published: SegmentationNetwork | None = None,
    guard_scans: Collection[int] = (),
) -> BeforeAfter:
    """Walks the networks over all target slices, once each.

    Args:
        before: the source model, on `device`.
        after: the adapted model as the method left it, on `device`.
        dataset: target stacks.
        prototypes: of the release; None where there is none, and then no picture of the embeddings.
        device: where to compute.
        batch_size: slices at once.
        seed: of the sample of embeddings.
        chosen: the candidate that the run publishes; None where no guard has chosen.
        published: its network, on `device`, where it is neither of the two.
        guard_scans: numbers of the cases that were kept from the method.
    """
    pictured = evenly_spaced(len(dataset.volumes), PICTURED_CASES)
    networks = {BEFORE: before, PUBLISHED: published, AFTER: after}
    surveys = {
        moment: survey_target(network, dataset, device, batch_size, keep=pictured, seed=seed)
        for moment, network in networks.items()
        if network is not None
    }
    record: dict[str, Any] = {"signals": {moment: s.signals() for moment, s in surveys.items()}}
    if not dataset.task.pictures:
        record["volumes_ml"] = {moment: _rounded(survey) for moment, survey in surveys.items()}
        record["volumes_cut_cases"] = [volume.case.number for volume in dataset.volumes if volume.is_cut]
    titles = moment_titles(chosen)
    columns = {titles[moment]: survey for moment, survey in surveys.items()}
    pictures = [_slices_of(place, dataset, columns, guard_scans) for place in pictured]
    if prototypes is not None:
        pictures.append(_embeddings(prototypes, dataset, surveys[BEFORE], surveys[AFTER], titles[AFTER]))
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


def _slices_of(
    place: int, dataset: StackDataset, surveys: Mapping[str, TargetSurvey], guard_scans: Collection[int]
) -> Picture:
    """Slices of one scan, chosen by the areas that the last of the networks predicts, or else the first."""
    volume, axis = dataset.volumes[place], dataset.preprocessing.slice_axis
    found = {title: survey.segmentations[place] for title, survey in surveys.items()}
    first, last = next(iter(found.values())), list(found.values())[-1]
    case, what = volume.case.number, "picture" if dataset.task.pictures else "scan"
    kept = ", kept from the method for the guard" if case in guard_scans else ""
    caption = f"Target {what} A{case}{kept}: the {what}, the source model (before), the method's end (after)"
    if len(found) > 2:
        caption += "; between them the checkpoint that the guard chose"
    if dataset.task.pictures:
        fixed = dataset.preprocessing.intensity.fixed or (0.0, 1.0)
        shown = (volume.image[:, 0].numpy() * fixed[1] + fixed[0]).clip(0, 255).transpose(1, 2, 0)
        structures = dataset.task.structures
        columns_of_colours = [
            (title, [colours_of(segmentation[0], structures)]) for title, segmentation in found.items()
        ]
        png = picture_grid([("picture", [shown.astype(np.uint8)]), *columns_of_colours], structures)
        return Picture(f"case_{case:03d}", caption, png)
    in_volume = np.moveaxis(np.where(last > 0, last, first), 0, axis)
    slices = choose_slices(in_volume, SLICES_A_CASE, axis=axis)
    reach = dataset.preprocessing.stack_slices // 2
    images = [volume.image[0, s + reach].numpy() for s in slices]
    columns = [
        (title, [(image, segmentation[s]) for image, s in zip(images, slices, strict=True)])
        for title, segmentation in found.items()
    ]
    pixel = dataset.preprocessing.pixel_size_mm or 1.0
    png = overlay_grid(
        [("scan", [(image, None) for image in images]), *columns],
        dataset.task.structures,
        pixel_size_mm=(pixel, pixel),
        axis=axis,
        row_titles=[f"slice {s + 1}" for s in slices],
    )
    return Picture(f"case_{case:03d}", caption, png)


def _embeddings(
    prototypes: Prototypes, dataset: StackDataset, before: TargetSurvey, after: TargetSurvey, title: str
) -> Picture:
    known = [int(k) for k in torch.nonzero(prototypes.available).flatten()]
    gaussians = ClassGaussians(
        tuple(known),
        prototypes.mean[known].double().numpy(),
        prototypes.covariance[known].double().numpy(),
    )
    panels = {
        "before adaptation": (before.embeddings, before.classes),
        title.replace(AFTER, "after adaptation", 1): (after.embeddings, after.classes),
    }
    png = embedding_figure(gaussians, panels, dataset.task.structures)
    return Picture(EMBEDDING_FIGURE, EMBEDDING_CAPTION, png)
