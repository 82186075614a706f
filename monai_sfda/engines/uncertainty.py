"""A scan's segmentation with what its probabilities say of it: entropy a voxel, confidence a structure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from monai_sfda.catalog import without_background
from monai_sfda.data.scan import Scan
from monai_sfda.engines.inference import SliceStackInferer, plane_probabilities
from monai_sfda.evaluation.regions import largest_component
from monai_sfda.transforms import Preprocessing

_MOST_CLASSES = 256
"""That a mask of uint8 can tell apart."""


@dataclass(frozen=True)
class StructureConfidence:
    """How sure a network is of one structure of one scan: m_v is 1 where the mask has it, p_v its
    probability.

    Attributes:
        mean_probability: sum_v p_v m_v / sum_v m_v, over the structure's voxels.
        soft_dice: 2 sum_v p_v m_v / (sum_v p_v + sum_v m_v), over all voxels of the scan: the Dice that the
            mask would have if every voxel belonged to the structure with probability p_v, as a ratio of
            expectations. It is lowered by what the mask leaves out as well as by what it is unsure of.

    Source: Borges, Pacheco and Silva, "Soft Dice Confidence", arXiv 2402.10665, for `soft_dice`.
    """

    mean_probability: float
    soft_dice: float

    def to_json(self) -> dict[str, float]:
        """As it stands in `inference.json`."""
        return {"mean_probability": round(self.mean_probability, 4), "soft_dice": round(self.soft_dice, 4)}


@dataclass(frozen=True)
class Prediction:
    """What a network says of a scan, on the scan's own grid.

    Attributes:
        classes: (X, Y, Z) uint8, the most probable class of every voxel, or background where
            `largest_component` took a smaller region away.
        confidence: of each structure, of `classes` as they are; None for one that is not there, or whose
            probabilities are no numbers.
        entropy: (X, Y, Z) float32, -sum_k p_k log p_k in nats: 0 where the network is certain, log K where it
            is undecided between all classes; None when it was not asked for.
    """

    classes: NDArray[np.uint8]
    confidence: Mapping[str, StructureConfidence | None]
    entropy: NDArray[np.float32] | None


def predict_scan(
    scan: Scan,
    network: nn.Module,
    preprocessing: Preprocessing,
    inferer: SliceStackInferer,
    device: torch.device | str,
    labels: Mapping[str, int],
    *,
    keep_largest: bool = False,
    entropy: bool = False,
) -> Prediction:
    """As `segment_scan`, with confidence and entropy from the same forward passes.

    Entropy and confidence are those of the probabilities that the class of a voxel is chosen by, after their
    resampling to the scan's pixels. Beside the mask, memory holds a float32 a voxel for the entropy, and with
    `keep_largest` one a voxel of a structure.

    Args:
        scan: to segment.
        network: in evaluation mode, on `device`.
        preprocessing: of the scan's modality.
        inferer: slices to logits.
        device: where the network lies.
        labels: class names to indices.
        keep_largest: keep the largest connected component of each structure. The entropy stays that of the
            network: where a region was taken away it tells how sure the network was there.
        entropy: whether the entropy of every voxel is wanted.
    """
    slices, grid = preprocessing.image(scan.array, scan.affine)
    classes = np.zeros((1, *scan.shape), np.uint8)
    entropies = np.zeros((1, *scan.shape), np.float32) if entropy else None
    class_planes = grid.view_slices(classes)
    entropy_planes = None if entropies is None else grid.view_slices(entropies)
    sums, of_structures, done = _ConfidenceSums(), [torch.zeros(0)], 0
    for p in plane_probabilities(slices, network, inferer, device, grid.plane_shape):
        now = slice(done, done + p.shape[0])
        done += p.shape[0]
        probability, most_probable = p.max(1, keepdim=True)
        class_planes[now] = most_probable.to(torch.uint8).cpu().numpy()
        if entropy_planes is not None:
            entropy_planes[now] = torch.special.entr(p).sum(1, keepdim=True).cpu().numpy()
        sums.add_probabilities(p)
        if keep_largest:
            of_structures.append(probability[most_probable > 0].cpu())
        else:
            sums.add_members(most_probable, probability)
    segmentation = classes[0]
    if keep_largest:
        segmentation = largest_component(segmentation, labels)
        members = grid.view_slices(segmentation[None])[np.greater(class_planes, 0)]
        sums.add_members(torch.from_numpy(members), torch.cat(of_structures))
    return Prediction(segmentation, sums.confidence(labels), None if entropies is None else entropies[0])


class _ConfidenceSums:
    """The three sums over voxels that confidences are made of, of every class."""

    def __init__(self) -> None:
        self._probability, self._members, self._members_probability = np.zeros((3, _MOST_CLASSES))

    def add_probabilities(self, p: Tensor) -> None:
        """Probabilities (B, K, H, W) of all voxels."""
        self._probability[: p.shape[1]] += p.sum((0, 2, 3), dtype=torch.float64).cpu().numpy()

    def add_members(self, classes: Tensor, probability: Tensor) -> None:
        """Voxels in any shape: the class that each is given, and the probability of its most probable one.

        Both are of the same class but for voxels that were made background; the background is not asked for.
        """
        flat, size = classes.flatten().long(), _MOST_CLASSES
        weights = probability.flatten().double()
        self._members += torch.bincount(flat, minlength=size).cpu().numpy()
        self._members_probability += torch.bincount(flat, weights, minlength=size).cpu().numpy()

    def confidence(self, labels: Mapping[str, int]) -> dict[str, StructureConfidence | None]:
        """Of each structure; None for one without voxels."""
        found: dict[str, StructureConfidence | None] = {}
        for name, index in without_background(labels).items():
            members, common = float(self._members[index]), float(self._members_probability[index])
            known = members > 0 and math.isfinite(common)
            found[name] = (
                StructureConfidence(
                    common / members, 2 * common / (float(self._probability[index]) + members)
                )
                if known
                else None
            )
        return found
