"""What a network says of unlabelled target scans, in one pass over all their slices: entropy, class ratios,
volumes, and a sample of its embeddings.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_sfda.catalog import without_background
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.pixel_sample import PixelSample
from monai_sfda.networks import SegmentationNetwork

POINTS_A_CLASS = 400


@dataclass(frozen=True)
class TargetSurvey:
    """One network on all target slices.

    Attributes:
        entropy: mean over pixels of -sum_k p_k log p_k, nats.
        class_ratio: structure, background included, to the mean of its predicted probability over pixels.
        volumes_ml: case number to structure or region to predicted volume: pixels of the resampled slices
            inside the scan's field of view, times the volume of a resampled voxel, ml. Pictures have none.
        segmentations: place in the list of volumes to its predicted classes (S, H, W), for the volumes asked
            for.
        embeddings: (N, D) of a random sample of pixels inside the field of view, the same number a class.
        classes: (N,) predicted classes of that sample.
    """

    entropy: float
    class_ratio: dict[str, float]
    volumes_ml: dict[int, dict[str, float]]
    segmentations: dict[int, NDArray[np.uint8]]
    embeddings: NDArray[np.float64]
    classes: NDArray[np.int64]

    def signals(self) -> dict[str, Any]:
        """As they stand in `adaptation.json`."""
        return {"entropy": self.entropy, "class_ratio": self.class_ratio}


def survey_target(
    network: SegmentationNetwork,
    dataset: StackDataset,
    device: torch.device,
    batch_size: int,
    *,
    keep: Collection[int] = (),
    seed: int = 0,
) -> TargetSurvey:
    """Walks a network over all slices once. No label is read.

    Args:
        network: on `device`; put into evaluation mode.
        dataset: target stacks.
        device: where to compute.
        batch_size: slices at once.
        keep: places in the list of volumes whose predicted classes are kept.
        seed: of the sample of embeddings; networks surveyed with the same seed and batch size share pixels.
    """
    network.eval()
    labels = dataset.task.labels
    entropy, ratio, slices = 0.0, torch.zeros(network.num_classes, dtype=torch.float64), 0
    sample = PixelSample(network.num_classes, POINTS_A_CLASS, seed)
    volumes_ml: dict[int, dict[str, float]] = {}
    segmentations: dict[int, NDArray[np.uint8]] = {}
    with torch.inference_mode():
        for place, volume in enumerate(dataset.volumes):
            rows, columns = volume.field_of_view
            counts = torch.zeros(network.num_classes, dtype=torch.int64)
            kept: list[Tensor] = []
            for start in range(0, volume.num_slices, batch_size):
                indices = range(slices + start, slices + min(start + batch_size, volume.num_slices))
                batch = torch.stack([dataset[i]["image"] for i in indices]).to(device)
                z = network.features(batch)
                log_p = network.classify(z).float().log_softmax(1)
                p = log_p.exp()
                entropy += float(-(p * log_p).sum(1).mean(dim=(1, 2)).sum())
                ratio += p.mean(dim=(2, 3)).sum(0).double().cpu()
                classes = log_p.argmax(1).cpu()
                seen = classes[:, rows, columns]
                counts += torch.bincount(seen.flatten(), minlength=network.num_classes)
                sample.update(z[:, :, rows, columns], seen)
                if place in keep:
                    kept.append(classes.to(torch.uint8))
            slices += volume.num_slices
            if volume.voxel_ml is not None:
                structures = without_background(labels)
                volumes_ml[volume.case.number] = dataset.task.with_regions(
                    {name: float(counts[i]) * volume.voxel_ml for name, i in structures.items()}
                )
            if kept:
                segmentations[place] = torch.cat(kept).numpy()
    points, point_classes = sample.result()
    return TargetSurvey(
        entropy=entropy / slices,
        class_ratio={name: float(ratio[index]) / slices for name, index in labels.items()},
        volumes_ml=volumes_ml,
        segmentations=segmentations,
        embeddings=points.double().numpy(),
        classes=point_classes.numpy(),
    )
