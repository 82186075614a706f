"""Evaluation as a paper did it: on crops that look at labels, on chosen slices, in the paper's units.

What is read of a label here decides how a score is taken and nothing else. `VolumeEvaluator` alone comes
here: no training, no adaptation, no choice of weights (`tests/test_protocols_are_out_of_reach.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_sfda.catalog import IGNORED, PublishedProtocol, Task, without_background
from monai_sfda.data.scan import Scan
from monai_sfda.engines.inference import segment_slices
from monai_sfda.engines.volumes import Segmenter
from monai_sfda.errors import DataError, SettingError
from monai_sfda.evaluation.label_crop import Window, label_window, resample_classes
from monai_sfda.evaluation.metrics import StructureScore, largest_component, score_case
from monai_sfda.evaluation.published_distances import PUBLISHED_DISTANCES
from monai_sfda.transforms import SliceGrid


@dataclass(frozen=True)
class ScoredVolume:
    """What a protocol compares of one scan.

    Attributes:
        prediction, reference: (S, h, w) classes of the slices that are scored.
        spacing_mm: distance between slices, and size of a pixel along h and w, mm; None for pictures.
    """

    prediction: NDArray[np.uint8]
    reference: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float] | None


@dataclass(frozen=True)
class PublishedScores:
    """The scores of one scan.

    Attributes:
        scores: a structure or region each.
        distances: name of a published distance to structure or region to value; None: undefined.
    """

    scores: list[StructureScore]
    distances: dict[str, dict[str, float | None]]


def check_protocol(protocol: PublishedProtocol, domain: str, largest_component: bool) -> None:
    """Refuses what would not be the protocol any more.

    Raises:
        SettingError: for the source's scans, or a setting that the protocol makes itself.
    """
    if domain != "target":
        raise SettingError(
            f"protocol '{protocol.name}' is that of the target, and domain is '{domain}'",
            remedy="add --domain target, or leave protocol out",
        )
    if largest_component:
        raise SettingError(
            f"largest_component is a choice of protocol '{protocol.name}' itself",
            remedy="leave largest_component out",
        )


def score_as_published(
    protocol: PublishedProtocol,
    segmenter: Segmenter,
    scan: Scan,
    label: NDArray[np.uint8],
    task: Task,
    number: int,
) -> PublishedScores:
    """Segments and scores one scan as a paper did.

    Args:
        protocol: of the task.
        segmenter: network and preprocessing of the target's modality.
        scan, label: on one grid, (X, Y, Z).
        task: whose structures are scored.
        number: of the case.

    Raises:
        DataError: when the protocol needs a structure and the label shows none.
    """
    volume = scored_volume(protocol, segmenter, scan, label, task)
    prediction, reference, spacing = volume.prediction, volume.reference, volume.spacing_mm
    scores = score_case(number, prediction, reference, spacing, task.labels, task.regions)
    voxels, unit = (1.0, 1.0, 1.0), protocol.voxel_mm
    if unit is not None and spacing is not None:
        voxels = (spacing[0] / unit, spacing[1] / unit, spacing[2] / unit)
    named: dict[str, tuple[int, ...]] = {n: (index,) for n, index in without_background(task.labels).items()}
    named |= {region.name: region.indices for region in task.regions}
    return PublishedScores(
        scores,
        {
            distance: {
                name: PUBLISHED_DISTANCES[distance](
                    np.isin(prediction, indices), np.isin(reference, indices), voxels
                )
                for name, indices in named.items()
            }
            for distance in protocol.distances
        },
    )


def scored_volume(
    protocol: PublishedProtocol, segmenter: Segmenter, scan: Scan, label: NDArray[np.uint8], task: Task
) -> ScoredVolume:
    """Prediction and reference of one scan on the grid and the slices that a protocol scores.

    The network sees the crop at the pixel size that it was trained at; its probabilities are resampled to the
    scored grid, and the label by its nearest pixels.

    Raises:
        DataError: when the protocol needs a structure and the label shows none.
    """
    slices, grid = segmenter.preprocessing.planes(scan.array, scan.affine)
    planes: NDArray[np.uint8] = grid.to_slices(label[None])[:, 0].numpy()
    labelled = np.isin(planes, [s.index for s in task.structures]) & (planes != IGNORED)
    if (protocol.crop is not None or protocol.labelled_slices) and not labelled.any():
        raise DataError(
            f"the label shows no structure, and protocol '{protocol.name}' looks for them",
            remedy="leave the case out, or use the task's own protocol",
        )
    extent = (grid.sampled_shape[0] * grid.pixel_mm[0], grid.sampled_shape[1] * grid.pixel_mm[1])
    window = label_window(labelled, protocol.crop, grid.sampled_shape, extent)
    rows, columns = window.rows_and_columns()
    if protocol.crop_before_intensities:
        slices = segmenter.preprocessing.normalise(slices[..., rows, columns])
    else:
        slices = segmenter.preprocessing.normalise(slices)[..., rows, columns]
    shape = _scored_shape(protocol, grid, window)
    inferer, device = segmenter.inferer, segmenter.device
    prediction = segment_slices(slices, segmenter.network, inferer, device, shape)[:, 0].numpy()
    reference = resample_classes(planes, window, grid.sampled_shape, shape)
    if protocol.labelled_slices:
        shown = labelled.any(axis=(1, 2))
        prediction, reference = prediction[shown], reference[shown]
    if protocol.largest_component:
        prediction = largest_component(prediction, task.labels)
    size = (window.height * grid.pixel_mm[0] / shape[0], window.width * grid.pixel_mm[1] / shape[1])
    return ScoredVolume(prediction, reference, None if task.pictures else (grid.slice_mm, *size))


def _scored_shape(protocol: PublishedProtocol, grid: SliceGrid, window: Window) -> tuple[int, int]:
    """(h, w) that a window of every slice is scored at."""
    if protocol.size is not None:
        return protocol.size
    if protocol.pixel_mm is not None:
        height, width = (
            max(1, round(count * pixel / protocol.pixel_mm))
            for count, pixel in zip((window.height, window.width), grid.pixel_mm, strict=True)
        )
        return height, width
    height, width = (
        max(1, round(count * own / sampled))
        for count, own, sampled in zip(
            (window.height, window.width), grid.plane_shape, grid.sampled_shape, strict=True
        )
    )
    return height, width
