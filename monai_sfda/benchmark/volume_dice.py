"""Dice of whole scans on the network's own grid: quick enough to score many weights of one run."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_sfda.data.stacks import StackDataset
from monai_sfda.networks import SegmentationNetwork

BATCH = 8


def predicted_volumes(network: SegmentationNetwork, dataset: StackDataset) -> list[Tensor]:
    """(slices, H, W) uint8 classes of every scan, on the CPU.

    Args:
        network: in evaluation mode.
        dataset: stacks.
    """
    device = next(network.parameters()).device
    planes: list[Tensor] = []
    with torch.inference_mode():
        for start in range(0, len(dataset), BATCH):
            stop = min(start + BATCH, len(dataset))
            images = torch.stack([dataset[i]["image"] for i in range(start, stop)])
            planes.append(network(images.to(device)).argmax(1).to(torch.uint8).cpu())
    return list(torch.cat(planes).split([volume.num_slices for volume in dataset.volumes]))


def mean_dice(network: SegmentationNetwork, dataset: StackDataset) -> float | None:
    """Mean over structures of the mean over scans of 2 |P and R| / (|P| + |R|), on the stacks' pixels.

    A structure that neither the label nor the prediction of a scan has is left out. It is not the Dice of the
    tables, which is on the scan's own grid.

    Args:
        network: in evaluation mode.
        dataset: labelled stacks.

    Returns:
        None when nothing is defined.
    """
    structures = range(1, network.num_classes)
    rows: list[list[float]] = []
    for volume, predicted in zip(dataset.volumes, predicted_volumes(network, dataset), strict=True):
        if volume.label is None:
            continue
        reference = volume.label.reshape(predicted.shape)
        rows.append([_dice(predicted == k, reference == k) for k in structures])
    scores: NDArray[np.float64] = np.array(rows, dtype=np.float64).reshape(len(rows), len(structures))
    of_structure = [column[np.isfinite(column)].mean() for column in scores.T if np.isfinite(column).any()]
    return float(np.mean(of_structure)) if of_structure else None


def _dice(predicted: Tensor, reference: Tensor) -> float:
    total = int(predicted.sum()) + int(reference.sum())
    return 2 * int((predicted & reference).sum()) / total if total else float("nan")
