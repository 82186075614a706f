"""Walks a network over target scans once and gives the guard's signals of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from monai_sfda.atlas import Atlas
from monai_sfda.catalog import without_background
from monai_sfda.data.cache import CachedVolume
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.pixel_sample import PixelSample
from monai_sfda.engines.source_statistics import volume_coordinates
from monai_sfda.guard.agreement import Agreement
from monai_sfda.guard.anatomy import anatomy_signals
from monai_sfda.guard.atlas_agreement import atlas_signals
from monai_sfda.guard.changes import Change, changes_for
from monai_sfda.guard.connectivity import connectivity_signals
from monai_sfda.guard.density import soft_neighbourhood_density
from monai_sfda.guard.edges import EdgeContrast
from monai_sfda.guard.overlap import Overlap, mean_of_shown
from monai_sfda.guard.profile import ScanObserver, ScanProfile
from monai_sfda.guard.prototype_distances import prototype_mahalanobis, prototype_swd
from monai_sfda.guard.ratios import ratio_signals, vanished
from monai_sfda.guard.reference import Reference
from monai_sfda.guard.signals import ScanSignals
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.networks.segmentation import classify_points
from monai_sfda.prototypes import Prototypes
from monai_sfda.release import ClassRatio, Release
from monai_sfda.transforms import stack_view

POINTS = 2048
"""Pixels of a scan whose embeddings are kept, drawn evenly; and again, as many of each predicted class."""


@dataclass(frozen=True)
class SourceKnowledge:
    """What a release says of the source; any part may be None.

    Attributes:
        prototypes: class Gaussians.
        class_ratio: shares of the classes over subjects.
        reference_scans: as `guard.Reference` writes it.
        atlas: where the structures lie.
    """

    prototypes: Prototypes | None
    class_ratio: ClassRatio | None
    reference_scans: dict[str, Any] | None
    atlas: Atlas | None = None

    @staticmethod
    def of(release: Release) -> SourceKnowledge:
        """Of a release that was read."""
        return SourceKnowledge(
            release.prototypes, release.class_ratio, release.reference_scans, release.atlas
        )


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

    Every slice is segmented once as it is and once for each of `guard.changes` (five, or six with a mirror).
    The same seed gives the same values, up to rounding whatever the batch size.

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
    walk = _Walk(network, dataset, knowledge, device, batch_size, seed)
    with torch.inference_mode():
        return [
            walk.of_scan(dataset.volumes[place], None if beside is None else beside[number])
            for number, place in enumerate(places)
        ]


class _Walk:
    """What the signals of every scan have in common."""

    def __init__(
        self,
        network: SegmentationNetwork,
        dataset: StackDataset,
        knowledge: SourceKnowledge,
        device: torch.device,
        batch_size: int,
        seed: int,
    ) -> None:
        self._network, self._task, self._knowledge = network, dataset.task, knowledge
        self._stack_slices = dataset.preprocessing.stack_slices
        self._device, self._batch_size, self._seed = device, batch_size, seed
        self._structures = without_background(self._task.labels)
        self._changes = changes_for(self._task, dataset.preprocessing, seed)
        scans = knowledge.reference_scans
        self._reference = None if scans is None else Reference.from_json(scans)

    def of_scan(self, volume: CachedVolume, beside: NDArray[np.uint8] | None) -> ScanSignals:
        """One scan's signals."""
        look = _Look(self._network, volume, self._changes, self._device, self._seed)
        for start in range(0, volume.num_slices, self._batch_size):
            slices = range(start, min(start + self._batch_size, volume.num_slices))
            stacks = [stack_view(volume.image, i, self._stack_slices) for i in slices]
            middle = torch.stack([stack[:, self._stack_slices // 2] for stack in stacks])
            look.update(torch.stack([s.flatten(0, 1) for s in stacks]).to(self._device), middle, slices)
        segmentation = torch.cat(look.segmentation).numpy()
        rows, columns = volume.field_of_view
        seen = segmentation[:, rows, columns]
        hard = look.hard.cpu() / look.hard.sum().cpu()
        shares = {name: float(hard[i]) for name, i in self._structures.items()}
        values = (
            look.certainty(self._structures)
            | look.agreement.values(self._structures)
            | connectivity_signals(seen, self._structures, self._network.num_classes)
            | self._of_ratios(look, hard, shares)
            | self._of_embeddings(look)
            | self._of_profile(look.profile())
        )
        atlas = self._knowledge.atlas
        if atlas is not None:
            coordinates = volume_coordinates(volume, self._stack_slices)
            values |= atlas_signals(torch.from_numpy(seen), coordinates, atlas, self._structures)
        edges = look.edges.mean(list(self._structures.values()))
        if edges is not None:
            values["edges"] = edges
        if beside is not None:
            values |= self._beside(seen, beside[:, rows, columns])
        return ScanSignals(values, shares, segmentation)

    def _of_ratios(self, look: _Look, hard: Tensor, shares: dict[str, float]) -> dict[str, float]:
        ratio = self._knowledge.class_ratio
        found = {"vanished": float(len(vanished(shares, ratio, self._task.labels)))}
        if ratio is None:
            return found
        return found | ratio_signals(look.soft / look.soft.sum(), hard, ratio, self._structures)

    def _of_embeddings(self, look: _Look) -> dict[str, float]:
        (points, _), (balanced, _) = look.even.result(), look.balanced.result()
        p, p_balanced = (
            classify_points(self._network, z.to(self._device)).float().softmax(1).cpu()
            for z in (points, balanced)
        )
        found: dict[str, float | None] = {"density": soft_neighbourhood_density(p)}
        found["density_balanced"] = soft_neighbourhood_density(p_balanced) / float(np.log(len(balanced) - 1))
        prototypes = self._knowledge.prototypes
        if prototypes is not None:
            found["swd"] = prototype_swd(points, p.argmax(1), prototypes, seed=self._seed)
            found["mahalanobis"] = prototype_mahalanobis(
                balanced, p_balanced.argmax(1), prototypes, list(self._structures.values())
            )
        return {name: value for name, value in found.items() if value is not None}

    def _of_profile(self, profile: ScanProfile) -> dict[str, float]:
        found = {}
        if len(profile.layer_distances):
            found["batchnorm"] = float(profile.layer_distances.mean().sqrt())
        if self._reference is not None:
            labels, pictures = self._task.labels, self._task.pictures
            found |= anatomy_signals(profile, self._reference, labels, pictures=pictures)
        return found

    def _beside(self, seen: NDArray[np.uint8], other: NDArray[np.uint8]) -> dict[str, float]:
        overlap = Overlap(self._network.num_classes)
        overlap.update(*(torch.from_numpy(np.ascontiguousarray(mask)) for mask in (seen, other)))
        dice = mean_of_shown(overlap.dice(list(self._structures.values())))
        return {"changed": float((seen != other).mean())} | ({} if dice is None else {"beside_dice": dice})


class _Look:
    """Gathers what one scan's slices give, batch after batch; beside the segmentation nothing grows with
    their number.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        volume: CachedVolume,
        changes: Sequence[Change],
        device: torch.device,
        seed: int,
    ) -> None:
        classes = network.num_classes
        self._network, self._changes = network, changes
        self._rows, self._columns = volume.field_of_view
        self._observer = ScanObserver(network, volume.seen_grid, sized=volume.voxel_ml is not None)
        self._entropy = torch.zeros((), dtype=torch.float64, device=device)
        self.soft, self.hard, self._sure = torch.zeros(3, classes, dtype=torch.float64, device=device)
        self.agreement = Agreement((change.signal for change in changes), classes, device)
        self.edges = EdgeContrast(classes, device)
        self.even = PixelSample(1, POINTS, seed)
        self.balanced = PixelSample(classes, POINTS // classes, seed)
        self.segmentation: list[Tensor] = []

    def update(self, batch: Tensor, middle: Tensor, slices: Sequence[int]) -> None:
        """Adds slices.

        Args:
            batch: (B, C * n, H, W) stacks.
            middle: (B, C, H, W), the slice that each segments.
            slices: number of each in the scan.
        """
        embeddings: list[Tensor] = []
        keep = self._network.classifier.register_forward_pre_hook(
            lambda _, inputs: embeddings.append(inputs[0])
        )
        try:
            with self._observer.watching():
                logits = self._network(batch).float()
        finally:
            keep.remove()
        log_p = self._seen(logits.log_softmax(1))
        p = log_p.exp()
        confidence, mask = p.max(1)
        member = functional.one_hot(mask, p.shape[1]).movedim(-1, 1)
        self._entropy -= (p * log_p).sum().double()
        self.soft += p.sum((0, 2, 3)).double()
        self.hard += member.sum((0, 2, 3)).double()
        self._sure += (confidence[:, None] * member).sum((0, 2, 3)).double()
        self.edges.update(self._seen(middle.to(batch.device)), mask)
        self.segmentation.append(logits.max(1).indices.to(torch.uint8).cpu())
        z, classes = self._seen(embeddings[0]), mask.cpu()
        self.even.update(z, torch.zeros_like(classes))
        self.balanced.update(z, classes)
        for change in self._changes:
            q, known = change.undo(self._network(change.apply(batch, slices)).float().softmax(1), slices)
            self.agreement.update(
                change.signal, p, self._seen(q), None if known is None else self._seen(known)
            )

    def certainty(self, structures: dict[str, int]) -> dict[str, float]:
        """Entropy; where a structure is predicted, also confidence and soft Dice."""
        soft, hard, sure = (t.cpu()[list(structures.values())] for t in (self.soft, self.hard, self._sure))
        found = {"entropy": float(self._entropy / self.hard.sum())}
        shown = hard > 0
        if bool(shown.any()):
            dice = (2 * sure / (soft + hard))[shown]
            found["confidence"] = float(sure.sum() / hard.sum())
            found["soft_dice"], found["soft_dice_worst"] = float(dice.mean()), float(dice.min())
        return found

    def profile(self) -> ScanProfile:
        """The scan's, as inference takes it."""
        return self._observer.profile()

    def _seen(self, x: Tensor) -> Tensor:
        """Without the padding."""
        return x[..., self._rows, self._columns]
