"""Label-free numbers and pictures of a network on target stacks, before and after adaptation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from monai_sfda.catalog import Task
from monai_sfda.data.stacks import StackDataset
from monai_sfda.evaluation.figures import choose_slices, overlay_grid
from monai_sfda.networks import SegmentationNetwork

MOST_SLICES = 512
PICTURED_CASES = 3
SLICES_A_CASE = 2


def label_free_signals(
    network: SegmentationNetwork,
    dataset: StackDataset,
    device: torch.device,
    batch_size: int,
    names: Sequence[str],
) -> dict[str, Any]:
    """Mean entropy (nats a pixel) and predicted class ratios over target slices, evenly spaced when there are
    many.
    """
    network.eval()
    indices = np.unique(
        np.linspace(0, len(dataset) - 1, min(len(dataset), MOST_SLICES)).round().astype(int)
    ).tolist()
    entropy, ratio, slices = 0.0, torch.zeros(network.num_classes, dtype=torch.float64), 0
    with torch.inference_mode():
        for start in range(0, len(indices), batch_size):
            batch = torch.stack([dataset[i]["image"] for i in indices[start : start + batch_size]]).to(device)
            log_p = network(batch).float().log_softmax(1)
            p = log_p.exp()
            entropy += float(-(p * log_p).sum(1).mean(dim=(1, 2)).sum())
            ratio += p.mean(dim=(2, 3)).sum(0).double().cpu()
            slices += batch.shape[0]
    return {
        "entropy": entropy / slices,
        "class_ratio": {name: float(r) / slices for name, r in zip(names, ratio, strict=True)},
    }


@dataclass(frozen=True)
class Picture:
    """A picture for the report."""

    name: str
    caption: str
    png: bytes


def before_after_pictures(
    before: SegmentationNetwork,
    after: SegmentationNetwork,
    dataset: StackDataset,
    task: Task,
    device: torch.device,
    batch_size: int,
) -> list[Picture]:
    """Slices of a few target scans under both networks; scans by even spacing, slices by predicted area."""
    volumes = dataset.volumes
    chosen = np.unique(
        np.linspace(0, len(volumes) - 1, min(len(volumes), PICTURED_CASES)).round().astype(int)
    ).tolist()
    starts = np.cumsum([0, *(v.num_slices for v in volumes)])
    axis = dataset.preprocessing.slice_axis
    pixel = dataset.preprocessing.pixel_size_mm or 1.0
    pictures = []
    for number in chosen:
        indices = list(range(int(starts[number]), int(starts[number + 1])))
        first = _classes(before, dataset, indices, device, batch_size)
        second = _classes(after, dataset, indices, device, batch_size)
        in_volume = np.moveaxis(np.where(second > 0, second, first), 0, axis)
        slices = choose_slices(in_volume, SLICES_A_CASE, axis=axis)
        middle = dataset.preprocessing.stack_slices // 2
        images = [dataset[indices[s]]["image"][middle].numpy() for s in slices]
        columns = [
            ("scan", [(image, None) for image in images]),
            ("before", [(image, first[s]) for image, s in zip(images, slices, strict=True)]),
            ("after", [(image, second[s]) for image, s in zip(images, slices, strict=True)]),
        ]
        png = overlay_grid(
            columns,
            task.structures,
            pixel_size_mm=(pixel, pixel),
            axis=axis,
            row_titles=[f"slice {s + 1}" for s in slices],
        )
        case = volumes[number].case.number
        pictures.append(
            Picture(
                f"case_{case:03d}", f"Target scan {case}: the scan, the source model, the adapted model", png
            )
        )
    return pictures


def _classes(
    network: SegmentationNetwork,
    dataset: StackDataset,
    indices: Sequence[int],
    device: torch.device,
    batch_size: int,
) -> NDArray[np.uint8]:
    network.eval()
    chosen = []
    with torch.inference_mode():
        for start in range(0, len(indices), batch_size):
            batch = torch.stack([dataset[i]["image"] for i in indices[start : start + batch_size]]).to(device)
            chosen.append(network(batch).argmax(1).to(torch.uint8).cpu())
    return torch.cat(chosen).numpy()
