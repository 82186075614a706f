"""Walks a network over target scans once and gives the guard's signals of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_sfda.catalog import without_background
from monai_sfda.data.cache import CachedVolume
from monai_sfda.data.stacks import StackDataset
from monai_sfda.guard.signals import ScanSignals
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.prototypes import Prototypes
from monai_sfda.release import ClassRatio, Release
from monai_sfda.transforms import stack_view


@dataclass(frozen=True)
class SourceKnowledge:
    """What a release says of the source; any part may be None.

    Attributes:
        prototypes: class Gaussians.
        class_ratio: shares of the classes over subjects.
        reference_scans: as `guard.Reference` writes it.
    """

    prototypes: Prototypes | None
    class_ratio: ClassRatio | None
    reference_scans: dict[str, Any] | None

    @staticmethod
    def of(release: Release) -> SourceKnowledge:
        """Of a release that was read."""
        return SourceKnowledge(release.prototypes, release.class_ratio, release.reference_scans)


def signals_of_scans(
    network: SegmentationNetwork,
    dataset: StackDataset,
    places: Sequence[int],
    knowledge: SourceKnowledge,
    *,
    device: torch.device,
    batch_size: int,
    seed: int,
    beside: Sequence[NDArray[np.uint8]] | None = None,
) -> list[ScanSignals]:
    """The signals of some scans; memory does not grow with their number. No label is read.

    Args:
        network: on `device`; put into evaluation mode.
        dataset: target stacks.
        places: which of `dataset.volumes`.
        knowledge: of the source.
        device: where to compute.
        batch_size: slices at once.
        seed: of what is drawn.
        beside: another network's segmentations of the same places, to compare with.
    """
    network.eval()
    with torch.inference_mode():
        return [
            _of_scan(network, dataset, dataset.volumes[place], device=device, batch_size=batch_size)
            for place in places
        ]


def _of_scan(
    network: SegmentationNetwork,
    dataset: StackDataset,
    volume: CachedVolume,
    *,
    device: torch.device,
    batch_size: int,
) -> ScanSignals:
    rows, columns = volume.field_of_view
    classes = network.num_classes
    entropy = 0.0
    soft, soft_and_hard, hard = (torch.zeros(classes, dtype=torch.float64) for _ in range(3))
    agreements = {name: torch.zeros(2, classes, dtype=torch.float64) for name in _CHANGES}
    kept: list[Tensor] = []
    n = dataset.preprocessing.stack_slices
    for start in range(0, volume.num_slices, batch_size):
        indices = range(start, min(start + batch_size, volume.num_slices))
        batch = torch.stack([stack_view(volume.image, i, n).flatten(0, 1) for i in indices]).to(device)
        log_p = network(batch).float().log_softmax(1)
        mask = log_p.argmax(1)
        kept.append(mask.to(torch.uint8).cpu())
        log_p, seen = log_p[:, :, rows, columns], mask[:, rows, columns]
        p = log_p.exp()
        entropy += float(-(p * log_p).sum(1).mean(dim=(1, 2)).sum())
        m = torch.nn.functional.one_hot(seen, classes).movedim(-1, 1).to(p.dtype)
        soft += p.sum(dim=(0, 2, 3)).double().cpu()
        hard += m.sum(dim=(0, 2, 3)).double().cpu()
        soft_and_hard += (p * m).sum(dim=(0, 2, 3)).double().cpu()
        for name, (there, back) in _CHANGES.items():
            other = back(network(there(batch)).float()).argmax(1)[:, rows, columns]
            o = torch.nn.functional.one_hot(other, classes).movedim(-1, 1).to(p.dtype)
            agreements[name][0] += (m * o).sum(dim=(0, 2, 3)).double().cpu()
            agreements[name][1] += (m + o).sum(dim=(0, 2, 3)).double().cpu()
    structures = without_background(dataset.task.labels)
    index = list(structures.values())
    shown = hard[index] > 0
    values = {"entropy": entropy / volume.num_slices}
    if bool(shown.any()):
        values["soft_dice"] = float((2 * soft_and_hard / (soft + hard).clamp_min(1e-9))[index][shown].mean())
    for name, (both, total) in agreements.items():
        there_is = total[index] > 0
        if bool(there_is.any()):
            values[name] = float((2 * both / total.clamp_min(1))[index][there_is].mean())
    shares = {name: float(hard[i] / hard.sum()) for name, i in structures.items()}
    return ScanSignals(values, shares, torch.cat(kept).numpy())


def _brighter(x: Tensor) -> Tensor:
    return 1.2 * x + 0.1


def _mirrored(x: Tensor) -> Tensor:
    return x.flip(-1)


def _same(x: Tensor) -> Tensor:
    return x


_CHANGES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "agreement_flip": (_mirrored, _mirrored),
    "agreement_intensity": (_brighter, _same),
}
